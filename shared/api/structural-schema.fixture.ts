import { readFileSync } from "node:fs";
import { isDeepStrictEqual } from "node:util";
import { parseAllDocuments } from "yaml";
import { z } from "zod";
import { CelError, obeys } from "./cel.fixture.ts";

/*
 * What an API server does with a custom resource: prunes what the schema does not know, fills in defaults, validates,
 * evaluates rules. For tests.
 */

const scalar = z.union([z.string(), z.number(), z.boolean()]);

/** Every keyword that is understood here; another one stops the test that meets it. */
export const openApiSchema = z.strictObject({
  type: z.enum(["object", "array", "string", "integer", "number", "boolean"]).optional(),
  description: z.string().optional(),
  format: z.enum(["int32", "int64", "date-time", "ipv4", "ipv6"]).optional(),
  get properties() {
    return z.record(z.string(), openApiSchema).optional();
  },
  required: z.array(z.string()).optional(),
  get additionalProperties() {
    return openApiSchema.optional();
  },
  maxProperties: z.int().optional(),
  get items() {
    return openApiSchema.optional();
  },
  minItems: z.int().optional(),
  maxItems: z.int().optional(),
  minLength: z.int().optional(),
  maxLength: z.int().optional(),
  pattern: z.string().optional(),
  minimum: z.number().optional(),
  maximum: z.number().optional(),
  enum: z.array(scalar).optional(),
  default: z.json().optional(),
  get anyOf() {
    return z.array(openApiSchema).optional();
  },
  get oneOf() {
    return z.array(openApiSchema).optional();
  },
  get not() {
    return openApiSchema.optional();
  },
  "x-kubernetes-int-or-string": z.literal(true).optional(),
  "x-kubernetes-map-type": z.enum(["atomic", "granular"]).optional(),
  "x-kubernetes-list-type": z.enum(["atomic", "map", "set"]).optional(),
  "x-kubernetes-list-map-keys": z.array(z.string()).optional(),
  "x-kubernetes-validations": z
    .array(
      z.strictObject({
        rule: z.string(),
        message: z.string(),
        fieldPath: z.string().optional(),
        reason: z.string().optional(),
      }),
    )
    .optional(),
});
export type OpenApiSchema = z.infer<typeof openApiSchema>;

const definitionSchema = z.looseObject({
  spec: z.looseObject({
    group: z.string(),
    names: z.looseObject({ kind: z.string() }),
    versions: z.array(z.looseObject({ name: z.string(), schema: z.looseObject({ openAPIV3Schema: openApiSchema }) })),
  }),
});

/** The schemas of the CustomResourceDefinitions of a file, by `apiVersion kind`. */
export function schemasOfFile(path: string): readonly (readonly [string, OpenApiSchema])[] {
  return parseAllDocuments(readFileSync(path, "utf8")).flatMap((document) => {
    const { spec } = definitionSchema.parse(document.toJS());
    return spec.versions.map(
      ({ name, schema }) => [`${spec.group}/${name} ${spec.names.kind}`, schema.openAPIV3Schema] as const,
    );
  });
}

export type Fields = Readonly<Record<string, unknown>>;

