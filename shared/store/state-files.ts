import { hash } from "node:crypto";
import { join } from "node:path";
import { z } from "zod";
import { describeRef, isKind, KINDS, type ObjectRef } from "../api/kinds.ts";
import type { StatusOf } from "./object-store.ts";

/*
 * The state folder:
 *   objects/<Kind>/<namespace or _>/<name>.json                  an object that a program generated
 *   status/<Kind>/<namespace or _>/<name>/_identity.json         a manifest's object: uid and age
 *   status/<Kind>/<namespace or _>/<name>/<field manager>.json   what one field manager says of the object
 */

const IDENTITY_FILE = "_identity.json";
const NO_NAMESPACE = "_";

export type StatePath =
  | { readonly type: "object"; readonly ref: ObjectRef }
  | { readonly type: "identity"; readonly ref: ObjectRef }
  | { readonly type: "status"; readonly ref: ObjectRef; readonly fieldManager: string };

/** A uid and an age that outlive the processes which see the object. */
export const identitySchema = z.object({ uid: z.string().min(1), creationTimestamp: z.iso.datetime() });
export type Identity = z.infer<typeof identitySchema>;

/** One field manager's part of a status; it counts only for the object of that uid. */
export const statusFileSchema = z.object({ uid: z.string(), status: z.record(z.string(), z.unknown()) });
export interface StatusFile {
  readonly uid: string;
  readonly status: StatusOf;
}

function segments({ kind, namespace, name }: ObjectRef): [string, string, string] {
  for (const part of [namespace, name]) {
    if (/[/\0]/.test(part) || part.startsWith(".") || part === NO_NAMESPACE) {
      throw new TypeError(`${JSON.stringify(part)} cannot name an object`);
    }
  }
  if ((namespace !== "") !== KINDS[kind].namespaced) {
    throw new TypeError(
      `${describeRef({ kind, namespace, name })}: ${kind} is ${namespace === "" ? "" : "not "}namespaced`,
    );
  }
  return [kind, namespace === "" ? NO_NAMESPACE : namespace, name];
}

export function objectPath(ref: ObjectRef): string {
  const [kind, namespace, name] = segments(ref);
  return join("objects", kind, namespace, `${name}.json`);
}

/** The folder of everything that is said of an object. */
export function statusFolder(ref: ObjectRef): string {
  return join("status", ...segments(ref));
}

export function identityPath(ref: ObjectRef): string {
  return join(statusFolder(ref), IDENTITY_FILE);
}

export function statusPath(ref: ObjectRef, fieldManager: string): string {
  if (!/^[A-Za-z0-9][A-Za-z0-9.-]{0,200}$/.test(fieldManager)) {
    throw new TypeError(`field manager ${JSON.stringify(fieldManager)} must be letters, digits, '-' and '.'`);
  }
  return join(statusFolder(ref), `${fieldManager}.json`);
}

/** What a path of the state folder is; undefined for a file that has no business there. */
export function readStatePath(path: string): StatePath | undefined {
  const [tree, kind = "", namespace, ...rest] = path.split("/");
  if (!isKind(kind) || namespace === undefined || !path.endsWith(".json")) return undefined;
  const [first = "", second, ...more] = rest;
  const ref = (name: string): ObjectRef => ({ kind, namespace: namespace === NO_NAMESPACE ? "" : namespace, name });
  if (tree === "objects" && second === undefined) return { type: "object", ref: ref(first.slice(0, -5)) };
  if (tree !== "status" || second === undefined || more.length > 0) return undefined;
  if (second === IDENTITY_FILE) return { type: "identity", ref: ref(first) };
  return { type: "status", ref: ref(first), fieldManager: second.slice(0, -5) };
}

/**
 * A generation for an object that nobody counts the changes of: it changes with the spec, and every process finds the
 * same. It does not grow.
 */
export function generationOf(specHash: string): number {
  return 1 + Number.parseInt(specHash.slice(0, 7), 16);
}

/** The resource version of an object that is made of these parts: it changes when, and only when, one of them does. */
export function versionOf(parts: readonly string[]): string {
  return hash("sha1", parts.join("\0")).slice(0, 16);
}
