import { lookupTable } from "#shared/balance/maglev.ts";
import { SETTLED_MARK } from "#shared/instance/marks.ts";
import type { LegId } from "#shared/resolve/intent-types.ts";
import { type FlowClass, type History, type MovedSlots, movedSlots, nextHistory } from "./flow-moves.ts";

/*
 * Gateway instances as a model, for tests and figures: the proxy's memory, and what the rules of proxy/nft/kept-flows.ts
 * do with a packet of a connection.
 */

export const WINDOW_MS = 300_000;
export const windowMs: Readonly<Record<FlowClass, number>> = { connection: WINDOW_MS, datagram: 10_000 };

export type TargetState = "ready" | "draining" | "gone";
const legOf = (target: number): LegId => 0x10000 + target;
export const targetOf = (leg: LegId): number => leg - 0x10000;

/** The owners of slots. A table that nothing changed is to be the same array, as the table cache has it. */
export function ownersOf(targets: readonly TargetState[], size: number): Uint32Array {
  const ready = targets.flatMap((state, index) => (state === "ready" ? [index] : []));
  const candidates = ready.map((index) => ({ key: `pod-${index}`, weight: 1 }));
  return Uint32Array.from(lookupTable(candidates, size), (at) => legOf(ready[at] ?? 0));
}

interface Known {
  readonly leg: LegId;
  untilMs: number;
}

/** One gateway instance. */
export class Instance {
  #history: History | undefined;
  readonly #known = new Map<number, Known>();
  readonly #room: number;
  #refusedMs: number | undefined;
  #refused = false;

  constructor(room: number) {
    this.#room = room;
  }

  get moved(): MovedSlots | undefined {
    return this.#history?.moved.connection;
  }

  /** A pass of the proxy. */
  pass(slots: Uint32Array, serving: (leg: LegId) => boolean, nowMs: number): void {
    for (const [flow, { untilMs }] of this.#known) if (untilMs <= nowMs) this.#known.delete(flow);
    if (this.#refused) this.#refusedMs = nowMs;
    this.#refused = false;
    const kept = new Set([...this.#known.values()].map((known) => known.leg));
    const refused = this.#refusedMs === undefined ? {} : { refusedMs: this.#refusedMs };
    const table = { hash: "tuple" as const, slots };
    this.#history = nextHistory(this.#history, table, { nowMs, windowMs, serving, kept, ...refused });
  }

  /** The proxy was killed: a new one reads the kernel (see recover.ts). */
  restart(nowMs: number): void {
    const known = this.#history;
    const moved = known?.moved.connection;
    if (known === undefined) return;
    const origins = new Set([...known.slots, ...(moved?.legs ?? [])]);
    for (const { leg } of this.#known.values()) origins.add(leg);
    const until = new Float64Array(known.slots.length).fill(nowMs + WINDOW_MS);
    const connection = moved && movedSlots({ legs: moved.legs, until, origins });
    this.#history = { ...known, moved: connection ? { connection } : {} };
  }

  /** @returns where a packet goes; undefined when it is dropped. */
  packet(flow: number, begins: boolean, serving: (leg: LegId) => boolean, nowMs: number): LegId | undefined {
    const slots = this.#history?.slots ?? new Uint32Array(1);
    const slot = flow % slots.length;
    const owner = slots[slot];
    const former = this.moved?.legs[slot] ?? 0;
    if (former === 0) return owner;
    const known = this.#known.get(flow);
    if (known !== undefined && known.untilMs > nowMs) {
      known.untilMs = nowMs + WINDOW_MS;
      if (serving(known.leg)) return known.leg;
      this.#known.delete(flow);
      return undefined;
    }
    if (former === SETTLED_MARK) return owner;
    const to = begins ? (owner ?? former) : former;
    if (this.#known.size < this.#room) {
      this.#known.set(flow, { leg: to, untilMs: nowMs + WINDOW_MS });
      return to;
    }
    this.#refused = true;
    return former;
  }
}
