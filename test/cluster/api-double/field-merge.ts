import { isFields, type OpenApiSchema } from "#shared/api/structural-schema.fixture.ts";
import { elementsOf, fieldSchema, isGranular, itemElement, listKind } from "./field-set.ts";

/* How server-side apply puts what a client states into what is there, and takes out what it states no more. */

/** `applied` laid over `live`: objects field by field, lists that are maps or sets item by item, all else whole. */
export function merged(schema: OpenApiSchema, live: unknown, applied: unknown): unknown {
  if (isFields(live) && isFields(applied) && isGranular(schema)) {
    const fields = new Map(Object.entries(live));
    for (const [field, value] of Object.entries(applied)) {
      fields.set(field, merged(fieldSchema(schema, field), fields.get(field), value));
    }
    return Object.fromEntries(fields);
  }
  if (Array.isArray(live) && Array.isArray(applied) && listKind(schema) !== "atomic") {
    const items = new Map(live.map((item) => [itemElement(schema, item), item as unknown]));
    for (const item of applied) {
      const element = itemElement(schema, item);
      items.set(element, merged(schema.items ?? {}, items.get(element), item));
    }
    return [...items.values()];
  }
  return applied;
}

const GONE = Symbol("gone");

function removed(schema: OpenApiSchema, value: unknown, elements: readonly string[]): unknown {
  const [element, ...rest] = elements;
  if (element === undefined) return GONE;
  if (isFields(value) && element.startsWith("f:")) {
    const field = element.slice(2);
    if (!Object.hasOwn(value, field)) return value;
    const left = removed(fieldSchema(schema, field), value[field], rest);
    const { [field]: _, ...others } = value;
    if (left !== GONE) return { ...others, [field]: left };
    return Object.keys(others).length === 0 ? GONE : others;
  }
  if (Array.isArray(value)) {
    const items = value.flatMap((item: unknown) => {
      if (itemElement(schema, item) !== element) return [item];
      const left = removed(schema.items ?? {}, item, rest);
      return left === GONE ? [] : [left];
    });
    return items.length === 0 ? GONE : items;
  }
  return value;
}

/** The object without the field at `path`; an object or a list that is left empty goes with it. */
export function without(schema: OpenApiSchema, object: unknown, path: string): unknown {
  const left = removed(schema, object, elementsOf(path));
  return left === GONE ? {} : left;
}
