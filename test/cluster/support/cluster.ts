import { globSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseAllDocuments, stringify } from "yaml";
import { z } from "zod";
import { systemClock } from "#shared/process/clock.ts";
import { ApiClient } from "#shared/store/kubernetes/api-client.ts";
import type { ApiConfig } from "#shared/store/kubernetes/api-config.ts";
import { ApiError } from "#shared/store/kubernetes/api-error.ts";
import { StoreUnavailableError } from "#shared/store/object-store.ts";
import { ApiDouble } from "../api-double/api-double.ts";
import { RealApi } from "./real-api.ts";

const { GATEWAY_API_CRDS, KUBEBUILDER_ASSETS } = process.env;
const OUR_CRDS = fileURLToPath(new URL("../../../deploy/crds", import.meta.url));

/** Tests of the Gateway API's kinds need their definitions. */
export const HAS_GATEWAY_API = GATEWAY_API_CRDS !== undefined;
export const WITHOUT_GATEWAY_API = HAS_GATEWAY_API ? "" : " (skipped: GATEWAY_API_CRDS names no folder)";
/** Faults are made to order by the double only. */
export const IS_REAL = KUBEBUILDER_ASSETS !== undefined;

const manifestSchema = z.looseObject({
  apiVersion: z.string(),
  kind: z.string(),
  metadata: z.looseObject({ name: z.string(), namespace: z.string().optional() }),
});
export type Manifest = z.infer<typeof manifestSchema>;

/** An API server, with what an administrator does to it. */
export class Cluster {
  readonly #server: ApiDouble | RealApi;
  readonly #stop = new AbortController();
  readonly #admin: ApiClient;
  #plurals = new Map<string, { readonly plural: string; readonly namespaced: boolean }>();

  private constructor(server: ApiDouble | RealApi) {
    this.#server = server;
    this.#admin = new ApiClient({ config: this.config("admin-token"), userAgent: "kubectl" });
  }

  /** A cluster with our definitions and, where they are at hand, the Gateway API's. */
  static async start(host = "127.0.0.1"): Promise<Cluster> {
    const server =
      KUBEBUILDER_ASSETS === undefined
        ? new ApiDouble({ host, bookmarkMs: 100 })
        : new RealApi(KUBEBUILDER_ASSETS, host);
    await server.start();
    server.allow("admin-token", "admin");
    const cluster = new Cluster(server);
    for (const folder of [OUR_CRDS, ...(GATEWAY_API_CRDS === undefined ? [] : [GATEWAY_API_CRDS])]) {
      for (const file of globSync(join(folder, "*.yaml")).sort()) {
        if (!file.endsWith("kustomization.yaml")) await cluster.applyText(readFileSync(file, "utf8"));
      }
    }
    return cluster;
  }

  /** The double, for faults. @throws when the API server is a real one. */
  get double(): ApiDouble {
    if (this.#server instanceof ApiDouble) return this.#server;
    throw new TypeError("a real API server has no faults made to order: skip this test when IS_REAL");
  }

  get server(): ApiDouble | RealApi {
    return this.#server;
  }

  /** A client of the administrator's. */
  get admin(): ApiClient {
    return this.#admin;
  }

  /** How somebody reaches the server who holds this token. */
  config(token: string, url: string = this.#server.url): ApiConfig {
    return {
      server: new URL(url),
      namespace: "default",
      ca: () => this.#server.ca,
      tlsServerName: undefined,
      skipsVerify: false,
      token: () => token,
      certificate: () => undefined,
    };
  }

  /** A kubeconfig file's text for this user. */
  kubeconfig(user: string, url: string = this.#server.url): string {
    const token = this.user(user);
    const data = Buffer.from(this.#server.ca).toString("base64");
    return stringify({
      apiVersion: "v1",
      kind: "Config",
      "current-context": "test",
      contexts: [{ name: "test", context: { cluster: "test", user } }],
      clusters: [{ name: "test", cluster: { server: url, "certificate-authority-data": data } }],
      users: [{ name: user, user: { token } }],
    });
  }

  /** Gives out a token. */
  user(name: string): string {
    const token = `${name}-token`;
    this.#server.allow(token, name);
    return token;
  }

  /** `kubectl apply --server-side`. */
  async apply(manifest: Manifest, subresource?: "status"): Promise<unknown> {
    const path = await this.#path(manifest);
    const suffix = subresource === undefined ? "" : `/${subresource}`;
    return await this.#ask(
      "PATCH",
      `${path}${suffix}?fieldManager=kubectl&force=true`,
      manifest,
      "application/apply-patch+yaml",
    );
  }

  /** `kubectl create`. @throws ApiError 409 when it is there. */
  async create(manifest: Manifest): Promise<unknown> {
    const path = await this.#path(manifest);
    return await this.#ask("POST", path.slice(0, path.lastIndexOf("/")), manifest);
  }

  async applyText(text: string): Promise<void> {
    for (const document of parseAllDocuments(text)) await this.apply(manifestSchema.parse(document.toJS()));
  }

  /** `kubectl patch --type=merge`. */
  async patch(manifest: Manifest, change: object, subresource?: "status"): Promise<unknown> {
    const suffix = subresource === undefined ? "" : `/${subresource}`;
    return await this.#ask(
      "PATCH",
      `${await this.#path(manifest)}${suffix}?fieldManager=kubectl`,
      change,
      "application/merge-patch+json",
    );
  }

