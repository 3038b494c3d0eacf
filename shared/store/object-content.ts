import type { AnyObject } from "../api/kinds.ts";

/** Everything but metadata and status: what `metadata.generation` tells the changes of. */
export function specOf(object: AnyObject): unknown {
  return { ...object, metadata: undefined, status: undefined };
}

/** What a generated object says of itself; the rest of its metadata is the store's. */
export function statedOf(object: AnyObject): unknown {
  const { labels, annotations, ownerReferences } = object.metadata;
  return { object: { ...object, metadata: undefined }, labels, annotations, ownerReferences };
}
