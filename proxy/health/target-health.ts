import { type Damping, damp, NEVER_READY } from "#shared/process/flap-damping.ts";

/**
 * What is made of a target's answers. Pending: never asked, and it has not answered yet. Up. Down: it has failed too often
 * in a row, or answers again but not for long enough.
 */
export interface TargetHealth {
  readonly state: "pending" | "up" | "down";
  /** Answers in a row (above 0) or failures in a row (below 0). */
  readonly streak: number;
  /** When the last question was asked, if it failed. */
  readonly failedMs: number | undefined;
  readonly damping: Damping;
}

export interface Thresholds {
  readonly failureThreshold: number;
  readonly successThreshold: number;
}

/** What came of one question. */
export interface Outcome {
  readonly answered: boolean;
  readonly askedMs: number;
}

/** @param state what is taken for granted until there are answers. */
export function initialHealth(state: TargetHealth["state"], nowMs: number): TargetHealth {
  const damping: Damping =
    state === "up" ? { reported: true, readySinceMs: nowMs, falls: 0, lastFallMs: nowMs } : NEVER_READY;
  return { state, streak: 0, failedMs: undefined, damping };
}

/**
 * The next state after a question's outcome. A target that is down must answer `successThreshold` times in a row and then
 * stay so for its hold time, which doubles with every fall.
 */
export function nextHealth(
  before: TargetHealth,
  { answered, askedMs }: Outcome,
  { failureThreshold, successThreshold }: Thresholds,
  nowMs: number,
): TargetHealth {
  const streak = answered ? Math.max(0, before.streak) + 1 : Math.min(0, before.streak) - 1;
  const failedMs = answered ? undefined : askedMs;
  const wasGood = before.damping.readySinceMs !== undefined;
  // Somebody new is not held: one answer shows that it can be reached.
  const enough = before.state === "pending" ? 1 : successThreshold;
  const good = wasGood ? streak > -failureThreshold : streak >= enough;
  // It returns with an answer, though its hold time may have ended with a failure.
  const decides = good ? answered : streak <= -failureThreshold;
  const damping = decides ? damp(before.damping, good, nowMs).damping : before.damping;
  const state = damping.reported ? "up" : before.state === "pending" && streak > -failureThreshold ? "pending" : "down";
  return { state, streak, failedMs, damping };
}

/** Whether it answers again, and only its hold time keeps it out. */
export function isHeld({ state, damping }: TargetHealth): boolean {
  return state === "down" && damping.readySinceMs !== undefined;
}

/** As if its last fall had not been one. */
export function excused(health: TargetHealth): TargetHealth {
  const { damping } = health;
  return { ...health, damping: { ...damping, falls: Math.max(0, damping.falls - 1) } };
}

/** Up, though its hold time may not be over. Only of one that {@link isHeld}. */
export function returned(health: TargetHealth): TargetHealth {
  return { ...health, state: "up", damping: { ...health.damping, reported: true } };
}