  /** `kubectl delete --grace-period`: a Pod on a node is terminating for that long, everything else goes at once. */
  async delete(manifest: Manifest, gracePeriodSeconds = 0): Promise<void> {
    await this.#ask("DELETE", await this.#path(manifest), {
      kind: "DeleteOptions",
      apiVersion: "v1",
      gracePeriodSeconds,
    });
  }

  /** Undefined: there is none. */
  async get(manifest: Manifest): Promise<unknown> {
    try {
      return await this.#ask("GET", await this.#path(manifest));
    } catch (error) {
      if (error instanceof ApiError && error.code === 404) return undefined;
      throw error;
    }
  }

  async raw(
    method: "GET" | "POST" | "PATCH" | "DELETE",
    path: string,
    body?: object,
    contentType?: string,
  ): Promise<unknown> {
    return await this.#ask(method, path, body, contentType);
  }

  async close(): Promise<void> {
    this.#stop.abort();
    this.#admin.close();
    await this.#server.stop();
  }

  /** Asked again when the server has just been killed: a connection may not have noticed. */
  async #ask(
    method: "GET" | "POST" | "PATCH" | "DELETE",
    path: string,
    body?: object,
    contentType?: string,
    attempts = 5,
  ): Promise<unknown> {
    try {
      return await this.#admin.ask({
        method,
        path,
        signal: this.#stop.signal,
        ...(body === undefined ? {} : { body }),
        ...(contentType === undefined ? {} : { contentType }),
      });
    } catch (error) {
      if (!(error instanceof StoreUnavailableError) || attempts === 1) throw error;
      return await this.#ask(method, path, body, contentType, attempts - 1);
    }
  }

  async #path({ apiVersion, kind, metadata }: Manifest): Promise<string> {
    const root = apiVersion.includes("/") ? `/apis/${apiVersion}` : `/api/${apiVersion}`;
    const { plural, namespaced } = await this.#resource(root, kind);
    const namespace = namespaced ? `/namespaces/${metadata.namespace ?? "default"}` : "";
    return `${root}${namespace}/${plural}/${metadata.name}`;
  }

  async #resource(root: string, kind: string): Promise<{ readonly plural: string; readonly namespaced: boolean }> {
    const key = `${root} ${kind}`;
    const deadline = systemClock.nowMs() + 20_000;
    for (;;) {
      const known = this.#plurals.get(key);
      if (known !== undefined) return known;
      const answer = await this.#ask("GET", root).catch((error: unknown) => {
        // A definition takes a moment to be served.
        if (error instanceof ApiError && error.code === 404 && systemClock.nowMs() < deadline) return { resources: [] };
        throw error;
      });
      for (const { name, kind: listed, namespaced } of resourcesSchema.parse(answer).resources) {
        if (!name.includes("/")) this.#plurals.set(`${root} ${listed}`, { plural: name, namespaced });
      }
      if (!this.#plurals.has(key) && systemClock.nowMs() > deadline)
        throw new Error(`${kind} is not served at ${root}`);
    }
  }
}

const resourcesSchema = z.looseObject({
  resources: z.array(z.looseObject({ name: z.string(), kind: z.string(), namespaced: z.boolean() })),
});
