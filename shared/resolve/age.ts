import type { ObjectMeta } from "../api/meta.ts";

/** Code unit order: the same on every machine and in every locale. */
export function compareText(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}

function createdAtMs(metadata: ObjectMeta): number {
  const time = Date.parse(metadata.creationTimestamp ?? "");
  // Manifests in a directory carry no time: they all rank as equally old and the name decides.
  return Number.isNaN(time) ? 0 : time;
}

/** Who wins a conflict comes first (Gateway API, "Conflicts"): the oldest, then the first by namespace and name. */
export function byAge(a: { readonly metadata: ObjectMeta }, b: { readonly metadata: ObjectMeta }): number {
  return (
    createdAtMs(a.metadata) - createdAtMs(b.metadata) ||
    compareText(a.metadata.namespace, b.metadata.namespace) ||
    compareText(a.metadata.name, b.metadata.name)
  );
}
