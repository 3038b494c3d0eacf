import { describeRef } from "../api/kinds.ts";
import { checkReferences } from "./cross-check.ts";
import type { ManifestFile } from "./manifest-file.ts";
import { ManifestSet } from "./manifest-set.ts";
import { ObjectIndex } from "./object-index.ts";
import { fieldText, type Problem } from "./problem.ts";

/** A problem of a set of manifests. An error is refused by the store; a warning may be right where a cluster has more. */
interface Finding extends Problem {
  readonly severity: "error" | "warning";
}

/** What was looked at, and everything that was found. */
export interface Validation {
  readonly files: number;
  /** Objects that are right in themselves. */
  readonly objects: number;
  readonly findings: readonly Finding[];
}

/** Checks manifests as the store would read them, then their references to each other. */
export function validateManifests(files: readonly ManifestFile[]): Validation {
  const set = new ManifestSet();
  for (const file of files) set.put(file, 0);
  const index = new ObjectIndex();
  const entries = files.flatMap(({ objects }) => objects.flatMap(({ ref }) => set.get(ref) ?? []));
  for (const { object } of entries) index.set(object.kind, object);
  const errors = set.problems().map((problem): Finding => ({ ...problem, severity: "error" }));
  const dangling = checkReferences(index).flatMap(({ ref, path, message, fix }): Finding[] => {
    const entry = set.get(ref);
    if (entry === undefined) return [];
    const place = entry.placeOf(path);
    const about = { object: describeRef(ref), field: fieldText(path), message, ...(fix === undefined ? {} : { fix }) };
    return [{ severity: "warning", file: entry.file, ...place, ...about }];
  });
  const foreign = files.flatMap(({ file, foreign }) =>
    foreign.map(({ apiVersion, kind, name, line }): Finding => {
      const message = `${apiVersion} ${kind} is not read by Causeway`;
      return { severity: "warning", file, line, column: 1, object: `${kind} ${name}`, message };
    }),
  );
  const findings = [...errors, ...dangling, ...foreign].sort(
    (a, b) => (a.file < b.file ? -1 : a.file > b.file ? 1 : 0) || a.line - b.line || a.column - b.column,
  );
  return { files: files.length, objects: [...index.all()].length, findings };
}
