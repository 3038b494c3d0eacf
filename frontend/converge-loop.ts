import type { Log } from "./log.ts";

export interface ConvergeLoopOptions {
  readonly name: string;
  /** Rereads state and acts on it. Answers after how many milliseconds to look again, if nothing wakes it before. */
  readonly converge: () => Promise<number | undefined>;
  readonly log: Log;
  readonly signal: AbortSignal;
}

const FIRST_RETRY_MS = 100;
const LAST_RETRY_MS = 5_000;

/**
 * Level-triggered: `wake()` says "look again", however often it is called while the loop is at work. One pass at a
 * time. A pass that fails is logged and repeated after a growing time.
 */
export class ConvergeLoop {
  readonly #options: ConvergeLoopOptions;
  #awake = Promise.withResolvers<void>();

  constructor(options: ConvergeLoopOptions) {
    this.#options = options;
  }

  wake(): void {
    this.#awake.resolve();
  }

  /** Runs until the signal aborts and the pass under way has ended. Never rejects. */
  async run(): Promise<void> {
    const { name, converge, log, signal } = this.#options;
    const wake = (): void => this.wake();
    signal.addEventListener("abort", wake);
    let retryMs = FIRST_RETRY_MS;
    this.wake();
    while (!signal.aborted) {
      await this.#awake.promise;
      if (signal.aborted) break;
      this.#awake = Promise.withResolvers<void>();
      let againMs: number | undefined;
      try {
        againMs = await converge();
        retryMs = FIRST_RETRY_MS;
      } catch (error) {
        log.warn({ err: error, loop: name, retryMs }, "cannot converge yet");
        againMs = retryMs;
        retryMs = Math.min(LAST_RETRY_MS, retryMs * 2);
      }
      if (againMs !== undefined) {
        const timer = setTimeout(wake, againMs);
        void this.#awake.promise.then(() => clearTimeout(timer));
      }
    }
    signal.removeEventListener("abort", wake);
  }
}
