import type { Log } from "#shared/process/log.ts";
import { pause } from "#shared/process/pause.ts";
import type { BgpSpeaker } from "./bgp-speaker.ts";
import { type GobgpdProcess, ProgramMissingError } from "./gobgpd-process.ts";
import { SpeakerControl } from "./speaker-control.ts";

/** A daemon and the connection to it. */
export interface RunningSpeaker {
  readonly daemon: Pick<GobgpdProcess, "pid" | "version" | "exited" | "stop" | "kill">;
  readonly speaker: BgpSpeaker;
}

export interface SpeakerSupervisorOptions {
  /** Starts a daemon that knows nothing. */
  readonly launch: () => Promise<RunningSpeaker>;
  /** Whether the kernel forwards for VIPs that an earlier daemon may have announced. */
  readonly isRestart: () => boolean;
  /** Called whenever there is something new to see: up, down, sessions, routes. */
  readonly onChange: () => void;
  readonly log: Log;
  readonly signal: AbortSignal;
}

const FIRST_RETRY_MS = 100;
const LAST_RETRY_MS = 10_000;
/** A daemon that lived this long was well; what ended it then is not held against the next. */
const WELL_AFTER_MS = 30_000;

/** Keeps one daemon running until the signal aborts; each new one starts from nothing and is told everything again. */
export class SpeakerSupervisor {
  readonly #options: SpeakerSupervisorOptions;
  #current: (RunningSpeaker & { readonly control: SpeakerControl }) | undefined;
  #down = "starting";

  constructor(options: SpeakerSupervisorOptions) {
    this.#options = options;
  }

  get control(): SpeakerControl | undefined {
    return this.#current?.control;
  }

  /** Why there is no daemon. */
  get down(): string {
    return this.#down;
  }

  get daemon(): { readonly pid: number; readonly version: string } | undefined {
    return this.#current?.daemon;
  }

  /** Replaces a daemon that cannot be used any more. */
  async replace(control: SpeakerControl): Promise<void> {
    if (this.#current?.control === control) await this.#current.daemon.kill();
  }

  /** @throws ProgramMissingError when there is nothing to start. The last daemon is left running: see `stop`. */
  async run(): Promise<void> {
    const { isRestart, launch, log, onChange, signal } = this.#options;
    let retryMs = FIRST_RETRY_MS;
    while (!signal.aborted) {
      const startedMs = performance.now();
      try {
        const running = await launch();
        const control = new SpeakerControl(running.speaker, isRestart(), log);
        this.#current = { ...running, control };
        log.info({ pid: running.daemon.pid, version: running.daemon.version }, "gobgpd is up");
        onChange();
        const reason = await this.#follow(running);
        if (reason === undefined) return;
        this.#down = reason;
        running.speaker.close();
      } catch (error) {
        if (error instanceof ProgramMissingError) throw error;
        this.#down = error instanceof Error ? error.message : String(error);
      }
      this.#current = undefined;
      onChange();
      if (performance.now() - startedMs > WELL_AFTER_MS) retryMs = FIRST_RETRY_MS;
      log.error({ reason: this.#down, retryMs }, "gobgpd is down; starting it again");
      await pause(retryMs, signal);
      retryMs = Math.min(LAST_RETRY_MS, retryMs * 2);
    }
  }

  /** Ends the daemon that `run` left. */
  async stop(): Promise<void> {
    await this.#current?.daemon.stop();
    this.#current?.speaker.close();
    this.#current = undefined;
  }

  /** Passes events on until the daemon ends (answers why) or the signal aborts (answers undefined). */
  async #follow({ daemon, speaker }: RunningSpeaker): Promise<string | undefined> {
    const { log, onChange, signal } = this.#options;
    const ended = new AbortController();
    const events = AbortSignal.any([signal, ended.signal]);
    const watching = (async (): Promise<void> => {
      while (!events.aborted) {
        try {
          await speaker.watch(onChange, events);
        } catch (error) {
          if (!events.aborted) log.warn({ err: error }, "cannot watch gobgpd; trying again");
        }
        await pause(1_000, events);
      }
    })();
    const aborted = new Promise<undefined>((resolve) => {
      signal.addEventListener("abort", () => resolve(undefined), { once: true, signal: ended.signal });
      if (signal.aborted) resolve(undefined);
    });
    const reason = await Promise.race([daemon.exited, aborted]);
    ended.abort();
    await watching;
    return reason;
  }
}
