import type { ApiObject } from "./api-object.ts";
import { BUILTIN_TYPES } from "./builtin-types.ts";
import { preferredFirst, typeOfDefinition } from "./crd-types.ts";
import { apiVersionOf, type ResourceType } from "./resource-type.ts";
import { notFound } from "./status-error.ts";
import type { Storage } from "./storage.ts";

/** What a path names. */
export interface ParsedPath {
  readonly type: ResourceType;
  readonly version: string;
  readonly namespace: string | undefined;
  readonly name: string | undefined;
  readonly subresource: "status" | undefined;
}

/** The resources that are served now: Kubernetes' own, and those that CustomResourceDefinitions define. */
export class ResourceMap {
  readonly #storage: Storage;
  readonly #types = new WeakMap<ApiObject, ResourceType>();

  constructor(storage: Storage) {
    this.#storage = storage;
  }

  types(): readonly ResourceType[] {
    const defined = this.#storage.list("customresourcedefinitions.apiextensions.k8s.io");
    return [...BUILTIN_TYPES, ...defined.map((definition) => this.#typeOf(definition))];
  }

  /** Objects are never changed in place, so each definition is read once. */
  #typeOf(definition: ApiObject): ResourceType {
    const type = this.#types.get(definition) ?? typeOfDefinition(definition);
    this.#types.set(definition, type);
    return type;
  }

  /** @throws StatusError 404 when nothing is served there. */
  parse(path: string): ParsedPath {
    const missing = notFound("the server could not find the requested resource:");
    const parts = path.split("/").slice(1).map(decodeURIComponent);
    const [root, ...rest] = parts;
    const group = root === "apis" ? (rest.shift() ?? "") : "";
    const version = rest.shift() ?? "";
    if ((root !== "api" && root !== "apis") || rest.length === 0) throw missing;
    const isScoped = rest[0] === "namespaces" && rest.length > 2 && !(rest.length === 3 && rest[2] === "status");
    const namespace = isScoped ? rest[1] : undefined;
    const [plural, name, subresource, ...more] = isScoped ? rest.slice(2) : rest;
    const type = this.types().find(
      (one) => one.group === group && one.plural === plural && one.versions.includes(version),
    );
    if (type === undefined || more.length > 0) throw missing;
    if (subresource !== undefined && (subresource !== "status" || !type.hasStatus)) throw missing;
    if (namespace !== undefined && !type.namespaced) throw missing;
    if (name !== undefined && type.namespaced && namespace === undefined) throw missing;
    return { type, version, namespace, name, subresource: subresource === "status" ? "status" : undefined };
  }

  /** The discovery document at a path; undefined when there is none. */
  discovery(path: string): object | undefined {
    if (path === "/api") return { kind: "APIVersions", versions: ["v1"] };
    if (path === "/apis") {
      const groups = [...new Set(this.types().map(({ group }) => group))].filter((group) => group !== "");
      return { kind: "APIGroupList", apiVersion: "v1", groups: groups.map((group) => this.#group(group)) };
    }
    const [, root, first = "", second, ...more] = path.split("/");
    if (more.length > 0 || (root !== "apis" && (root !== "api" || second !== undefined))) return undefined;
    if (root === "apis" && second === undefined) {
      return this.types().some(({ group }) => group === first)
        ? { kind: "APIGroup", apiVersion: "v1", ...this.#group(first) }
        : undefined;
    }
    const [group, version] = root === "api" ? ["", first] : [first, second ?? ""];
    const served = this.types().filter((type) => type.group === group && type.versions.includes(version));
    if (served.length === 0) return undefined;
    const groupVersion = apiVersionOf(group, version);
    return { kind: "APIResourceList", apiVersion: "v1", groupVersion, resources: served.flatMap(resourcesOf) };
  }

  #group(name: string): object {
    const versions = [
      ...new Set(this.types().flatMap(({ group, versions: served }) => (group === name ? served : []))),
    ];
    const listed = versions
      .sort(preferredFirst)
      .map((version) => ({ groupVersion: apiVersionOf(name, version), version }));
    return { name, versions: listed, preferredVersion: listed[0] };
  }
}

const VERBS = ["create", "delete", "get", "list", "patch", "update", "watch"];

function resourcesOf(type: ResourceType): object[] {
  const { plural, singular, kind, namespaced, shortNames, categories, hasStatus } = type;
  const entry = { name: plural, singularName: singular, namespaced, kind, verbs: VERBS, shortNames, categories };
  const status = { name: `${plural}/status`, singularName: "", namespaced, kind, verbs: ["get", "patch", "update"] };
  return hasStatus ? [entry, status] : [entry];
}
