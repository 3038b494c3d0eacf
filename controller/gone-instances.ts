import { describeRef, type ObjectRef } from "#shared/api/kinds.ts";
import { GATEWAY_NAME_LABEL } from "#shared/api/names.ts";
import type { Clock } from "#shared/process/clock.ts";
import type { Log } from "#shared/process/log.ts";
import { type ObjectStore, type ObjectView, StoreNotFoundError } from "#shared/store/object-store.ts";

/** How long a Pod is away before it is taken for gone: Pods and statuses are seen in no particular order. */
const GONE_MS = 30_000;

/** Statuses in which each instance has an entry, and the field manager that wrote it. */
const ENTRIES = [
  // Instances speak to the routers of their own namespace, and ask the targets of all.
  { kind: "BgpPeer", isNear: true, manager: (pod: string) => `frontend-${pod}` },
  { kind: "HealthCheck", isNear: false, manager: (pod: string) => `proxy-${pod}` },
] as const;

/**
 * Takes the entries of instances that are gone out of statuses: one that was killed could not do it itself. Entries belong
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

  /** @returns after how many milliseconds the next one is taken for gone. */
  async reconcile(): Promise<number | undefined> {
    const nowMs = this.#clock.nowMs();
    const seen = new Set<string>();
    let againMs: number | undefined;
    for (const { kind, isNear, manager } of ENTRIES) {
      for (const { metadata, status } of this.#view.list(kind)) {
        const ref: ObjectRef = { kind, namespace: metadata.namespace, name: metadata.name };
        for (const { name } of status?.instances ?? []) {
          if (isNear ? this.#view.get("Pod", metadata.namespace, name) !== undefined : this.#isInstance(name)) continue;
          const key = `${describeRef(ref)} ${name}`;
          seen.add(key);
          const leftMs = (this.#awayMs.get(key) ?? nowMs) + GONE_MS - nowMs;
          if (leftMs <= 0) await this.#remove(ref, name, manager(name));
          else {
            this.#awayMs.set(key, nowMs + leftMs - GONE_MS);
            againMs = Math.min(againMs ?? leftMs, leftMs);
          }
        }
      }
    }
    for (const key of this.#awayMs.keys()) if (!seen.has(key)) this.#awayMs.delete(key);
    return againMs;
  }

  #isInstance(name: string): boolean {
    return this.#view
      .list("Pod")
      .some(({ metadata }) => metadata.name === name && metadata.labels[GATEWAY_NAME_LABEL] !== undefined);
  }

  async #remove(ref: ObjectRef, instance: string, fieldManager: string): Promise<void> {
    try {
      await this.#store.applyStatus(ref, { instances: [] }, { fieldManager });
      this.#log.info({ object: describeRef(ref), instance }, "the entry of an instance that is gone is taken out");
    } catch (error) {
      if (!(error instanceof StoreNotFoundError)) throw error;
    }
  }
}
