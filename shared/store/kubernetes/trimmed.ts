import { z } from "zod";
import { alternatives } from "../schema-walk.ts";

/*
 * What a schema does not read is dropped before an object is kept: managedFields, most of a pod, fields of newer API
 * versions. The schema alone says what stays.
 */

type Trim = (value: unknown) => unknown;

const whole: Trim = (value) => value;

function isRecord(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function trimOf(schemas: readonly unknown[]): Trim {
  const objects = schemas.filter((schema) => schema instanceof z.ZodObject);
  const arrays = schemas.filter((schema) => schema instanceof z.ZodArray);
  const isOpen = schemas.some(
    (schema) => schema instanceof z.ZodUnknown || schema instanceof z.ZodAny || schema instanceof z.ZodRecord,
  );
  if (isOpen || (objects.length === 0 && arrays.length === 0)) return whole;
  const fields = new Map<string, unknown[]>();
  for (const { shape } of objects) {
    for (const [name, schema] of Object.entries(shape)) {
      fields.set(name, [...(fields.get(name) ?? []), ...alternatives(schema)]);
    }
  }
  const trims = [...fields].map(([name, field]) => [name, trimOf(field)] as const);
  const element = trimOf(arrays.flatMap((schema) => alternatives(schema.element)));
  return (value) => {
    if (Array.isArray(value)) return arrays.length === 0 ? value : value.map(element);
    if (!isRecord(value) || objects.length === 0) return value;
    const kept: Record<string, unknown> = {};
    for (const [name, trim] of trims)
      if (value[name] !== undefined && value[name] !== null) kept[name] = trim(value[name]);
    return kept;
  };
}

/** Takes an object's fields that `schema` names, in the schema's order; nulls are as if they were not there. */
export function trimmerOf(schema: z.ZodType): Trim {
  return trimOf(alternatives(schema));
}
