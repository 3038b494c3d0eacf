import { z } from "zod";
import { KINDS, type Kind } from "../../api/kinds.ts";
import { API_GROUP, GATEWAY_GROUP } from "../../api/names.ts";
import { valuesAt } from "../schema-walk.ts";
import type { ApiClient } from "./api-client.ts";
import { ApiError } from "./api-error.ts";

/** Where a kind is served. */
export interface ServedKind {
  readonly kind: Kind;
  readonly apiVersion: string;
  /** `/api/v1` or `/apis/GROUP/VERSION`. */
  readonly root: string;
}

const resourceListSchema = z.looseObject({ resources: z.array(z.looseObject({ name: z.string() })) });

/** Kinds of our own and of the Gateway API can come and go with their definitions; an answer is believed so long. */
const FRESH_MS = 5_000;

/** Whether a CustomResourceDefinition makes it; Kubernetes' own kinds are always there. */
function isDefined(apiVersion: string): boolean {
  return [API_GROUP, GATEWAY_GROUP].some((group) => apiVersion.startsWith(`${group}/`));
}

/** Finds out in which version a kind is served: the first of those that its schema takes. */
export class ServedKinds {
  readonly #client: ApiClient;
  readonly #nowMs: () => number;
  readonly #freshMs: number;
  readonly #answers = new Map<string, { readonly atMs: number; readonly resources: Promise<ReadonlySet<string>> }>();

  constructor(client: ApiClient, nowMs: () => number, freshMs: number = FRESH_MS) {
    this.#client = client;
    this.#nowMs = nowMs;
    this.#freshMs = freshMs;
  }

  /** Undefined: the cluster does not know the kind. @throws ApiError, StoreUnavailableError. */
  async find(kind: Kind, signal: AbortSignal): Promise<ServedKind | undefined> {
    for (const apiVersion of valuesAt(KINDS[kind].schema, ["apiVersion"])) {
      const root = apiVersion.includes("/") ? `/apis/${apiVersion}` : `/api/${apiVersion}`;
      if (!isDefined(apiVersion) || (await this.#resources(root, signal)).has(KINDS[kind].plural))
        return { kind, apiVersion, root };
    }
    return undefined;
  }

  async #resources(root: string, signal: AbortSignal): Promise<ReadonlySet<string>> {
    const known = this.#answers.get(root);
    if (known !== undefined && this.#nowMs() - known.atMs < this.#freshMs) return await known.resources;
    const resources = this.#ask(root, signal);
    this.#answers.set(root, { atMs: this.#nowMs(), resources });
    try {
      return await resources;
    } catch (error) {
      this.#answers.delete(root);
      throw error;
    }
  }

  async #ask(root: string, signal: AbortSignal): Promise<ReadonlySet<string>> {
    try {
      const answer = await this.#client.ask({ method: "GET", path: root, signal });
      const list = resourceListSchema.safeParse(answer);
      return new Set(list.success ? list.data.resources.map(({ name }) => name) : []);
    } catch (error) {
      if (error instanceof ApiError && error.code === 404) return new Set();
      throw error;
    }
  }
}
