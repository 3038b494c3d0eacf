import { type ApiObject, withMetadata } from "./api-object.ts";

/** What happened to one object. */
export interface StorageEvent {
  readonly revision: number;
  /** `plural.group` */
  readonly resource: string;
  readonly before: ApiObject | undefined;
  /** Undefined when it was deleted. */
  readonly after: ApiObject | undefined;
  /** As it was last, with the revision of this event. */
  readonly last: ApiObject;
}

/**
 * What etcd and the watch cache are to an API server: objects, one counter of revisions, and the events since the last
 * compaction. Objects are never changed in place.
 */
export class Storage {
  readonly #tables = new Map<string, Map<string, ApiObject>>();
  readonly #listeners = new Set<(event: StorageEvent) => void>();
  #events: StorageEvent[] = [];
  #revision = 1;
  #compacted = 0;

  get revision(): number {
    return this.#revision;
  }

  /** Events up to this revision are forgotten. */
  get compacted(): number {
    return this.#compacted;
  }

  get(resource: string, namespace: string, name: string): ApiObject | undefined {
    return this.#tables.get(resource)?.get(keyOf(namespace, name));
  }

  /** In order of namespace and name, which is the order of etcd's keys. */
  list(resource: string, namespace?: string): readonly ApiObject[] {
    return [...(this.#tables.get(resource) ?? [])]
      .filter(([key]) => namespace === undefined || key.startsWith(`${namespace}/`))
      .sort(([a], [b]) => (a < b ? -1 : 1))
      .map(([, object]) => object);
  }

  *all(): Generator<readonly [string, ApiObject]> {
    for (const [resource, table] of this.#tables) for (const object of table.values()) yield [resource, object];
  }

  put(resource: string, object: ApiObject): ApiObject {
    this.#revision += 1;
    const stored = withMetadata(object, { resourceVersion: String(this.#revision) });
    const table = this.#tables.get(resource) ?? new Map<string, ApiObject>();
    this.#tables.set(resource, table);
    const key = keyOf(stored.metadata.namespace ?? "", stored.metadata.name ?? "");
    const before = table.get(key);
    table.set(key, stored);
    this.#emit({ revision: this.#revision, resource, before, after: stored, last: stored });
    return stored;
  }

  remove(resource: string, object: ApiObject): void {
    const key = keyOf(object.metadata.namespace ?? "", object.metadata.name ?? "");
    const before = this.#tables.get(resource)?.get(key);
    if (before === undefined) return;
    this.#revision += 1;
    this.#tables.get(resource)?.delete(key);
    const last = withMetadata(before, { resourceVersion: String(this.#revision) });
    this.#emit({ revision: this.#revision, resource, before, after: undefined, last });
  }

  /** Forgets all events so far: whoever continues from before must list again. */
  compact(): void {
    this.#compacted = this.#revision;
    this.#events = [];
  }

  eventsSince(revision: number): readonly StorageEvent[] {
    return this.#events.filter((event) => event.revision > revision);
  }

  /** @returns Ends it. */
  subscribe(listener: (event: StorageEvent) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  #emit(event: StorageEvent): void {
    this.#events.push(event);
    for (const listener of [...this.#listeners]) listener(event);
  }
}

function keyOf(namespace: string, name: string): string {
  return `${namespace}/${name}`;
}
