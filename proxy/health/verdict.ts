import { type Damping, damp } from "#shared/process/flap-damping.ts";
import { isHeld, type TargetHealth } from "./target-health.ts";

/** One probe of a service network, as it is judged beside the others. */
export interface Witness {
  readonly health: TargetHealth;
  /** How long a cut of the instance may take to show in another one of the same pace. */
  readonly patienceMs: number;
  /** When the last question was asked that was answered. */
  readonly answeredMs: number | undefined;
  /** When it was last found down, as long as it is. */
  readonly downSinceMs: number | undefined;
}

/** What is said of the probes of one service network. */
export interface NetworkVerdict {
  /** The instance reaches none of them: the fault is taken to be its own. */
  readonly partitioned: boolean;
  /** Of the instance's reaching anybody at all. */
  readonly damping: Damping;
  /** Those that get no packet. */
  readonly down: ReadonlySet<string>;
  /** Those that were down before the instance was cut off. */
  readonly downBefore: ReadonlySet<string>;
}

const NOBODY: ReadonlySet<string> = new Set();

export const NOTHING_KNOWN: NetworkVerdict = {
  partitioned: false,
  damping: { reported: true, readySinceMs: 0, falls: 0, lastFallMs: 0 },
  down: NOBODY,
  downBefore: NOBODY,
};

export interface Judgement {
  readonly verdict: NetworkVerdict;
  /** Whose last fall is none, because the fault is not theirs. */
  readonly excused: ReadonlySet<string>;
  /** Who is up from now on, whatever is left of its own hold time. */
  readonly returning: ReadonlySet<string>;
}

/**
 * The next verdict on one service network.
 *
 * A target that falls is out as soon as another one has answered a later question than the last that it did not answer: then
 * the target is at fault, not this instance. While nobody has, it waits for a while: if the others fall, too, all fall in one
 * step, and the tables need not change at all. All return in one step, too, when somebody has answered for the instance's
 * own hold time, which doubles with each cut; whoever answers then and was up before the cut is as if nothing had happened.
 */
export function judge(before: NetworkVerdict, probes: ReadonlyMap<string, Witness>, nowMs: number): Judgement {
  let answering = 0;
  let fallen = 0;
  let lastAnswerMs = Number.NEGATIVE_INFINITY;
  for (const { health, answeredMs } of probes.values()) {
    if (health.state === "up" || isHeld(health)) answering += 1;
    if (health.state === "down") fallen += 1;
    lastAnswerMs = Math.max(lastAnswerMs, answeredMs ?? Number.NEGATIVE_INFINITY);
  }
  const { damping } = damp(before.damping, fallen === 0 || answering > 0, nowMs);
  const partitioned = !damping.reported;
  if (partitioned) {
    const all = new Set(probes.keys());
    const downBefore = before.partitioned ? before.downBefore : before.down;
    const excused = before.partitioned ? NOBODY : all.difference(downBefore);
    return { verdict: { partitioned, damping, down: all, downBefore }, excused, returning: NOBODY };
  }
  const down = new Set<string>();
  const returning = new Set<string>();
  for (const [id, { health, downSinceMs = nowMs, patienceMs }] of probes) {
    if (health.state !== "down") continue;
    const witnessed = lastAnswerMs > (health.failedMs ?? Number.NEGATIVE_INFINITY);
    if (before.partitioned && isHeld(health) && !before.downBefore.has(id)) returning.add(id);
    else if (before.down.has(id) || witnessed || nowMs - downSinceMs >= patienceMs) down.add(id);
  }
  return { verdict: { partitioned, damping, down, downBefore: NOBODY }, excused: NOBODY, returning };
}
