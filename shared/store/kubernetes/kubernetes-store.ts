import { setMaxListeners } from "node:events";
import { hostname } from "node:os";
import { type AnyObject, describeRef, KINDS, type Kind, type ObjectOf, type ObjectRef } from "../../api/kinds.ts";
import { type Clock, systemClock } from "../../process/clock.ts";
import type { LeaderLock } from "../../process/leader-election.ts";
import type { Log } from "../../process/log.ts";
import type { EventSink } from "../event-sink.ts";
import type { Interest, ObjectStore, ObjectView, StatusOf, WriteOptions } from "../object-store.ts";
import type { Refusal, Refusals } from "../refusals.ts";
import { ApiClient, type ApiClientOptions } from "./api-client.ts";
import type { ApiConfig } from "./api-config.ts";
import { eventObject } from "./event-object.ts";
import { LeaseLock } from "./lease-lock.ts";
import { ObjectWrites } from "./object-writes.ts";
import type { ReflectorTimes } from "./reflector.ts";
import { ServedKinds } from "./served-kinds.ts";
import { WatchSession } from "./watch-session.ts";

export interface KubernetesStoreOptions {
  readonly config: ApiConfig;
  readonly log: Log;
  /** Closes the store. */
  readonly signal: AbortSignal;
  /** The process, as the API server's log shall name it. */
  readonly userAgent: string;
  readonly clock?: Clock;
  /** Between 0 and 1; spreads retries. */
  readonly random?: () => number;
  /** For tests, which cannot wait for minutes. */
  readonly times?: Partial<ReflectorTimes & { readonly servedFreshMs: number }> & ApiClientOptions["times"];
}

/**
 * ObjectStore over the Kubernetes API. Reads by list and watch, writes by server-side apply.
 *
 * An object that its schema refuses is reported, and stays in force as it was last read correctly.
 */
export class KubernetesStore implements ObjectStore {
  readonly #options: KubernetesStoreOptions;
  readonly #client: ApiClient;
  readonly #served: ServedKinds;
  readonly #writes: ObjectWrites;
  readonly #sessions = new Set<WatchSession>();
  readonly #refusals = new Map<string, Refusal>();
  readonly #refusalListeners = new Set<(ref: ObjectRef) => void>();
  #eventSerial = 0;
  readonly #unserved = new Set<Kind>();
  /** What keeps which list or watch from working. */
  readonly #troubles = new Map<Interest, string>();