export function isFields(value: unknown): value is Fields {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** The value without fields that the schema does not know, and without nulls; defaults filled in. */
export function prunedAndFilledIn(schema: OpenApiSchema, value: unknown): unknown {
  if (Array.isArray(value)) {
    const { items } = schema;
    return items === undefined ? value : value.map((item) => prunedAndFilledIn(items, item));
  }
  const { properties, additionalProperties } = schema;
  if (!isFields(value) || (properties === undefined && additionalProperties === undefined)) return value;
  const known = Object.entries(value).flatMap(([name, field]) => {
    const of = properties !== undefined && Object.hasOwn(properties, name) ? properties[name] : additionalProperties;
    return of === undefined || field === null ? [] : [[name, prunedAndFilledIn(of, field)] as const];
  });
  const fields = new Map(known);
  for (const [name, field] of Object.entries(properties ?? {})) {
    if (field.default !== undefined && !fields.has(name)) fields.set(name, prunedAndFilledIn(field, field.default));
  }
  return Object.fromEntries(fields);
}

const TYPES: Readonly<Record<NonNullable<OpenApiSchema["type"]>, (value: unknown) => boolean>> = {
  object: isFields,
  array: Array.isArray,
  string: (value) => typeof value === "string",
  integer: Number.isInteger,
  number: (value) => typeof value === "number",
  boolean: (value) => typeof value === "boolean",
};

const FORMATS: Readonly<Record<NonNullable<OpenApiSchema["format"]>, (value: unknown) => boolean>> = {
  int32: (value) => typeof value !== "number" || Math.abs(value) <= 2 ** 31,
  int64: () => true,
  "date-time": (value) => z.iso.datetime({ offset: true }).safeParse(value).success,
  ipv4: (value) => z.ipv4().safeParse(value).success,
  ipv6: (value) => z.ipv6().safeParse(value).success,
};

function* keywordFaults(schema: OpenApiSchema, value: unknown): Generator<string> {
  if (schema.enum !== undefined && !schema.enum.some((one) => one === value)) yield `not one of ${schema.enum.join()}`;
  if (schema.format !== undefined && !FORMATS[schema.format](value)) yield `not ${schema.format}`;
  if (typeof value === "string") {
    const length = [...value].length;
    if (length < (schema.minLength ?? 0) || length > (schema.maxLength ?? Number.POSITIVE_INFINITY)) yield "length";
    if (schema.pattern !== undefined && !new RegExp(schema.pattern, "u").test(value)) yield `not ${schema.pattern}`;
  }
  if (typeof value === "number") {
    if (value < (schema.minimum ?? Number.NEGATIVE_INFINITY)) yield `less than ${schema.minimum}`;
    if (value > (schema.maximum ?? Number.POSITIVE_INFINITY)) yield `more than ${schema.maximum}`;
  }
  if (Array.isArray(value)) {
    if (value.length < (schema.minItems ?? 0)) yield "too few items";
    if (value.length > (schema.maxItems ?? Number.POSITIVE_INFINITY)) yield "too many items";
    const keys = schema["x-kubernetes-list-map-keys"];
    const ids = keys === undefined ? [] : value.map((item) => keys.map((key) => (isFields(item) ? item[key] : item)));
    if (ids.some((id, index) => ids.slice(0, index).some((other) => isDeepStrictEqual(id, other)))) yield "duplicate";
  }
  if (isFields(value)) {
    for (const name of schema.required ?? []) if (!Object.hasOwn(value, name)) yield `${name} is missing`;
    if (Object.keys(value).length > (schema.maxProperties ?? Number.POSITIVE_INFINITY)) yield "too many fields";
  }
  const fits = (one: OpenApiSchema): boolean => validate(one, value, "").length === 0;
  if (schema.anyOf?.some(fits) === false) yield "fits nothing of anyOf";
  if (schema.oneOf !== undefined && schema.oneOf.filter(fits).length !== 1) yield "fits not one of oneOf";
  if (schema.not !== undefined && fits(schema.not)) yield "fits not";
}

/** Violations of the schema, rules aside, as `path: what`. */
export function validate(schema: OpenApiSchema, value: unknown, path: string): string[] {
  const { type } = schema;
  if (type !== undefined && !TYPES[type](value)) return [`${path}: not of type ${type}`];
  if (schema["x-kubernetes-int-or-string"] === true && !Number.isInteger(value) && typeof value !== "string") {
    return [`${path}: neither integer nor text`];
  }
  const own = [...keywordFaults(schema, value)].map((fault) => `${path}: ${fault}`);
  return [...own, ...partsOf(schema, value, path).flatMap(([part, of, at]) => validate(of, part, at))];
}

/** The parts of a value with their schemas and paths. */
function partsOf(schema: OpenApiSchema, value: unknown, path: string): (readonly [unknown, OpenApiSchema, string])[] {
  const { items, properties, additionalProperties } = schema;
  if (Array.isArray(value)) {
    return items === undefined ? [] : value.map((item, index) => [item, items, `${path}[${index}]`] as const);
  }
  if (!isFields(value)) return [];
  return Object.entries(value).flatMap(([name, field]) => {
    const of = properties !== undefined && Object.hasOwn(properties, name) ? properties[name] : additionalProperties;
    return of === undefined ? [] : [[field, of, `${path}.${name}`] as const];
  });
}

/** Rules that the value breaks, as `path: message`. Rules about a change are left out. */
function brokenRules(schema: OpenApiSchema, value: unknown, path: string): string[] {
  const own = (schema["x-kubernetes-validations"] ?? []).flatMap(({ rule, message }) => {
    if (rule.includes("oldSelf")) return [];
    try {
      return obeys(rule, value) ? [] : [`${path}: ${message}`];
    } catch (error) {
      if (error instanceof CelError) return [`${path}: ${rule}: ${error.message}`];
      throw error;
    }
  });
  return [...own, ...partsOf(schema, value, path).flatMap(([part, of, at]) => brokenRules(of, part, at))];
}

/** What an API server makes of a new object: the object that it stores, or why it refuses it. */
export function admitted(
  schema: OpenApiSchema,
  value: unknown,
): { readonly object: unknown; readonly faults: readonly string[]; readonly broken: readonly string[] } {
  const object = prunedAndFilledIn(schema, value);
  const faults = validate(schema, object, "");
  return { object, faults, broken: faults.length > 0 ? [] : brokenRules(schema, object, "") };
}
