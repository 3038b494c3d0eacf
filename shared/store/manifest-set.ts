import { describeRef, type ObjectRef } from "../api/kinds.ts";
import type { ManifestFile, ManifestObject } from "./manifest-file.ts";
import type { Problem } from "./problem.ts";

/** A manifest's object that is in force. */
export interface ObjectInForce extends ManifestObject {
  readonly object: NonNullable<ManifestObject["object"]>;
  readonly file: string;
  /** When its file was last put in place (ctime), ms since the epoch: the object's age, when it is first seen. */
  readonly placedMs: number;
}

interface FileState {
  readonly parsed: ManifestFile;
  /** By name of the object: the version in force, which may be older than the file's. */
  readonly inForce: ReadonlyMap<string, ObjectInForce>;
}

/**
 * All manifest files together. An object that its file no longer states correctly stays in force as it last was: the
 * document is broken but still names it, or some document of the file cannot be read, so that nobody knows what it
 * was to say. It goes when its file goes, or when the file is readable throughout and does not hold it. Of an object
 * that stands in several files the first by file name is in force.
 */
export class ManifestSet {
  readonly #files = new Map<string, FileState>();
  /** By name of the object: the files that hold it, sorted. */
  readonly #holders = new Map<string, string[]>();

  /** Takes a file's new content. @returns The objects to look at again. */
  put(parsed: ManifestFile, placedMs: number): readonly ObjectRef[] {
    const before = this.#files.get(parsed.file);
    const inForce = new Map<string, ObjectInForce>();
    for (const entry of parsed.objects) {
      const name = describeRef(entry.ref);
      if (inForce.has(name)) continue;
      const last = before?.inForce.get(name);
      if (entry.object !== undefined) {
        inForce.set(name, { ...entry, object: entry.object, file: parsed.file, placedMs: last?.placedMs ?? placedMs });
      } else if (last !== undefined) inForce.set(name, last);
    }
    if (!parsed.complete) {
      for (const [name, last] of before?.inForce ?? []) if (!inForce.has(name)) inForce.set(name, last);
    }
    return this.#replace(parsed.file, { parsed, inForce });
  }

  /** A file is gone. @returns The objects to look at again. */
  remove(file: string): readonly ObjectRef[] {
    return this.#replace(file, undefined);
  }

  get(ref: ObjectRef): ObjectInForce | undefined {
    const name = describeRef(ref);
    for (const file of this.#holders.get(name) ?? []) {
      const entry = this.#files.get(file)?.inForce.get(name);
      if (entry !== undefined) return entry;
    }
    return undefined;
  }

  /** Whether a file's content is in force. */
  holds(file: string): boolean {
    return (this.#files.get(file)?.inForce.size ?? 0) > 0;
  }

  problems(): readonly Problem[] {
    const files = [...this.#files.keys()].sort();
    return files.flatMap((file) => [...(this.#files.get(file)?.parsed.problems ?? []), ...this.#duplicates(file)]);
  }

  problemsOf(file: string): readonly Problem[] {
    return [...(this.#files.get(file)?.parsed.problems ?? []), ...this.#duplicates(file)];
  }

  #replace(file: string, state: FileState | undefined): readonly ObjectRef[] {
    const before = this.#files.get(file);
    const touched = new Map<string, ObjectRef>();
    for (const [name, { ref }] of [...(before?.inForce ?? []), ...(state?.inForce ?? [])]) touched.set(name, ref);
    if (state === undefined) this.#files.delete(file);
    else this.#files.set(file, state);
    for (const name of touched.keys()) {
      const others = (this.#holders.get(name) ?? []).filter((other) => other !== file);
      const holders = state?.inForce.has(name) ? [...others, file].sort() : others;
      if (holders.length === 0) this.#holders.delete(name);
      else this.#holders.set(name, holders);
    }
    return [...touched.values()];
  }

  /** A file's objects that are not in force because they stand somewhere before, too. */
  #duplicates(file: string): readonly Problem[] {
    const state = this.#files.get(file);
    const seen = new Map<string, number>();
    return (state?.parsed.objects ?? []).flatMap(({ ref, line, column }): readonly Problem[] => {
      const object = describeRef(ref);
      const first = this.#holders.get(object)?.[0];
      const earlier = seen.get(object);
      if (earlier === undefined) seen.set(object, line);
      const where = first === undefined || first >= file ? earlier && `line ${earlier} of this file` : first;
      if (!where) return [];
      const message = `is already defined in ${where}, and that one is in force`;
      return [{ file, line, column, object, message, fix: "remove one of the two, or rename it" }];
    });
  }
}