  constructor(options: KubernetesStoreOptions) {
    this.#options = options;
    const { config, userAgent, times, signal, clock = systemClock } = options;
    this.#client = new ApiClient({ config, userAgent, ...(times === undefined ? {} : { times }) });
    this.#served = new ServedKinds(this.#client, () => clock.nowMs(), times?.servedFreshMs);
    const find = (ref: ObjectRef) => firstOf(this.#sessions, (session) => session.get(ref));
    const object = ({ kind, namespace, name }: ObjectRef): AnyObject | undefined =>
      firstOf(this.#sessions, (session) => session.view.get(kind, namespace, name));
    this.#writes = new ObjectWrites(this.#client, this.#served, { find, object }, signal);
    const close = (): void => this.#client.close();
    if (signal.aborted) close();
    else signal.addEventListener("abort", close, { once: true });
  }

  /** A lock in the namespace of our own processes. */
  lock(name: string): LeaderLock {
    const { config, clock = systemClock } = this.#options;
    return new LeaseLock({
      client: this.#client,
      namespace: config.namespace,
      lease: name,
      now: () => new Date(clock.nowMs()),
    });
  }

  /** Objects that were not read, because they make no sense. */
  readonly refusals: Refusals = {
    list: () => [...this.#refusals.values()],
    watch: (listener, signal) => {
      this.#refusalListeners.add(listener);
      signal.addEventListener("abort", () => this.#refusalListeners.delete(listener), { once: true });
    },
  };

  readonly events: EventSink = {
    post: async (event) => {
      const { signal } = this.#options;
      signal.throwIfAborted();
      const body = eventObject(event, hostname(), this.#eventSerial++);
      const path = `/apis/events.k8s.io/v1/namespaces/${encodeURIComponent(body.metadata.namespace)}/events`;
      await this.#client.ask({ method: "POST", path, body, signal });
    },
  };

  async watch(
    interests: readonly Interest[],
    onChange: (ref: ObjectRef) => void,
    signal: AbortSignal,
  ): Promise<ObjectView> {
    const { clock = systemClock, random = Math.random, times } = this.#options;
    const ends = AbortSignal.any([signal, this.#options.signal]);
    ends.throwIfAborted();
    // Every list, watch and wait listens to it.
    setMaxListeners(0, ends);
    const session = new WatchSession({
      interests,
      client: this.#client,
      served: this.#served,
      signal: ends,
      random,
      nowMs: () => clock.nowMs(),
      ...(times === undefined ? {} : { times }),
      onChange,
      onRefusal: (ref, refusal) => this.#noteRefusal(ref, refusal),
      onServed: ({ kind }, isServed) => this.#noteServed(kind, isServed),
      onTrouble: (interest, error) => this.#noteTrouble(interest, error),
    });
    this.#sessions.add(session);
    ends.addEventListener("abort", () => this.#sessions.delete(session), { once: true });
    return await session.start();
  }

  async apply<K extends Kind>(object: ObjectOf<K> & { readonly kind: K }, options: WriteOptions): Promise<void> {
    this.#options.signal.throwIfAborted();
    await this.#writes.apply(object, options.fieldManager);
  }

  async delete(ref: ObjectRef): Promise<void> {
    this.#options.signal.throwIfAborted();
    await this.#writes.delete(ref);
  }

  async applyStatus(ref: ObjectRef, status: StatusOf, options: WriteOptions): Promise<void> {
    this.#options.signal.throwIfAborted();
    await this.#writes.applyStatus(ref, status, options.fieldManager);
  }

  #noteRefusal(ref: ObjectRef, refusal: Refusal | undefined): void {
    const { log } = this.#options;
    const key = describeRef(ref);
    const before = this.#refusals.get(key);
    if (refusal === undefined) {
      if (this.#refusals.delete(key)) log.info({ object: key }, "the object's problem is gone");
    } else {
      this.#refusals.set(key, refusal);
      if (before?.message !== refusal.message) log.warn({ object: key }, `${key}: ${refusal.message}`);
    }
    for (const listener of this.#refusalListeners) listener(ref);
  }

  #noteServed(kind: Kind, isServed: boolean): void {
    const { log } = this.#options;
    if (isServed && this.#unserved.delete(kind)) log.info({ kind }, "the cluster knows this kind now");
    if (isServed || this.#unserved.has(kind)) return;
    this.#unserved.add(kind);
    log.warn({ kind }, "the cluster does not know this kind: install its CustomResourceDefinition, or do without");
  }

  /** The same trouble of a dozen watches is said once, and once when all of them are over it. */
  #noteTrouble(interest: Interest, error: unknown): void {
    const { log } = this.#options;
    if (error === undefined) {
      if (this.#troubles.delete(interest) && this.#troubles.size === 0) log.info({}, "the API server answers again");
      return;
    }
    const text = error instanceof Error ? error.message : String(error);
    const isNew = ![...this.#troubles.values()].includes(text);
    this.#troubles.set(interest, text);
    if (isNew)
      log.warn({ err: error, resource: KINDS[interest.kind].plural }, "cannot follow the API server; trying again");
  }
}

function firstOf<T, U>(items: Iterable<T>, find: (item: T) => U | undefined): U | undefined {
  for (const item of items) {
    const found = find(item);
    if (found !== undefined) return found;
  }
  return undefined;
}
