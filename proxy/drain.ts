import { SLOW, STRAY, UNMATCHED } from "./nft/counters.ts";

/** What counts packets that nobody is served by, or that are not for a VIP. */
const NO_TRAFFIC: ReadonlySet<string> = new Set([SLOW, STRAY, UNMATCHED]);

/** Packets of services, whatever became of them. */
export function carried(counters: ReadonlyMap<string, { readonly packets: number }>): number {
  let sum = 0;
  for (const [name, { packets }] of counters) if (!NO_TRAFFIC.has(name)) sum += packets;
  return sum;
}

/** The routers have moved, or they had time enough. */
export type DrainEnd = "quiet" | "limit";

/**
 * The end of an instance whose VIPs are withdrawn: routers have moved when no packet has come for a while. What routers
 * do between a withdrawal and their forwarding plane takes some milliseconds or some seconds; no fixed time is right.
 */
export class Drain {
  readonly #limitMs: number;
  readonly #quietMs: number;
  readonly #startedMs: number;
  #packets: number;
  #lastMs: number;

  /** @param packets carried so far. @param nowMs of any clock that only goes forward. */
  constructor(options: { limitMs: number; quietMs: number }, packets: number, nowMs: number) {
    this.#limitMs = options.limitMs;
    this.#quietMs = options.quietMs;
    this.#startedMs = nowMs;
    this.#packets = packets;
    this.#lastMs = nowMs;
  }

  /** Takes a look at how many packets were carried by now. @returns undefined while the drain goes on. */
  look(packets: number, nowMs: number): DrainEnd | undefined {
    if (packets !== this.#packets) {
      this.#packets = packets;
      this.#lastMs = nowMs;
    }
    if (nowMs - this.#lastMs >= this.#quietMs) return "quiet";
    return nowMs - this.#startedMs >= this.#limitMs ? "limit" : undefined;
  }
}
