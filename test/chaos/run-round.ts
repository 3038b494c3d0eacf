import { setTimeout as delay } from "node:timers/promises";
import type { FaultLab } from "../support/faults/fault-lab.ts";
import { type HeldTrafficOptions, outageMs } from "../support/faults/held-traffic.ts";
import { type Moment, momentText } from "../support/faults/judge.ts";
import { Ordeal } from "../support/faults/ordeal.ts";
import type { Step } from "./plan-round.ts";

/** Faults that take longer have hung. */
const ROUND_LIMIT_MS = 60_000;

export interface RoundResult {
  readonly held: number;
  readonly newConnections: number;
  /** The longest time in which new connections were not served at once. */
  readonly outageMs: number;
  /** What broke, each with the step it belongs to; empty: every promise was kept. */
  readonly failures: readonly string[];
}

/** Plays the steps of a round over held and new connections, and judges what the clients saw. Leaves the lab as it was. */
export async function runRound(
  lab: FaultLab,
  steps: readonly Step[],
  { load, log }: { readonly load?: HeldTrafficOptions; readonly log: (line: string) => void },
): Promise<RoundResult> {
  const startedMs = Date.now();
  let last = "the beginning";
  const onMoment = (moment: Moment): void => {
    last = momentText(moment);
    log(`  ${((moment.atMs - startedMs) / 1000).toFixed(1).padStart(5)} s  ${last}`);
  };
  const failures: string[] = [];
  let ordeal: Ordeal | undefined;
  try {
    ordeal = await Ordeal.start(lab, { ...(load === undefined ? {} : { load }), onMoment });
    await play(lab, ordeal, steps, AbortSignal.timeout(ROUND_LIMIT_MS));
  } catch (error) {
    failures.push(`after ${last}: ${error instanceof Error ? error.message : String(error)}`);
  }
  const result = await ordeal?.stop();
  await lab.heal();
  return {
    held: result?.seen.held ?? 0,
    newConnections: result?.seen.newConnections ?? 0,
    outageMs: result === undefined ? 0 : outageMs(result.seen),
    failures: [...failures, ...(result?.failures ?? [])],
  };
}

/** One step after the other, each when the lab is whole again. */
async function play(lab: FaultLab, ordeal: Ordeal, steps: readonly Step[], signal: AbortSignal): Promise<void> {
  for (const { fault, lastsMs, changes } of steps) {
    signal.throwIfAborted();
    await ordeal.begin(fault);
    let passedMs = 0;
    for (const { afterMs, change } of changes) {
      await delay(afterMs - passedMs);
      passedMs = afterMs;
      await ordeal.begin(change);
    }
    await delay(lastsMs - passedMs);
    await ordeal.end(fault);
    await lab.converged();
  }
}
