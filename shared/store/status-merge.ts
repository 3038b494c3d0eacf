import { z } from "zod";
import { KINDS, type Kind, type ObjectOf } from "../api/kinds.ts";
import type { StatusOf } from "./object-store.ts";

/*
 * Server-side apply for statuses: every field manager writes its own layer, and a reader merges them. Objects merge
 * field by field, the lists below merge item by item, every other list is taken whole from the last layer that has it.
 */

/** Lists that are maps: the field's name, and what tells two items apart. */
const LIST_KEYS: ReadonlyMap<string, (item: StatusOf) => unknown> = new Map([
  ["conditions", (item) => item.type],
  ["parents", (item) => [parentKey(item.parentRef), item.controllerName]],
  ["instances", (item) => item.name],
  ["listeners", (item) => item.name],
  ["addresses", (item) => item.value],
  ["podIPs", (item) => item.ip],
]);

/** A parentRef may be written with or without the fields that have defaults; it names the same parent. */
function parentKey(ref: unknown): unknown {
  if (!isPlainObject(ref)) return ref;
  const { group = "gateway.networking.k8s.io", kind = "Gateway", namespace, name, sectionName, port } = ref;
  return [group, kind, namespace, name, sectionName, port];
}

function isPlainObject(value: unknown): value is StatusOf {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function mergeList(lower: readonly unknown[], upper: readonly unknown[], keyOf: (item: StatusOf) => unknown): unknown {
  const items = new Map<string, unknown>();
  for (const item of [...lower, ...upper]) {
    const key = JSON.stringify(isPlainObject(item) ? keyOf(item) : item) ?? "";
    items.set(key, mergeValue("", items.get(key), item));
  }
  return [...items.values()];
}

function mergeValue(field: string, lower: unknown, upper: unknown): unknown {
  if (isPlainObject(lower) && isPlainObject(upper)) return mergeObjects(lower, upper);
  const keyOf = LIST_KEYS.get(field);
  return keyOf !== undefined && Array.isArray(lower) && Array.isArray(upper) ? mergeList(lower, upper, keyOf) : upper;
}

function mergeObjects(lower: StatusOf, upper: StatusOf): StatusOf {
  const fields = new Map(Object.entries(lower));
  for (const [field, value] of Object.entries(upper)) fields.set(field, mergeValue(field, fields.get(field), value));
  return Object.fromEntries(fields);
}

/** The status that the layers make together, later ones above earlier ones. */
export function mergeStatus(layers: readonly StatusOf[]): StatusOf {
  return layers.reduce<StatusOf>(mergeObjects, {});
}

/**
 * The object with the layers laid over its own status.
 * @param layers By field manager; they apply in order of the managers' names, so every reader sees the same.
 * @param refused Is told of a layer that does not fit the kind's schema; the object keeps the others.
 */
export function withStatusLayers<K extends Kind>(
  object: ObjectOf<K>,
  layers: ReadonlyMap<string, StatusOf>,
  refused: (fieldManager: string, reason: string) => void,
): ObjectOf<K> {
  if (layers.size === 0) return object;
  const shape: Readonly<Record<string, z.core.$ZodType>> = KINDS[object.kind].schema.shape;
  const schema = shape.status ?? z.unknown();
  let status: unknown = "status" in object && isPlainObject(object.status) ? object.status : {};
  for (const [fieldManager, layer] of [...layers].sort(([a], [b]) => (a < b ? -1 : 1))) {
    const merged = isPlainObject(status) ? mergeObjects(status, layer) : layer;
    const parsed = z.safeParse(schema, merged);
    if (parsed.success) status = parsed.data;
    else refused(fieldManager, z.prettifyError(parsed.error));
  }
  return Object.assign({}, object, { status });
}
