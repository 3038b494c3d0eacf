import { isDeepStrictEqual } from "node:util";
import type { ObjectRef } from "#shared/api/kinds.ts";
import type { Condition } from "#shared/api/meta.ts";
import type { Topic } from "#shared/api/topic.ts";
import type { Clock } from "#shared/process/clock.ts";
import { ConvergeLoop } from "#shared/process/converge-loop.ts";
import type { Log } from "#shared/process/log.ts";
import { pause } from "#shared/process/pause.ts";
import { withTransitionTimes } from "#shared/resolve/conditions.ts";
import { type ObjectStore, type StatusOf, StoreNotFoundError } from "#shared/store/object-store.ts";

/** Statuses are written at most once in this time. */
const QUIET_MS = 1_000;

export interface TopicReporterOptions {
  readonly objects: () => readonly Topic[];
  readonly store: ObjectStore;
  readonly pod: { readonly namespace: string; readonly name: string };
  /** Who writes for a pod. */
  readonly fieldManager: (pod: string) => string;
  /** What this instance says of an object; undefined: nothing. */
  readonly entryOf: (object: Topic) => StatusOf | undefined;
  /** What this instance finds true of an object; without times. */
  readonly conditionsOf: (object: Topic) => readonly Condition[];
  readonly clock: Clock;
  readonly log: Log;
  readonly signal: AbortSignal;
}

/**
 * Writes what this pod sees into the statuses of Topics; nothing is written twice. What an instance
 * that is gone has left is the controller's to take out.
 */
export class TopicReporter {
  readonly #options: TopicReporterOptions;
  readonly #loop: ConvergeLoop;
  /** By name and uid of the object: one that was made anew has no status. */
  readonly #written = new Map<string, StatusOf>();
  readonly done: Promise<void>;

  constructor(options: TopicReporterOptions) {
    this.#options = options;
    const { log, signal } = options;
    this.#loop = new ConvergeLoop({ name: "topic status", converge: () => this.#write(), log, signal });
    this.done = this.#loop.run();
  }

  /** Something may have changed. */
  touch(): void {
    this.#loop.wake();
  }

  /** Takes out what this instance has written: it ends. After {@link done}. */
  async withdraw(): Promise<void> {
    const { objects, pod, fieldManager } = this.#options;
    for (const object of objects()) {
      if (this.#written.has(keyOf(object))) await this.#apply(refOf(object), {}, fieldManager(pod.name));
    }
  }

  async #write(): Promise<undefined> {
    const { clock, conditionsOf, entryOf, fieldManager, objects, pod, signal } = this.#options;
    for (const object of objects()) {
      const key = keyOf(object);
      const entry = entryOf(object);
      // Of what is none of ours nothing is written, unless something of ours is there.
      const isNamed = (object.status?.instances ?? []).some(({ name }) => name === pod.name);
      if (entry === undefined && !isNamed && !this.#written.has(key)) continue;
      const instances = entry === undefined ? [] : [{ name: pod.name, ...entry }];
      const conditions = isFirst(pod.name, object) ? conditionsOf(object) : [];
      const status = { instances, conditions };
      if (!isDeepStrictEqual(this.#written.get(key), status)) {
        const now = new Date(clock.nowMs()).toISOString();
        const timed = withTransitionTimes(conditions, object.status?.conditions ?? [], now);
        await this.#apply(refOf(object), { instances, conditions: timed }, fieldManager(pod.name));
        this.#written.set(key, status);
      }
    }
    await pause(QUIET_MS, signal);
    return undefined;
  }

  async #apply(ref: ObjectRef, status: StatusOf, fieldManager: string): Promise<void> {
    try {
      await this.#options.store.applyStatus(ref, status, { fieldManager });
    } catch (error) {
      // It went while we were writing; the watch tells of it.
      if (!(error instanceof StoreNotFoundError)) throw error;
    }
  }
}

function keyOf({ metadata: { namespace, name, uid } }: Topic): string {
  return `${namespace}/${name} ${uid}`;
}

function refOf({ metadata }: Topic): ObjectRef {
  return { kind: "Topic", namespace: metadata.namespace, name: metadata.name };
}

/** An object has one condition of a type: of several instances the first by name writes it. */
function isFirst(name: string, { status }: Topic): boolean {
  return !(status?.instances ?? []).some((other) => other.name < name);
}
