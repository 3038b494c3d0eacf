import { describeRef, type ObjectRef } from "#shared/api/kinds.ts";
import type { Clock } from "#shared/process/clock.ts";
import type { Log } from "#shared/process/log.ts";
import type { ClusterEvent, EventSink } from "#shared/store/event-sink.ts";
import type { ObjectView } from "#shared/store/object-store.ts";

/** What is to be said of an object. */
export interface Note {
  readonly ref: ObjectRef;
  readonly type: ClusterEvent["type"];
  readonly reason: string;
  readonly message: string;
}

/** The same of the same object is said once in this time, however often it comes and goes. */
const REPEAT_MS = 300_000;
/** So many at once, then one a second. */
const BURST = 50;
const REFILL_MS = 1_000;

function keyOf({ ref, type, reason }: Note): string {
  return `${describeRef(ref)} ${type} ${reason}`;
}

/** Says what begins to be so; what goes on being so is not said again. */
export class EventRecorder {
  readonly #view: ObjectView;
  readonly #sink: EventSink;
  readonly #clock: Clock;
  readonly #log: Log;
  readonly #standing = new Map<string, ReadonlySet<string>>();
  /** When it was said last, oldest first; what is older than REPEAT_MS is forgotten, so they are some 350 at most. */
  readonly #said = new Map<string, number>();
  #tokens = BURST;
  #filledMs: number;

  constructor(view: ObjectView, sink: EventSink, clock: Clock, log: Log) {
    this.#view = view;
    this.#sink = sink;
    this.#clock = clock;
    this.#log = log;
    this.#filledMs = clock.nowMs();
  }

  /** @param source Who says it. @param notes All that is so by this source now. */
  standing(source: string, notes: readonly Note[]): void {
    const before = this.#standing.get(source);
    const standing = new Set<string>();
    for (const note of notes) {
      const key = keyOf(note);
      if (standing.has(key)) continue;
      // What there was no room to say is said at the next opportunity.
      if (before?.has(key) === true || this.once(note)) standing.add(key);
    }
    if (standing.size === 0) this.#standing.delete(source);
    else this.#standing.set(source, standing);
  }

  /** @returns false when too much has been said of late. */
  once(note: Note): boolean {
    const nowMs = this.#clock.nowMs();
    const key = keyOf(note);
    const saidMs = this.#said.get(key);
    if (saidMs !== undefined && nowMs - saidMs < REPEAT_MS) return true;
    if (!this.#take(nowMs)) return false;
    this.#said.delete(key);
    this.#said.set(key, nowMs);
    for (const [old, atMs] of this.#said) {
      if (nowMs - atMs < REPEAT_MS) break;
      this.#said.delete(old);
    }
    const { ref, type, reason, message } = note;
    const object = this.#view.get(ref.kind, ref.namespace, ref.name);
    const identity = object === undefined ? {} : { apiVersion: object.apiVersion, uid: object.metadata.uid };
    const regarding = { ...ref, ...identity };
    this.#post({ regarding, type, reason, action: "Reconcile", note: message, atMs: nowMs });
    return true;
  }

  #take(nowMs: number): boolean {
    const earned = Math.floor((nowMs - this.#filledMs) / REFILL_MS);
    if (earned > 0) {
      this.#tokens = Math.min(BURST, this.#tokens + earned);
      this.#filledMs += earned * REFILL_MS;
    }
    if (this.#tokens === 0) return false;
    this.#tokens -= 1;
    return true;
  }

  #post(event: ClusterEvent): void {
    // The log and the object's status say it, too: an event that is lost is no reason to try again.
    this.#sink.post(event).catch((err: unknown) => this.#log.debug({ err, event }, "event lost"));
  }
}
