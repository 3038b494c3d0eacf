import { stringify } from "yaml";
import { type Json, type Path, SAMPLES, type Sample } from "./manifest-samples.fixture.ts";

/** A manifest of one object with exactly one fault. */
export interface BrokenManifest {
  /** The object's name: `broken-<number>`. */
  readonly name: string;
  /** As messages name it: `Kind namespace/name`. */
  readonly object: string;
  /** The field that a message must name. */
  readonly field: string;
  /** What was done to a valid manifest. */
  readonly fault: string;
  readonly text: string;
}

function isObject(value: Json): value is { readonly [key: string]: Json } {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function isList(value: Json): value is readonly Json[] {
  return Array.isArray(value);
}

/** The value with `change` done at a path; undefined removes what stands there. */
function changed(value: Json, path: Path, change: Json | undefined): Json {
  const [key, ...rest] = path;
  if (key === undefined) return change ?? null;
  if (isList(value)) {
    return value.map((item, index) => (index === key ? changed(item, rest, change) : item));
  }
  const fields = new Map(Object.entries(isObject(value) ? value : {}));
  if (rest.length === 0 && change === undefined) fields.delete(String(key));
  else fields.set(String(key), changed(fields.get(String(key)) ?? null, rest, change));
  return Object.fromEntries(fields);
}

function* nodes(value: Json, path: Path = []): Generator<readonly [Path, Json]> {
  if (path.length > 0) yield [path, value];
  if (isList(value)) for (const [index, item] of value.entries()) yield* nodes(item, [...path, index]);
  else if (isObject(value)) for (const [key, item] of Object.entries(value)) yield* nodes(item, [...path, key]);
}

function text(path: Path): string {
  return path
    .map((part) => (typeof part === "number" ? `[${part}]` : `.${part}`))
    .join("")
    .slice(1);
}

/** A value of a type that nothing in these schemas takes in the place of `value`. */
function wrongType(value: Json): Json {
  if (isList(value)) return { item: "not a list" };
  return isObject(value) ? "not a mapping" : { a: "mapping" };
}

interface Fault {
  readonly path: Path;
  readonly fault: string;
  readonly value: Json;
}

function* faultsOf({ value, required, refused, loose = false }: Sample): Generator<Fault> {
  for (const path of required) {
    yield { path, fault: `${text(path)} removed`, value: changed(value, path, undefined) };
  }
  for (const [path, bad] of refused) {
    yield { path, fault: `${text(path)} is ${JSON.stringify(bad)}`, value: changed(value, path, bad) };
  }
  for (const [path, old] of nodes(value)) {
    // Labels are free, and so is what other programs own.
    if (path.includes("matchLabels") || (path.length === 1 && path[0] === "apiVersion")) continue;
    yield { path, fault: `${text(path)} of a wrong type`, value: changed(value, path, wrongType(old)) };
    if (!loose && isObject(old)) {
      const unknown = [...path, "colour"];
      yield { path: unknown, fault: `unknown ${text(unknown)}`, value: changed(value, unknown, "blue") };
    }
  }
  const version: Path = ["apiVersion"];
  const { apiVersion } = value;
  const group = typeof apiVersion === "string" && apiVersion.includes("/") ? `${apiVersion.split("/")[0]}/` : "";
  yield { path: version, fault: "unknown version", value: changed(value, version, `${group}v9`) };
}

/**
 * Every fault of every kind, one to a manifest, each with a name of its own: well over 200, always the same ones.
 * @param namespace Where the namespaced ones go.
 */
export function brokenManifests(namespace: string): readonly BrokenManifest[] {
  const manifests: BrokenManifest[] = [];
  for (const sample of SAMPLES) {
    for (const { path, fault, value } of faultsOf(sample)) {
      const name = `broken-${manifests.length}`;
      const metadata = sample.namespaced ? { name, namespace } : { name };
      manifests.push({
        name,
        object: `${sample.kind} ${sample.namespaced ? `${namespace}/` : ""}${name}`,
        field: text(path),
        fault,
        text: stringify({ kind: sample.kind, metadata, ...(isObject(value) ? value : {}) }),
      });
    }
  }
  return manifests;
}

/** The manifests that the faults were put into: each is valid. */
export function validManifests(namespace: string): readonly string[] {
  return SAMPLES.map(({ kind, namespaced, value }) =>
    stringify({ kind, metadata: namespaced ? { name: "valid", namespace } : { name: "valid" }, ...value }),
  );
}
