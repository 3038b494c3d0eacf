import { z } from "zod";

/*
 * What a schema allows at a path: messages name the fields and values that would have been right. Wrappers (optional,
 * defaults, transforms) are looked through; where a union allows several shapes, all of them count.
 */

/** The shapes that a schema allows, wrappers looked through. */
export function alternatives(schema: unknown): readonly unknown[] {
  if (schema instanceof z.ZodOptional || schema instanceof z.ZodNullable) return alternatives(schema.unwrap());
  if (schema instanceof z.ZodDefault || schema instanceof z.ZodPrefault) return alternatives(schema.unwrap());
  if (schema instanceof z.ZodPipe) return [...alternatives(schema.in), ...alternatives(schema.out)];
  if (schema instanceof z.ZodUnion) return schema.options.flatMap(alternatives);
  return [schema];
}

function step(schema: unknown, key: PropertyKey): readonly unknown[] {
  if (schema instanceof z.ZodArray) return alternatives(schema.element);
  if (schema instanceof z.ZodRecord) return alternatives(schema.valueType);
  if (schema instanceof z.ZodObject && typeof key === "string" && Object.hasOwn(schema.shape, key)) {
    return alternatives(schema.shape[key]);
  }
  return [];
}

function schemasAt(schema: z.ZodType, path: readonly PropertyKey[]): readonly unknown[] {
  return path.reduce<readonly unknown[]>((at, key) => at.flatMap((one) => step(one, key)), alternatives(schema));
}

/** The fields that the object at `path` may have. */
export function fieldsAt(schema: z.ZodType, path: readonly PropertyKey[]): readonly string[] {
  const objects = schemasAt(schema, path).filter((at) => at instanceof z.ZodObject);
  return [...new Set(objects.flatMap((at) => Object.keys(at.shape)))];
}

/** The values that are allowed at `path`, when the schema lists them. */
export function valuesAt(schema: z.ZodType, path: readonly PropertyKey[]): readonly string[] {
  return schemasAt(schema, path).flatMap((at) => {
    if (at instanceof z.ZodLiteral) return [...at.values].map(String);
    return at instanceof z.ZodEnum ? at.options.map(String) : [];
  });
}
