import { describeRef, type ObjectRef } from "#shared/api/kinds.ts";
import { GATEWAY_NAME_LABEL } from "#shared/api/names.ts";
import type { Clock } from "#shared/process/clock.ts";
import type { Log } from "#shared/process/log.ts";
import { type ObjectStore, type ObjectView, StoreNotFoundError } from "#shared/store/object-store.ts";

/** How long a Pod is away before it is taken for gone: Pods and statuses are seen in no particular order. */
const GONE_MS = 30_000;

/** Statuses in which each instance, or relay, has an entry. */
const KINDS = ["BgpPeer", "HealthCheck", "DiscoveryDomain", "Topic"] as const;

/** Processes that write the entries; their field managers are `writer-pod`. */
const WRITERS = { BgpPeer: "frontend", HealthCheck: "proxy", DiscoveryDomain: "discovery", Topic: "topics" } as const;

/** What is in the status of one object. */
interface InstanceEntry {
  /** The Pod that it is of. */
  readonly name: string;
  /** Of the Pod; of an entry of a DiscoveryDomain. */
  readonly namespace?: string | undefined;
}

/**
 * Takes the entries of instances, relays and pods of Topics that are gone out of statuses: one that was killed could not do it itself. Entries belong
 * to those who wrote them, so it is done in their name.
 */
export class GoneInstances {
  readonly #view: ObjectView;
  readonly #store: ObjectStore;
  readonly #clock: Clock;
  readonly #log: Log;
  /** Since when the Pod of an entry has been away. */
  readonly #awayMs = new Map<string, number>();

  constructor(view: ObjectView, store: ObjectStore, clock: Clock, log: Log) {
    this.#view = view;
    this.#store = store;
    this.#clock = clock;
    this.#log = log;
  }

  /** Whether a change of the object can change anything here: of Pods, those that have an entry somewhere. */
  concerns({ kind, name }: ObjectRef): boolean {
    if (kind !== "Pod") return KINDS.some((one) => one === kind);
    for (const one of KINDS) {
      for (const { status } of this.#view.list(one)) {
        if (status?.instances.some((entry) => entry.name === name)) return true;
      }
    }
    return false;
  }

  /**
   * @returns after how many milliseconds the next one is taken for gone.
   * @throws AggregateError when some could not be taken out; all were tried.
   */
  async reconcile(): Promise<number | undefined> {
    const failures: unknown[] = [];
    const nowMs = this.#clock.nowMs();
    const seen = new Set<string>();
    let againMs: number | undefined;
    for (const kind of KINDS) {
      for (const { metadata, status } of this.#view.list(kind)) {
        const ref: ObjectRef = { kind, namespace: metadata.namespace, name: metadata.name };
        for (const entry of status?.instances ?? []) {
          if (this.#isThere(kind, metadata.namespace, entry)) continue;
          const key = `${describeRef(ref)} ${entry.name}`;
          seen.add(key);
          const leftMs = (this.#awayMs.get(key) ?? nowMs) + GONE_MS - nowMs;
          if (leftMs <= 0) {
            try {
              await this.#remove(ref, entry.name, WRITERS[kind]);
            } catch (error) {
              // An object that cannot be written must not keep the others' entries.
              failures.push(error);
            }
          } else {
            this.#awayMs.set(key, nowMs + leftMs - GONE_MS);
            againMs = Math.min(againMs ?? leftMs, leftMs);
          }
        }
      }
    }
    for (const key of this.#awayMs.keys()) if (!seen.has(key)) this.#awayMs.delete(key);
    if (failures.length > 0)
      throw new AggregateError(failures, `entries that could not be taken out: ${failures.length}`);
    return againMs;
  }

  #isThere(kind: (typeof KINDS)[number], namespace: string, entry: InstanceEntry): boolean {
    switch (kind) {
      case "BgpPeer":
      case "Topic":
        // Instances speak to the routers of their own namespace, and ask the targets of all. Topics are served in theirs.
        return this.#view.get("Pod", namespace, entry.name) !== undefined;
      case "HealthCheck":
        return this.#isInstance(entry.name);
      case "DiscoveryDomain":
        // A relay that never saw a Pod of its own runs without one.
        return entry.namespace === undefined || this.#view.get("Pod", entry.namespace, entry.name) !== undefined;
    }
  }

  #isInstance(name: string): boolean {
    return this.#view
      .list("Pod")
      .some(({ metadata }) => metadata.name === name && metadata.labels[GATEWAY_NAME_LABEL] !== undefined);
  }

  async #remove(ref: ObjectRef, instance: string, writer: string): Promise<void> {
    try {
      // What else it has written goes as well: the condition of a DiscoveryDomain.
      await this.#store.applyStatus(ref, { instances: [] }, { fieldManager: `${writer}-${instance}` });
      this.#log.info({ object: describeRef(ref), instance }, "the entry of an instance that is gone is taken out");
    } catch (error) {
      if (!(error instanceof StoreNotFoundError)) throw error;
    }
  }
}
