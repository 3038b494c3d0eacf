import { isDeepStrictEqual } from "node:util";
import { isFields, type OpenApiSchema } from "#shared/api/structural-schema.fixture.ts";

/*
 * Sets of fields as server-side apply counts them (structured-merge-diff): a path is a list of elements `f:field`,
 * `k:{"key":"value"}` for an item of a list that is a map, `v:value` for one of a set. A path stands as one text.
 */

export type FieldSet = ReadonlySet<string>;

const SEPARATOR = "\0";
const NO_SCHEMA: OpenApiSchema = {};
/** Stands for an item of a list itself, beside its fields. */
export const PRESENT = Symbol("present");

/** `metadata` and what the API server itself writes belongs to nobody. */
const UNOWNED = new Set([
  "f:apiVersion",
  "f:kind",
  ...[
    "name",
    "namespace",
    "uid",
    "resourceVersion",
    "generation",
    "creationTimestamp",
    "deletionTimestamp",
    "deletionGracePeriodSeconds",
    "managedFields",
    "generateName",
  ].map((field) => `f:metadata${SEPARATOR}f:${field}`),
]);

export type ListKind = "atomic" | "set" | "map";

export function listKind(schema: OpenApiSchema): ListKind {
  return schema["x-kubernetes-list-type"] ?? "atomic";
}

/** The schema of a field of an object. */
export function fieldSchema(schema: OpenApiSchema, field: string): OpenApiSchema {
  const { properties, additionalProperties } = schema;
  const known = properties !== undefined && Object.hasOwn(properties, field) ? properties[field] : undefined;
  return known ?? additionalProperties ?? NO_SCHEMA;
}

/** The element that names an item of a list that is a map or a set. */
export function itemElement(schema: OpenApiSchema, item: unknown): string {
  if (listKind(schema) === "set") return `v:${JSON.stringify(item)}`;
  const keys = schema["x-kubernetes-list-map-keys"] ?? [];
  const entries = [...keys].sort().map((key) => {
    const given = isFields(item) ? item[key] : undefined;
    return [key, given ?? fieldSchema(schema.items ?? NO_SCHEMA, key).default ?? null] as const;
  });
  return `k:${JSON.stringify(Object.fromEntries(entries))}`;
}

export function isGranular(schema: OpenApiSchema): boolean {
  return schema["x-kubernetes-map-type"] !== "atomic";
}

function collect(schema: OpenApiSchema, value: unknown, path: string, leaves: Map<string, unknown>): void {
  const at = (element: string): string => (path === "" ? element : `${path}${SEPARATOR}${element}`);
  if (isFields(value) && isGranular(schema) && (path === "" || Object.keys(value).length > 0)) {
    for (const [field, part] of Object.entries(value)) {
      const next = at(`f:${field}`);
      if (!UNOWNED.has(next)) collect(fieldSchema(schema, field), part, next, leaves);
    }
    return;
  }
  if (Array.isArray(value) && listKind(schema) !== "atomic" && value.length > 0) {
    for (const item of value) {
      const next = at(itemElement(schema, item));
      if (listKind(schema) === "map") {
        leaves.set(next, PRESENT);
        collect(schema.items ?? NO_SCHEMA, item, next, leaves);
      } else {
        leaves.set(next, item);
      }
    }
    return;
  }
  if (path !== "") leaves.set(path, value);
}

/** All fields of an object that somebody can own, with their values. */
export function leavesOf(schema: OpenApiSchema, object: unknown): ReadonlyMap<string, unknown> {
  const leaves = new Map<string, unknown>();
  collect(schema, object, "", leaves);
  return leaves;
}

/** Fields of `after` that are new or other than in `before`, and those that are gone. */
export function difference(
  before: ReadonlyMap<string, unknown>,
  after: ReadonlyMap<string, unknown>,
): { readonly changed: FieldSet; readonly removed: FieldSet } {
  const changed = [...after].filter(
    ([path, value]) => !before.has(path) || !isDeepStrictEqual(before.get(path), value),
  );
  return {
    changed: new Set(changed.map(([path]) => path)),
    removed: new Set([...before.keys()].filter((path) => !after.has(path))),
  };
}

/** A field that became an object, or the reverse, overlaps: `f:a` and what lies beneath it. */
export function overlaps(path: string, set: FieldSet): boolean {
  if (set.has(path)) return true;
  for (const other of set) {
    if (other.startsWith(`${path}${SEPARATOR}`) && !isItem(path)) return true;
    if (path.startsWith(`${other}${SEPARATOR}`) && !isItem(other)) return true;
  }
  return false;
}

function isItem(path: string): boolean {
  return lastElement(path).startsWith("k:");
}

function lastElement(path: string): string {
  return path.slice(path.lastIndexOf(SEPARATOR) + 1);
}

export function elementsOf(path: string): readonly string[] {
  return path.split(SEPARATOR);
}

/** `.spec.ports[k:{"port":80}].name`, as conflicts are told. */
export function pathText(path: string): string {
  return elementsOf(path)
    .map((element) => (element.startsWith("f:") ? `.${element.slice(2)}` : `[${element.slice(2)}]`))
    .join("");
}

/** Whether a field, or one beneath it, is in the set. */
export function holdsAny(set: FieldSet, path: string): boolean {
  if (set.has(path)) return true;
  for (const other of set) if (other.startsWith(`${path}${SEPARATOR}`)) return true;
  return false;
}

interface Node {
  present: boolean;
  readonly children: Map<string, Node>;
}

function encodeNode({ present, children }: Node): Record<string, unknown> {
  const entries = [...children].map(([element, node]) => [element, encodeNode(node)] as const);
  return Object.fromEntries(present && entries.length > 0 ? [[".", {}], ...entries] : entries);
}

/** The set as `managedFields[].fieldsV1` has it. */
export function encodeFieldSet(set: FieldSet): Record<string, unknown> {
  const root: Node = { present: false, children: new Map() };
  for (const path of [...set].sort()) {
    let at = root;
    for (const element of elementsOf(path)) {
      const next = at.children.get(element) ?? { present: false, children: new Map<string, Node>() };
      at.children.set(element, next);
      at = next;
    }
    at.present = true;
  }
  return encodeNode(root);
}

export function decodeFieldSet(fields: Readonly<Record<string, unknown>>): FieldSet {
  const set = new Set<string>();
  const walk = (node: Readonly<Record<string, unknown>>, path: string): void => {
    const elements = Object.entries(node);
    if (path !== "" && (elements.length === 0 || "." in node)) set.add(path);
    for (const [element, child] of elements) {
      if (element === "." || !isFields(child)) continue;
      walk(child, path === "" ? element : `${path}${SEPARATOR}${element}`);
    }
  };
  walk(fields, "");
  return set;
}
