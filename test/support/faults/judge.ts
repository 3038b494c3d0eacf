import type { Broken } from "../../../lab/traffic/report.ts";
import { describe, type Fault, promised } from "./faults.ts";
import type { Seen } from "./held-traffic.ts";

/** When a fault began, or was over. */
export interface Moment {
  readonly atMs: number;
  readonly fault: Fault;
  readonly event: "began" | "over";
}

/** A fault's time is taken before it is made, and a connection may begin just then. */
const SLACK_MS = 100;
/** What is over may still be felt for so long: an instance that comes back takes its part of the traffic then. */
const FELT_AFTER_MS = 5000;
const LISTED = 5;

/**
 * What broke a promise, each with the moment before it; nothing when all were kept. A connection may break with its own
 * target. New ones may wait as long as a fault allows that lasts or is just over. Pure.
 */
export function judge({ held, broken, moved, outages, newConnections }: Seen, moments: readonly Moment[]): string[] {
  const failures: string[] = [];
  if (held === 0 || newConnections === 0) failures.push("there was no traffic");
  const unexpected = broken.filter((one) => !mayBreak(one, moments));
  for (const [moment, list] of Map.groupBy(unexpected, ({ at }) => momentBefore(Date.parse(at), moments))) {
    const examples = list
      .slice(0, LISTED)
      .map(({ sourcePort, target, outcome, at }) => `port ${sourcePort} of ${target || "nobody"}, ${outcome} at ${at}`);
    if (list.length > LISTED) examples.push("…");
    failures.push(`${moment}: ${list.length} connections broken (${examples.join("; ")})`);
  }
  if (moved.length > 0) failures.push(`${moved.length} connections are answered by another target than before`);
  // What was over before the first fault is what is left of another story.
  const startMs = moments[0]?.atMs ?? 0;
  for (const { fromMs, toMs, late } of outages.filter(({ toMs }) => toMs >= startMs - SLACK_MS)) {
    const limitMs = Math.max(0, ...feltAt(fromMs, moments).map((fault) => promised(fault).servedWithinMs));
    const lastedMs = toMs - fromMs;
    if (lastedMs < limitMs) continue;
    const moment = momentBefore(fromMs + SLACK_MS, moments);
    failures.push(
      `${moment}: ${late} new connections not served at once, for ${lastedMs} ms; ${limitMs} ms are promised`,
    );
  }
  return failures;
}

/** A moment in words. Pure. */
export const momentText = ({ fault, event }: Moment): string => `${describe(fault)}${event === "over" ? ": over" : ""}`;

function momentBefore(atMs: number, moments: readonly Moment[]): string {
  const moment = moments.findLast((one) => one.atMs <= atMs);
  return moment === undefined ? "before the first fault" : `after ${momentText(moment)}`;
}

function feltAt(atMs: number, moments: readonly Moment[]): Fault[] {
  const past = moments.filter((moment) => moment.atMs - SLACK_MS <= atMs);
  const gone = past.filter((moment) => moment.event === "over" && moment.atMs + FELT_AFTER_MS < atMs);
  return past.map(({ fault }) => fault).filter((fault) => !gone.some((moment) => moment.fault === fault));
}

function mayBreak({ target, at }: Broken, moments: readonly Moment[]): boolean {
  return moments.some(({ fault, event, atMs }) => {
    const { own } = promised(fault);
    return event === "began" && own?.target === target && atMs + own.afterMs - SLACK_MS <= Date.parse(at);
  });
}
