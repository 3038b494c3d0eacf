import type { Log } from "./log.ts";
import { pause } from "./pause.ts";

/** Who leads, as a lock says it. */
export interface LeaderRecord {
  /** Empty: nobody; the last leader has gone in good order. */
  readonly holder: string;
  /** So long after it was last renewed the holder counts as gone. */
  readonly durationMs: number;
  /** How often the holder has changed. */
  readonly transitions: number;
  /** Changes with every write. */
  readonly version: string;
}

/** Where candidates find out who leads. */
export interface LeaderLock {
  /** For messages. */
  readonly name: string;
  /** Undefined: nobody has ever led. */
  read(signal: AbortSignal): Promise<LeaderRecord | undefined>;
  /**
   * Writes, if nobody has written since `over` was read.
   * @returns The record as it is now; undefined when somebody else was faster.
   */
  write(
    next: Pick<LeaderRecord, "holder" | "durationMs" | "transitions">,
    over: LeaderRecord | undefined,
    signal: AbortSignal,
  ): Promise<LeaderRecord | undefined>;
}

export interface LeaderTimes {
  /** How long the others wait for a leader that says nothing. */
  readonly durationMs: number;
  /** A leader that could not renew for so long leads no more: well before the others think so. */
  readonly deadlineMs: number;
  /** Time between looks of those who wait, and between a leader's renewals. */
  readonly retryMs: number;
}

/** Killed: 10 s, and a look. Ended in order: a look. */
export const LEADER_TIMES: LeaderTimes = { durationMs: 10_000, deadlineMs: 6_000, retryMs: 1_000 };

export interface LeaderElectionOptions {
  readonly lock: LeaderLock;
  /** Differs from every other candidate's, also from that of an earlier process of the same pod. */
  readonly identity: string;
  readonly log: Log;
  /** Milliseconds of a clock that never jumps, and their fractions. */
  readonly elapsedMs: () => number;
  /** Waits; the tests' own waits for nothing. */
  readonly pause?: (ms: number, signal: AbortSignal) => Promise<void>;
  readonly times?: LeaderTimes;
}

/** The lead, as long as it lasts. */
export interface Leadership {
  /** Aborts when it is lost. */
  readonly lost: AbortSignal;
  /** Whether this still leads: to be asked before each write. False for a process that slept too long, before it knows. */
  leads(): boolean;
  /** Gives it up, so that another takes it at once. */
  release(): Promise<void>;
}

/** One candidate for a lead that only one process has at a time. */
export class LeaderElection {
  readonly #options: Required<LeaderElectionOptions>;
  #record: LeaderRecord | undefined;
  /** When the record that counts was first seen: other machines' clocks are not believed. */
  #seenMs = 0;

  constructor(options: LeaderElectionOptions) {
    this.#options = { pause, times: LEADER_TIMES, ...options };
  }

  /** Who is known to lead; empty when nobody is. */
  get leader(): string {
    return this.#record?.holder ?? "";
  }

  /** Resolves with the lead when it is this candidate's; undefined when the signal aborts before. */
  async campaign(signal: AbortSignal): Promise<Leadership | undefined> {
    const { log, times, pause: wait, lock } = this.#options;
    let trouble = "";
    while (!signal.aborted) {
      try {
        const sinceMs = await this.#try(signal);
        if (sinceMs !== undefined) return this.#lead(sinceMs);
        trouble = "";
      } catch (error) {
        if (signal.aborted) break;
        const text = error instanceof Error ? error.message : String(error);
        if (text !== trouble) log.warn({ err: error, lock: lock.name }, "cannot find out who leads; trying again");
        trouble = text;
      }
      await wait(times.retryMs, signal);
    }
    return undefined;
  }

  /** @returns since when the lead is ours; undefined when it is not. */
  async #try(signal: AbortSignal): Promise<number | undefined> {
    const { lock, identity, elapsedMs, times, log } = this.#options;
    const found = await lock.read(signal);
    const nowMs = elapsedMs();
    if (found?.version !== this.#record?.version || found?.holder !== this.#record?.holder) {
      if (found !== undefined && found.holder !== this.#record?.holder && found.holder !== "") {
        log.info({ lock: lock.name, leader: found.holder }, "another leads; waiting");
      }
      this.#record = found;
      this.#seenMs = nowMs;
    }
    const isHeld = found !== undefined && found.holder !== "" && found.holder !== identity;
    if (isHeld && nowMs - this.#seenMs < found.durationMs) return undefined;
    const transitions = found === undefined ? 0 : found.transitions + (found.holder === identity ? 0 : 1);
    const next = { holder: identity, durationMs: times.durationMs, transitions };
    const written = await lock.write(next, found, signal);
    if (written === undefined) return undefined;
    this.#record = written;
    log.info({ lock: lock.name, transitions }, "leading");
    // From before the write: the others count from after it.
    return nowMs;
  }

  #lead(sinceMs: number): Leadership {
    const { elapsedMs, times } = this.#options;
    const lost = new AbortController();
    const state = { renewedMs: sinceMs };
    const ends = new AbortController();
    const leads = (): boolean =>
      !lost.signal.aborted && !ends.signal.aborted && elapsedMs() - state.renewedMs < times.deadlineMs;
    const renewing = this.#renew(state, leads, lost, ends.signal);
    return {
      lost: lost.signal,
      leads,
      release: async () => {
        const wasLeading = leads();
        ends.abort();
        await renewing;
        if (wasLeading) await this.#release();
      },
    };
  }

  /** Until the lead is lost or given up. Never rejects. */
  async #renew(
    state: { renewedMs: number },
    leads: () => boolean,
    lost: AbortController,
    signal: AbortSignal,
  ): Promise<void> {
    const { lock, identity, times, elapsedMs, pause: wait, log } = this.#options;
    while (!signal.aborted) {
      await wait(times.retryMs, signal);
      if (signal.aborted) return;
      if (!leads()) break;
      const beganMs = elapsedMs();
      const leftMs = Math.max(1, Math.ceil(times.deadlineMs - (beganMs - state.renewedMs)));
      try {
        const limit = AbortSignal.any([signal, AbortSignal.timeout(leftMs)]);
        const { transitions = 0 } = this.#record ?? {};
        const next = { holder: identity, durationMs: times.durationMs, transitions };
        let written = await lock.write(next, this.#record, limit);
        if (written === undefined) {
          // Our own write may have arrived without its answer; somebody else's ends the lead.
          const found = await lock.read(limit);
          if (found?.holder !== identity) break;
          written = await lock.write(next, found, limit);
        }
        if (written === undefined) break;
        this.#record = written;
        state.renewedMs = beganMs;
      } catch (error) {
        if (!signal.aborted) log.warn({ err: error, lock: lock.name }, "cannot renew the lead; trying again");
      }
    }
    if (signal.aborted) return;
    log.error({ lock: lock.name }, "the lead is lost");
    lost.abort();
  }

  async #release(): Promise<void> {
    const { lock, times, log } = this.#options;
    const { transitions = 0 } = this.#record ?? {};
    try {
      const next = { holder: "", durationMs: 1_000, transitions };
      this.#record = (await lock.write(next, this.#record, AbortSignal.timeout(times.deadlineMs))) ?? this.#record;
      log.info({ lock: lock.name }, "lead given up");
    } catch (error) {
      log.warn({ err: error, lock: lock.name }, "cannot give up the lead; it ends by itself");
    }
  }
}
