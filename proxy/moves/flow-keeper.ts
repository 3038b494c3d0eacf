import type { Intent, LegId } from "#shared/resolve/intent-types.ts";
import { KEPT_FULL } from "../nft/counters.ts";
import type { FlowsInForce } from "../nft/read-flows.ts";
import { endsWith, isLearning } from "./flow-moves.ts";
import { type Histories, type NextMoves, nextMoves } from "./moves.ts";
import { recoverHistories } from "./recover.ts";

/** How often it is looked which flows are kept, while there may be any. */
const LOOK_MS = 5_000;
/** A look takes at most this part of the time: with a million flows it comes less often. */
const LOOK_SHARE = 0.02;

const NOTHING_KEPT: ReadonlyMap<LegId, number> = new Map();

/** What is under way, for who looks on. */
export interface MovesStatus {
  /** Slots that changed hands and whose flows are being learned, in all tables. */
  readonly learningSlots: number;
  /** Slots that changed hands a while ago, and may have flows that are kept elsewhere. */
  readonly settledSlots: number;
  /** Flows kept, by leg; as of the last look. */
  readonly kept: ReadonlyMap<LegId, number>;
}

/** What the keeper needs of the kernel. */
export interface KeeperKernel {
  readonly kept: {
    /** How many flows are kept at each leg. */
    look(intent: Intent): ReadonlyMap<LegId, number>;
    forget(): void;
  };
  flowsInForce(): FlowsInForce | undefined;
  counters(): ReadonlyMap<string, { readonly packets: number }>;
}

/** Remembers what flows met before a change, and looks which of them are still there. */
export class FlowKeeper {
  readonly #kernel: KeeperKernel;
  readonly #nowMs: () => number;
  #histories: Histories | undefined;
  #kept = NOTHING_KEPT;
  /** What was found by the last look, until it is reckoned with. */
  #found: ReadonlySet<LegId> | undefined;
  #lookedMs = Number.NEGATIVE_INFINITY;
  #pauseMs = LOOK_MS;
  /** Packets that found no room for their flow, and when that was last seen to grow. */
  #refused: number | undefined;
  #refusedMs: number | undefined;
  /** When the next learning ends, by what was applied last. */
  #endMs = Number.POSITIVE_INFINITY;
  /** Slots are moved, by what was applied last. */
  #active = false;

  /** @param nowMs a clock that nobody sets. */
  constructor(kernel: KeeperKernel, nowMs: () => number) {
    this.#kernel = kernel;
    this.#nowMs = nowMs;
  }

  status(): MovesStatus {
    let learningSlots = 0;
    let settledSlots = 0;
    for (const { moved } of new Set(this.#histories?.values())) {
      // A slot that is moved for both classes counts once.
      moved.connection?.legs.forEach((leg, slot) => {
        const other = moved.datagram?.legs[slot] ?? 0;
        if (isLearning(leg) || isLearning(other)) learningSlots++;
        else if (leg !== 0 || other !== 0) settledSlots++;
      });
    }
    return { learningSlots, settledSlots, kept: this.#kept };
  }

  /** The exceptions that go with an intent. To be followed by {@link applied}, once they are in force. */
  next(intent: Intent): NextMoves {
    const nowMs = this.#nowMs();
    const { idleTimeoutSeconds, datagramIdleTimeoutSeconds } = intent.flowKeeping;
    const windowMs = { connection: idleTimeoutSeconds * 1000, datagram: datagramIdleTimeoutSeconds * 1000 };
    if (this.#histories === undefined) {
      const found = this.#kernel.flowsInForce();
      this.#histories = found === undefined ? new Map() : recoverHistories(intent, found, nowMs, windowMs);
      this.#active = [...this.#histories.values()].some(({ moved }) => Object.keys(moved).length > 0);
    }
    const kept = this.#found;
    this.#found = undefined;
    if (kept !== undefined || nowMs >= this.#endMs) this.#countRefused(nowMs);
    const refused = this.#refusedMs === undefined ? {} : { refusedMs: this.#refusedMs };
    return nextMoves(this.#histories, intent, { nowMs, windowMs, ...refused, ...(kept && { kept }) });
  }

  /**
   * Looks which flows are kept, when it is time to: not before a change, which would wait for it.
   * @returns after how many milliseconds there is something to do; undefined when nothing is.
   */
  applied(next: NextMoves, intent: Intent): number | undefined {
    this.#histories = next.histories;
    this.#active = next.moves.size > 0;
    if (!this.#active) {
      if (this.#kept.size > 0) this.#kernel.kept.forget();
      this.#kept = NOTHING_KEPT;
      this.#found = undefined;
      this.#refused = undefined;
      this.#refusedMs = undefined;
      return undefined;
    }
    this.#refused ??= this.#kernel.counters().get(KEPT_FULL)?.packets ?? 0;
    this.#endMs = next.endMs ?? Number.POSITIVE_INFINITY;
    const kept = this.#look(intent);
    if (kept !== undefined && [...new Set(next.histories.values())].some((history) => endsWith(history, kept)))
      return 0;
    const nowMs = this.#nowMs();
    const lookMs = Math.max(0, this.#lookedMs + this.#pauseMs - nowMs);
    return next.endMs === undefined ? lookMs : Math.min(lookMs, Math.max(0, next.endMs - nowMs));
  }

  /** @returns legs that flows are kept at, where it was looked now. */
  #look(intent: Intent): ReadonlySet<LegId> | undefined {
    const nowMs = this.#nowMs();
    if (nowMs < this.#lookedMs + this.#pauseMs) return undefined;
    this.#kept = this.#kernel.kept.look(intent);
    this.#lookedMs = this.#nowMs();
    this.#pauseMs = Math.max(LOOK_MS, (this.#lookedMs - nowMs) / LOOK_SHARE);
    this.#found = new Set(this.#kept.keys());
    return this.#found;
  }

  #countRefused(nowMs: number): void {
    const refused = this.#kernel.counters().get(KEPT_FULL)?.packets ?? 0;
    if (this.#refused !== undefined && refused > this.#refused) this.#refusedMs = nowMs;
    this.#refused = refused;
  }
}
