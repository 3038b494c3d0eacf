import { isDeepStrictEqual } from "node:util";
import { type AnyObject, describeRef, type Kind, type ObjectOf, type ObjectRef } from "../api/kinds.ts";
import { specOf, statedOf } from "./object-content.ts";
import { ObjectIndex, refOf } from "./object-index.ts";
import {
  type Interest,
  type ObjectStore,
  type ObjectView,
  type StatusOf,
  StoreConflictError,
  StoreNotFoundError,
  type WriteOptions,
} from "./object-store.ts";
import { withStatusLayers } from "./status-merge.ts";
import { WatchHub } from "./watch-hub.ts";

interface Entry {
  /** As it was put or applied, with the metadata that a store gives. */
  readonly object: AnyObject;
  /** Who generated it; undefined for an object that was put. */
  readonly owner: string | undefined;
  readonly layers: ReadonlyMap<string, StatusOf>;
}

/**
 * An ObjectStore in memory, for tests: changes reach every watch before the call that makes them returns.
 * `put` and `remove` play the user, the interface's methods are the program's.
 */
export class MemoryStore implements ObjectStore {
  readonly #entries = new Map<string, Entry>();
  readonly #merged = new ObjectIndex();
  readonly #hub = new WatchHub();
  #version = 0;

  constructor(objects: Iterable<AnyObject> = []) {
    for (const object of objects) this.put(object);
  }

  /** Creates or replaces a user's object; its uid and generation are kept or made, what others said of it stays. */
  put(object: AnyObject): void {
    this.#store(object, undefined);
  }

  /** Deletes any object, with what was said of it. */
  remove(ref: ObjectRef): void {
    if (!this.#entries.delete(describeRef(ref))) return;
    this.#merged.delete(ref);
    this.#hub.update([{ ref, object: undefined }]);
  }

  /** The object with all parts of its status. */
  get<K extends Kind>(kind: K, namespace: string, name: string): ObjectOf<K> | undefined {
    return this.#merged.get(kind, namespace, name);
  }

  list<K extends Kind>(kind: K): readonly ObjectOf<K>[] {
    return this.#merged.list(kind);
  }

  watch(interests: readonly Interest[], onChange: (ref: ObjectRef) => void, signal: AbortSignal): Promise<ObjectView> {
    return this.#hub.open(interests, this.#merged.all(), onChange, signal);
  }

  async apply<K extends Kind>(object: ObjectOf<K> & { readonly kind: K }, options: WriteOptions): Promise<void> {
    const ref = refOf(object);
    const entry = this.#entries.get(describeRef(ref));
    if (entry !== undefined && entry.owner !== options.fieldManager) {
      throw new StoreConflictError(`${describeRef(ref)} belongs to ${entry.owner ?? "the user"}`);
    }
    if (entry !== undefined && isDeepStrictEqual(statedOf(entry.object), statedOf(object))) return;
    this.#store(object, options.fieldManager);
  }

  async delete(ref: ObjectRef): Promise<void> {
    this.remove(ref);
  }

  async applyStatus(ref: ObjectRef, status: StatusOf, options: WriteOptions): Promise<void> {
    const entry = this.#entries.get(describeRef(ref));
    if (entry === undefined) throw new StoreNotFoundError(`${describeRef(ref)} is gone`);
    if (isDeepStrictEqual(entry.layers.get(options.fieldManager), status)) return;
    this.#publish(ref, { ...entry, layers: new Map(entry.layers).set(options.fieldManager, status) });
  }

  #store(object: AnyObject, owner: string | undefined): void {
    const ref = refOf(object);
    const before = this.#entries.get(describeRef(ref));
    const { uid, generation } = object.metadata;
    const metadata = Object.assign({}, object.metadata, {
      uid: before?.object.metadata.uid ?? (uid === "" ? `uid-${this.#version + 1}` : uid),
      generation:
        before === undefined
          ? generation
          : before.object.metadata.generation + (isDeepStrictEqual(specOf(before.object), specOf(object)) ? 0 : 1),
    });
    this.#publish(ref, {
      object: Object.assign({}, object, { metadata }),
      owner,
      layers: before?.layers ?? new Map(),
    });
  }

  #publish(ref: ObjectRef, entry: Entry): void {
    const merged: AnyObject = withStatusLayers(entry.object, entry.layers, (fieldManager, reason) => {
      throw new TypeError(`the status of ${describeRef(ref)} by ${fieldManager} does not fit its kind: ${reason}`);
    });
    this.#entries.set(describeRef(ref), entry);
    this.#version += 1;
    const metadata = Object.assign({}, merged.metadata, { resourceVersion: String(this.#version) });
    const published: AnyObject = Object.assign({}, merged, { metadata });
    this.#merged.set(published.kind, published);
    this.#hub.update([{ ref, object: published }]);
  }
}
