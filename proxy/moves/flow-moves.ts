import type { HashFields } from "#shared/balance/flow-hash.ts";
import { SETTLED_MARK } from "#shared/instance/marks.ts";
import { type LegId, REFUSED } from "#shared/resolve/intent-types.ts";

/**
 * Flows that tell their beginning (TCP's SYN, SCTP's INIT) are `connection`s. Of a `datagram` flow (UDP) nothing tells
 * whether it is new.
 */
export type FlowClass = "connection" | "datagram";

/** Slots of one lookup table whose owner changed lately, for one class of flows. Never changed once it is made. */
export interface MovedSlots {
  /**
   * By slot. 0: not moved. A leg: the owner before the change, which gets all packets but those of new flows and of flows
   * known to be kept elsewhere, and these flows become known ("learning"). {@link SETTLED_MARK}: known flows go where they
   * are kept, all others to the slot's owner.
   */
  readonly legs: Uint32Array;
  /** By slot: when learning ends, in ms of the clock; only where a leg stands. */
  readonly until: Float64Array;
  /** Legs that owned one of these slots before: flows may be kept there. */
  readonly origins: ReadonlySet<LegId>;
  /** What follows from the slots, so that a look at which nothing is due need not go through them. */
  readonly due: {
    /** Legs whose flows are being learned. */
    readonly learning: ReadonlySet<LegId>;
    /** When the first learning ends; Infinity without any. */
    readonly endMs: number;
    /** Some slots are settled. */
    readonly settled: boolean;
  };
}

export function movedSlots({ legs, until, origins }: Omit<MovedSlots, "due">): MovedSlots {
  const learning = new Set<LegId>();
  let endMs = Number.POSITIVE_INFINITY;
  let settled = false;
  for (let slot = 0; slot < legs.length; slot++) {
    const leg = legs[slot] ?? 0;
    if (leg === SETTLED_MARK) settled = true;
    if (!isLearning(leg)) continue;
    learning.add(leg);
    endMs = Math.min(endMs, until[slot] ?? 0);
  }
  return { legs, until, origins, due: { learning, endMs, settled } };
}

/** What the packets of a flow met up to now: the lookup table in force, and what is left of the changes before it. */
export interface History {
  readonly hash: HashFields;
  readonly slots: Uint32Array;
  readonly moved: Readonly<Partial<Record<FlowClass, MovedSlots>>>;
}

/** What decides when an exception ends. */
export interface MoveContext {
  readonly nowMs: number;
  /** How long flows are learned after a change. */
  readonly windowMs: Readonly<Record<FlowClass, number>>;
  /** Whether a leg can still be given packets of flows that it has. */
  serving(leg: LegId, flowClass: FlowClass): boolean;
  /**
   * When a flow was last found to have no room: learning goes on for a whole window after that, so that every flow that
   * sends has its chance.
   */
  readonly refusedMs?: number;
  /** Legs at which flows are kept now; absent when nobody has looked. */
  readonly kept?: ReadonlySet<LegId>;
}

/** Whether a slot's entry in {@link MovedSlots.legs} names the owner before a change. */
export const isLearning = (leg: number): boolean => leg !== 0 && leg !== SETTLED_MARK;

const CLASSES: readonly FlowClass[] = ["connection", "datagram"];

/** A lookup table, as far as flows depend on it. */
export interface TableInForce {
  readonly hash: HashFields;
  readonly slots: Uint32Array;
}

/**
 * The history after the next look at a flow's table. With another size or hash every flow has another slot: what was is
 * forgotten then.
 * @returns the same object when nothing is different.
 */
export function nextHistory(before: History | undefined, table: TableInForce, context: MoveContext): History {
  if (before === undefined || before.hash !== table.hash || before.slots.length !== table.slots.length) {
    return { hash: table.hash, slots: table.slots, moved: {} };
  }
  const moved: Partial<Record<FlowClass, MovedSlots>> = {};
  let same = before.slots === table.slots;
  for (const flowClass of CLASSES) {
    const known = before.moved[flowClass];
    const next = nextSlots(known, before.slots, table.slots, flowClass, context);
    if (next !== undefined) moved[flowClass] = next;
    same &&= next === known;
  }
  return same ? before : { hash: table.hash, slots: table.slots, moved };
}

function nextSlots(
  known: MovedSlots | undefined,
  before: Uint32Array,
  owners: Uint32Array,
  flowClass: FlowClass,
  context: MoveContext,
): MovedSlots | undefined {
  const windowMs = context.windowMs[flowClass];
  if (known === undefined && before === owners) return undefined;
  const origins = new Set(known?.origins);
  const { kept } = context;
  const ended = kept !== undefined && isForgotten(origins, kept);
  const learnedBy = (context.refusedMs ?? Number.NEGATIVE_INFINITY) + windowMs;
  if (known !== undefined && before === owners) {
    const { learning, endMs, settled } = known.due;
    const serving = [...learning].every((leg) => context.serving(leg, flowClass));
    if (serving && !(ended && settled) && Math.max(endMs, learnedBy) > context.nowMs) return known;
  }
  const legs = known?.legs.slice() ?? new Uint32Array(owners.length);
  const until = known?.until.slice() ?? new Float64Array(owners.length);
  let different = false;
  let left = 0;
  for (let slot = 0; slot < owners.length; slot++) {
    const was = legs[slot] ?? 0;
    const owner = before[slot] ?? 0;
    let leg = was;
    if (ended && leg === SETTLED_MARK) leg = 0;
    if (owner !== owners[slot] && owner !== REFUSED) {
      origins.add(owner);
      // Flows of an earlier change that are not learned yet are the older ones; those of `owner` are known since.
      if ((leg === 0 || leg === SETTLED_MARK) && context.serving(owner, flowClass)) leg = owner;
      until[slot] = context.nowMs + windowMs;
      different = true;
    }
    const over = Math.max(until[slot] ?? 0, learnedBy) <= context.nowMs;
    if (isLearning(leg) && (over || !context.serving(leg, flowClass))) leg = SETTLED_MARK;
    if (leg !== was) {
      legs[slot] = leg;
      different = true;
    }
    if (leg !== 0) left++;
  }
  if (left === 0) return undefined;
  return different || known === undefined ? movedSlots({ legs, until, origins }) : known;
}

const isForgotten = (origins: ReadonlySet<LegId>, kept: ReadonlySet<LegId>): boolean =>
  ![...origins].some((leg) => kept.has(leg));

/** Whether exceptions end with these legs as all that keep flows. */
export function endsWith(history: History, kept: ReadonlySet<LegId>): boolean {
  return CLASSES.some((flowClass) => {
    const moved = history.moved[flowClass];
    return moved?.due.settled === true && isForgotten(moved.origins, kept);
  });
}

/** When the next learning ends; undefined when none is under way. */
export function nextEndMs(history: History, { windowMs, refusedMs }: Omit<MoveContext, "serving">): number | undefined {
  const ends = CLASSES.flatMap((flowClass) => {
    const due = history.moved[flowClass]?.due;
    if (due === undefined || due.learning.size === 0) return [];
    return [Math.max(due.endMs, (refusedMs ?? Number.NEGATIVE_INFINITY) + windowMs[flowClass])];
  });
  return ends.length === 0 ? undefined : Math.min(...ends);
}
