import { z } from "zod";
import { openApiSchema } from "#shared/api/structural-schema.fixture.ts";
import type { ApiObject } from "./api-object.ts";
import type { ResourceType } from "./resource-type.ts";
import { invalid } from "./status-error.ts";

const definitionSchema = z.looseObject({
  metadata: z.looseObject({ name: z.string() }),
  spec: z.looseObject({
    group: z.string(),
    names: z.looseObject({
      kind: z.string(),
      plural: z.string(),
      singular: z.string().optional(),
      shortNames: z.array(z.string()).default([]),
      categories: z.array(z.string()).default([]),
    }),
    scope: z.enum(["Namespaced", "Cluster"]),
    versions: z
      .array(
        z.looseObject({
          name: z.string(),
          served: z.boolean(),
          storage: z.boolean(),
          subresources: z.looseObject({ status: z.looseObject({}).optional() }).optional(),
          schema: z.looseObject({ openAPIV3Schema: openApiSchema }),
        }),
      )
      .min(1),
  }),
});

/** Stable versions come before beta, beta before alpha, higher before lower, as discovery prefers them. */
function rank(version: string): readonly [number, number, number] {
  const [, major = "0", stage, minor = "0"] = /^v([0-9]+)(?:(alpha|beta)([0-9]+))?$/.exec(version) ?? [];
  return [stage === undefined ? 2 : stage === "beta" ? 1 : 0, Number(major), Number(minor)];
}

export function preferredFirst(left: string, right: string): number {
  const [a, b] = [rank(left), rank(right)];
  return b[0] - a[0] || b[1] - a[1] || b[2] - a[2];
}

/**
 * The resource that a CustomResourceDefinition defines.
 * @throws StatusError when it is none.
 */
export function typeOfDefinition(definition: ApiObject): ResourceType {
  const parsed = definitionSchema.safeParse(definition);
  if (!parsed.success) throw invalid("CustomResourceDefinition", [z.prettifyError(parsed.error)]);
  const { group, names, scope, versions } = parsed.data.spec;
  const stored = versions.find(({ storage }) => storage);
  if (stored === undefined || parsed.data.metadata.name !== `${names.plural}.${group}`) {
    throw invalid("CustomResourceDefinition", ["one version is stored, and the name is plural.group"]);
  }
  return {
    group,
    versions: versions
      .filter(({ served }) => served)
      .map(({ name }) => name)
      .sort(preferredFirst),
    storageVersion: stored.name,
    kind: names.kind,
    plural: names.plural,
    singular: names.singular ?? names.kind.toLowerCase(),
    shortNames: names.shortNames,
    categories: names.categories,
    namespaced: scope === "Namespaced",
    hasStatus: stored.subresources?.status !== undefined,
    hasGeneration: true,
    schemas: new Map(versions.map(({ name, schema }) => [name, schema.openAPIV3Schema])),
    keepsUnknown: false,
    selectableFields: [],
  };
}
