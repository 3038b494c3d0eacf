import type { Kind, ObjectOf, ObjectRef } from "../api/kinds.ts";
import type { LabelSelector } from "../api/meta.ts";

/** What a process wants to keep in memory: objects of a kind, all or those for which everything given here holds. */
export interface Interest {
  readonly kind: Kind;
  readonly namespace?: string;
  readonly matchLabels?: Readonly<Record<string, string>>;
  readonly matchExpressions?: LabelSelector["matchExpressions"];
  /** Pods of this node. */
  readonly nodeName?: string;
}

/** The objects of the watched kinds as they were last seen: synchronous, consistent within one turn of the event loop. */
export interface ObjectView {
  get<K extends Kind>(kind: K, namespace: string, name: string): ObjectOf<K> | undefined;
  /** In order of namespace, then name. */
  list<K extends Kind>(kind: K): readonly ObjectOf<K>[];
}

/**
 * Where objects live: the Kubernetes API, or a directory of manifests. Level-triggered: `onChange` only says which
 * object to look at again; several changes of one object may arrive as one.
 */
export interface ObjectStore {
  /**
   * Keeps the wanted kinds in memory until `signal` aborts. Resolves when all of them have been read once; `onChange`
   * is first called after that.
   * @throws StoreUnavailableError when the store cannot be read at all.
   */
  watch(interests: readonly Interest[], onChange: (ref: ObjectRef) => void, signal: AbortSignal): Promise<ObjectView>;

  /**
   * Creates or updates an object that this program generates. Nothing is written when nothing would change.
   * @throws StoreConflictError when an object of that name exists that is not ours to write.
   */
  apply<K extends Kind>(object: ObjectOf<K> & { readonly kind: K }, options: WriteOptions): Promise<void>;

  /** Deletes a generated object; deleting what is not there succeeds. */
  delete(ref: ObjectRef): Promise<void>;

  /**
   * Replaces the part of an object's status that this field manager owns (server-side apply): fields it no longer
   * names go, other managers' fields stay. Lists of conditions, parents, listeners and instances merge by their key.
   * @throws StoreNotFoundError when the object is gone.
   */
  applyStatus(ref: ObjectRef, status: StatusOf, options: WriteOptions): Promise<void>;
}

export interface WriteOptions {
  /** Who writes, for example `controller` or `frontend-gateway-a`. */
  readonly fieldManager: string;
}

/** A status in plain JSON, as it goes into the object. */
export type StatusOf = Readonly<Record<string, unknown>>;

/** The store cannot be reached now; the caller tries again. */
export class StoreUnavailableError extends Error {
  override readonly name = "StoreUnavailableError";
}

/** The object is gone; the caller drops what it was doing. */
export class StoreNotFoundError extends Error {
  override readonly name = "StoreNotFoundError";
}

/** The object belongs to somebody else; the caller reports and leaves it. */
export class StoreConflictError extends Error {
  override readonly name = "StoreConflictError";
}

/** What was to be written makes no sense, or may not be written by us; trying the same again does not help. */
export class StoreRefusedError extends Error {
  override readonly name = "StoreRefusedError";
}
