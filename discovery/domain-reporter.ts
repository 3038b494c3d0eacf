import { isDeepStrictEqual } from "node:util";
import type { DiscoveryDomain } from "#shared/api/discovery-domain.ts";
import type { Condition } from "#shared/api/meta.ts";
import type { Clock } from "#shared/process/clock.ts";
import { ConvergeLoop } from "#shared/process/converge-loop.ts";
import type { Log } from "#shared/process/log.ts";
import { pause } from "#shared/process/pause.ts";
import { withTransitionTimes } from "#shared/resolve/conditions.ts";
import { type ObjectStore, type ObjectView, type StatusOf, StoreNotFoundError } from "#shared/store/object-store.ts";

/** Statuses are written at most once in this time; when something is urgent, in this. */
const QUIET_MS = 1_000;
const URGENT_MS = 100;

type InstanceEntry = NonNullable<DiscoveryDomain["status"]>["instances"][number];

export interface DomainReporterOptions {
  readonly store: ObjectStore;
  readonly view: ObjectView;
  readonly pod: { readonly namespace: string; readonly name: string };
  /** False while this relay has not looked at the objects yet: what it wrote in an earlier life stands until then. */
  readonly isReady: () => boolean;
  /** What this relay says of an object; undefined: nothing. */
  readonly entryOf: (object: DiscoveryDomain) => Omit<InstanceEntry, "name" | "namespace"> | undefined;
  /** What this relay finds true of an object; without times. */
  readonly conditionsOf: (object: DiscoveryDomain) => readonly Condition[];
  readonly clock: Clock;
  readonly log: Log;
  readonly signal: AbortSignal;
}

/** Writes what this relay sees into the statuses of the DiscoveryDomains; nothing is written twice. */
export class DomainReporter {
  readonly #options: DomainReporterOptions;
  readonly #loop: ConvergeLoop;
  /** By name and uid of the object: one that was made anew has no status. */
  readonly #written = new Map<string, StatusOf>();
  /** Whether it runs in a Pod: its entry goes with it. */
  #hasPod = false;
  /** Ends the pause after a write. */
  #urge: () => void = () => undefined;
  #isUrgent = false;
  readonly done: Promise<void>;

  constructor(options: DomainReporterOptions) {
    this.#options = options;
    const { log, signal } = options;
    this.#loop = new ConvergeLoop({ name: "domain status", converge: () => this.#write(), log, signal });
    this.done = this.#loop.run();
  }

  /** Something may have changed. @param isUrgent somebody waits for it to be written. */
  touch(isUrgent = false): void {
    if (isUrgent) {
      this.#isUrgent = true;
      this.#urge();
    }
    this.#loop.wake();
  }

  async #write(): Promise<undefined> {
    const { clock, conditionsOf, entryOf, isReady, pod, signal, view } = this.#options;
    if (!isReady()) return undefined;
    this.#hasPod ||= view.get("Pod", pod.namespace, pod.name) !== undefined;
    const who = { name: pod.name, ...(this.#hasPod ? { namespace: pod.namespace } : {}) };
    this.#isUrgent = false;
    for (const object of view.list("DiscoveryDomain")) {
      const { namespace, name, uid } = object.metadata;
      const entry = entryOf(object);
      const key = `${namespace}/${name} ${uid}`;
      const instances = entry === undefined ? [] : [{ ...who, ...entry }];
      const conditions = isFirst(pod.name, object) ? conditionsOf(object) : [];
      const status = { instances, conditions };
      if (isDeepStrictEqual(this.#written.get(key), status)) continue;
      const now = new Date(clock.nowMs()).toISOString();
      const timed = withTransitionTimes(conditions, object.status?.conditions ?? [], now);
      await this.#apply(namespace, name, { instances, conditions: timed });
      this.#written.set(key, status);
    }
    await pause(URGENT_MS, signal);
    if (!this.#isUrgent) await this.#quiet();
    return undefined;
  }

  /** Until the next write, or until somebody waits for one. */
  async #quiet(): Promise<void> {
    const urged = new AbortController();
    this.#urge = () => urged.abort();
    await pause(QUIET_MS - URGENT_MS, AbortSignal.any([this.#options.signal, urged.signal]));
    this.#urge = () => undefined;
  }

  async #apply(namespace: string, name: string, status: StatusOf): Promise<void> {
    const { pod, store } = this.#options;
    try {
      const ref = { kind: "DiscoveryDomain", namespace, name } as const;
      await store.applyStatus(ref, status, { fieldManager: `discovery-${pod.name}` });
    } catch (error) {
      // It went while we were writing; the watch tells of it.
      if (!(error instanceof StoreNotFoundError)) throw error;
    }
  }
}

/** An object has one condition of a type: of several relays the first by name writes it. */
function isFirst(name: string, { status }: DiscoveryDomain): boolean {
  return !(status?.instances ?? []).some((other) => other.name < name);
}
