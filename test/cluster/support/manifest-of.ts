import type { AnyObject } from "#shared/api/kinds.ts";
import type { Manifest } from "./cluster.ts";

/** The object as a user writes it: without what an API server adds. */
export function manifestOf(object: AnyObject): Manifest {
  const { name, namespace, labels, annotations } = object.metadata;
  const { status: _, ...rest } = { status: undefined, ...object };
  return { ...rest, metadata: { name, labels, annotations, ...(namespace === "" ? {} : { namespace }) } };
}
