import type { OpenApiSchema } from "#shared/api/structural-schema.fixture.ts";

/** One resource of the API in all versions in which it is served. */
export interface ResourceType {
  /** "" for the core group. */
  readonly group: string;
  /** Those that are served, the preferred one first. */
  readonly versions: readonly string[];
  /** The version that objects are stored in. */
  readonly storageVersion: string;
  readonly kind: string;
  readonly plural: string;
  readonly singular: string;
  readonly shortNames: readonly string[];
  readonly categories: readonly string[];
  readonly namespaced: boolean;
  readonly hasStatus: boolean;
  /** Whether `metadata.generation` counts changes. */
  readonly hasGeneration: boolean;
  /** By version. What a schema does not know is pruned, unless `keepsUnknown`. */
  readonly schemas: ReadonlyMap<string, OpenApiSchema>;
  /** Kubernetes' own kinds: their schemas here say only what matters for merging, defaults and validation. */
  readonly keepsUnknown: boolean;
  /** Fields that may stand in a field selector, beside metadata.name and metadata.namespace. */
  readonly selectableFields: readonly string[];
}

export function apiVersionOf(group: string, version: string): string {
  return group === "" ? version : `${group}/${version}`;
}

/** `plural.group`, as error messages and CustomResourceDefinitions name a resource. */
export function resourceName({ group, plural }: Pick<ResourceType, "group" | "plural">): string {
  return group === "" ? plural : `${plural}.${group}`;
}

export function schemaOf(type: ResourceType, version: string): OpenApiSchema {
  return type.schemas.get(version) ?? {};
}
