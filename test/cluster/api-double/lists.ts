import { randomUUID } from "node:crypto";
import type { ApiObject } from "./api-object.ts";
import { inVersion } from "./registry.ts";
import { apiVersionOf, type ResourceType, resourceName } from "./resource-type.ts";
import { fieldSelector, labelSelector } from "./selectors.ts";
import { badRequest, expired, StatusError } from "./status-error.ts";
import type { Storage } from "./storage.ts";

/** Which objects of a resource a list or a watch is about. */
export interface Selection {
  readonly type: ResourceType;
  readonly version: string;
  /** Undefined: all namespaces. */
  readonly namespace: string | undefined;
  readonly query: URLSearchParams;
}

/** @throws StatusError when a selector cannot be read. */
export function predicateOf({ type, namespace, query }: Selection): (object: ApiObject) => boolean {
  const labels = labelSelector(query.get("labelSelector") ?? "");
  const fields = fieldSelector(query.get("fieldSelector") ?? "", type.selectableFields);
  return (object) =>
    (namespace === undefined || object.metadata.namespace === namespace) && labels(object) && fields(object);
}

/** Items of Kubernetes' own kinds do not say what they are; those of defined kinds do. */
function listed({ keepsUnknown }: ResourceType, object: ApiObject): object {
  if (!keepsUnknown) return object;
  const { apiVersion: _, kind: __, ...rest } = object;
  return rest;
}

interface Snapshot {
  readonly revision: number;
  readonly rest: readonly ApiObject[];
}

/** A revision in a query. @throws StatusError when it is none. */
export function revisionIn(text: string | null): number | undefined {
  if (text === null || text === "") return undefined;
  if (!/^(0|[1-9][0-9]*)$/.test(text)) throw badRequest(`Invalid value: ${JSON.stringify(text)}: resourceVersion`);
  return Number(text);
}

/** Lists in pages. A continued list shows the objects as they were when its first page was made. */
export class Lists {
  readonly #storage: Storage;
  readonly #snapshots = new Map<string, Snapshot>();

  constructor(storage: Storage) {
    this.#storage = storage;
  }

  list(selection: Selection): object {
    const { type, version, query } = selection;
    const limit = Number(query.get("limit") ?? "0");
    const token = query.get("continue") ?? "";
    const { revision, rest } = token === "" ? this.#fresh(selection) : this.#continued(token, query);
    const page = limit > 0 ? rest.slice(0, limit) : rest;
    const left = rest.slice(page.length);
    return {
      apiVersion: apiVersionOf(type.group, version),
      kind: `${type.kind}List`,
      metadata: { resourceVersion: String(revision), ...this.#more(revision, left) },
      items: page.map((object) => listed(type, inVersion(type, version, object))),
    };
  }

  #more(revision: number, rest: readonly ApiObject[]): object {
    if (rest.length === 0) return {};
    const token = Buffer.from(JSON.stringify({ v: "meta.k8s.io/v1", rv: revision, id: randomUUID() })).toString(
      "base64url",
    );
    this.#snapshots.set(token, { revision, rest });
    return { continue: token, remainingItemCount: rest.length };
  }

  #fresh(selection: Selection): Snapshot {
    const { type, query } = selection;
    const wanted = revisionIn(query.get("resourceVersion"));
    const match = query.get("resourceVersionMatch");
    const { revision } = this.#storage;
    if (match !== null && wanted === undefined)
      throw badRequest("resourceVersionMatch is forbidden without resourceVersion");
    if (wanted !== undefined && wanted > revision) {
      throw new StatusError(504, "Timeout", `Too large resource version: ${wanted}, current: ${revision}`, {
        retryAfterSeconds: 1,
      });
    }
    if (match === "Exact" && wanted !== revision)
      throw expired("The resourceVersion for the provided list is too old.");
    const holds = predicateOf(selection);
    return { revision, rest: this.#storage.list(resourceName(type), selection.namespace).filter(holds) };
  }

  #continued(token: string, query: URLSearchParams): Snapshot {
    if (query.has("resourceVersion") && query.get("resourceVersion") !== "0") {
      throw badRequest("specifying resource version is not allowed when using continue");
    }
    const snapshot = this.#snapshots.get(token);
    if (snapshot === undefined) throw badRequest("continue key is not valid");
    if (snapshot.revision < this.#storage.compacted) {
      throw expired("The provided continue parameter is too old to display a consistent list result.");
    }
    return snapshot;
  }
}
