import { parse as parseYaml } from "yaml";
import { z } from "zod";
import type { Access } from "./access.ts";
import { type ApiObject, apiObjectSchema, withMetadata } from "./api-object.ts";
import { Lists, type Selection } from "./lists.ts";
import { Registry, type WriteRequest } from "./registry.ts";
import { type ParsedPath, ResourceMap } from "./resource-map.ts";
import { badRequest, StatusError } from "./status-error.ts";
import type { Storage } from "./storage.ts";

/** A request, as far as the API looks at it. */
export interface ApiRequest {
  readonly method: string;
  readonly path: string;
  readonly query: URLSearchParams;
  readonly contentType: string;
  readonly userAgent: string;
  readonly body: string;
}

export interface Answer {
  readonly code: number;
  readonly body: object;
}

const deleteOptionsSchema = z.looseObject({
  preconditions: z.object({ uid: z.string().optional(), resourceVersion: z.string().optional() }).optional(),
  propagationPolicy: z.enum(["Background", "Foreground", "Orphan"]).optional(),
  gracePeriodSeconds: z.int().min(0).optional(),
});

/** Kinds of request, as RBAC names them. */
export function verbOf({ method, query }: Pick<ApiRequest, "method" | "query">, { name }: ParsedPath): string {
  const one = name !== undefined;
  const isWatch = query.get("watch") === "true" || query.get("watch") === "1";
  switch (method) {
    case "GET":
      return one ? "get" : isWatch ? "watch" : "list";
    case "POST":
      return "create";
    case "PUT":
      return "update";
    case "PATCH":
      return "patch";
    case "DELETE":
      return one ? "delete" : "deletecollection";
    default:
      throw new StatusError(405, "MethodNotAllowed", `the server does not allow this method: ${method}`);
  }
}

/** Answers requests about objects; watches and faults are the server's. */
export class ApiHandler {
  readonly resources: ResourceMap;
  readonly #registry: Registry;
  readonly #lists: Lists;

  constructor(storage: Storage, now: () => Date) {
    this.resources = new ResourceMap(storage);
    this.#registry = new Registry(storage, now);
    this.#lists = new Lists(storage);
  }

  selection({ type, version, namespace }: ParsedPath, query: URLSearchParams): Selection {
    return { type, version, namespace, query };
  }

  answer(request: ApiRequest, path: ParsedPath, verb: string): Answer {
    const { type, version, name, subresource, namespace = "" } = path;
    if (verb === "list") return { code: 200, body: this.#lists.list(this.selection(path, request.query)) };
    if (type.namespaced && namespace === "") throw badRequest("an empty namespace may not be set");
    const dryRun = request.query.getAll("dryRun").includes("All");
    const fieldManager = request.query.get("fieldManager") ?? request.userAgent.split("/")[0] ?? "unknown";
    const target = {
      type,
      version,
      namespace,
      name: name ?? "",
      ...(subresource === undefined ? {} : { subresource }),
    };
    const write: WriteRequest = { ...target, fieldManager, dryRun };
    switch (verb) {
      case "get":
        return { code: 200, body: this.#registry.get(target) };
      case "create":
        return { code: 201, body: this.#registry.create(write, this.#object(request, path)) };
      case "update":
        return { code: 200, body: this.#registry.update(write, this.#object(request, path)) };
      case "patch":
        return this.#patch(request, path, write);
      case "delete": {
        const options = deleteOptionsSchema.parse(request.body === "" ? {} : JSON.parse(request.body));
        const given = request.query.get("gracePeriodSeconds");
        const all = given === null ? options : { ...options, gracePeriodSeconds: Number(given) };
        const object = this.#registry.delete(target, all);
        const details = { name: target.name, group: type.group, kind: type.plural, uid: object.metadata.uid };
        return { code: 200, body: { kind: "Status", apiVersion: "v1", metadata: {}, status: "Success", details } };
      }
      default:
        throw new StatusError(405, "MethodNotAllowed", `the server does not allow this method: ${verb}`);
    }
  }

  #patch(request: ApiRequest, path: ParsedPath, write: WriteRequest): Answer {
    const [type] = request.contentType.split(";");
    switch (type) {
      case "application/merge-patch+json":
        return { code: 200, body: this.#registry.mergePatch(write, JSON.parse(request.body)) };
      case "application/apply-patch+yaml":
      case "application/apply-patch+cbor": {
        if (!request.query.get("fieldManager")) throw badRequest("fieldManager is required for apply patch");
        const force = request.query.get("force") === "true";
        const { object, created } = this.#registry.apply(write, this.#object(request, path), force);
        return { code: created ? 201 : 200, body: object };
      }
      default:
        throw new StatusError(
          415,
          "UnsupportedMediaType",
          `the body of the request was in an unknown format - accepted media types include: application/merge-patch+json, application/apply-patch+yaml`,
        );
    }
  }

  #object({ body }: ApiRequest, { type, namespace }: ParsedPath): ApiObject {
    let value: unknown;
    try {
      value = parseYaml(body);
    } catch (error) {
      throw new StatusError(400, "BadRequest", `the body cannot be read: ${String(error)}`);
    }
    const parsed = apiObjectSchema.safeParse(value);
    if (!parsed.success) throw badRequest(z.prettifyError(parsed.error));
    const object = parsed.data;
    if (object.kind !== type.kind) throw badRequest(`the object provided is unrecognized: ${object.kind}`);
    if (object.metadata.namespace !== undefined && object.metadata.namespace !== (namespace ?? "")) {
      throw badRequest("the namespace of the provided object does not match the namespace sent on the request");
    }
    return namespace === undefined ? object : withMetadata(object, { namespace });
  }
}

/** Notes what RBAC would have to grant for a request. */
export function recordUse(access: Access, user: string, verb: string, path: ParsedPath): void {
  const { type, subresource, namespace = "" } = path;
  const resource = subresource === undefined ? type.plural : `${type.plural}/${subresource}`;
  access.record({ user, verb, group: type.group, resource, namespace });
}
