import { pause } from "./process/pause.ts";

export interface WorkQueueOptions {
  /**
   * Looks at one key and makes the world agree with it. Never runs twice at once for one key. A rejection puts the key
   * back, to be tried again. Answers after how many milliseconds to look at the key again, if nothing adds it before.
   */
  readonly reconcile: (key: string, signal: AbortSignal) => Promise<number | undefined>;
  /** Is told of each failed attempt before the next one is due. */
  readonly onFailure: (key: string, error: unknown, retryInMs: number) => void;
  /** Between 0 and 1; spreads retries so that many keys do not come back together. */
  readonly random: () => number;
  readonly signal: AbortSignal;
  /** How many keys are worked on at once. */
  readonly concurrency?: number;
  readonly firstRetryMs?: number;
  readonly maxRetryMs?: number;
  /** Waits; the tests' own waits for nothing. */
  readonly pause?: (ms: number, signal: AbortSignal) => Promise<void>;
}

/** Of keys that are worked on, one in so many may be one that can wait, while others do. */
const PATIENT_SHARE = 16;

/**
 * Keys to look at, in the order in which they were added; a key added several times before its turn is looked at once,
 * and one added while it is being looked at is looked at again. Keys that can wait go after all others. Stops when the
 * signal aborts.
 */
export class WorkQueue {
  readonly #options: Required<WorkQueueOptions>;
  readonly #waiting = new Set<string>();
  /** Keys that can wait. */
  readonly #patient = new Set<string>();
  readonly #running = new Set<string>();
  readonly #failures = new Map<string, number>();
  /** Keys that are to be looked at again later; aborting takes one out. */
  readonly #later = new Map<string, AbortController>();
  #scheduled = false;
  /** Keys begun since the last one that could wait. */
  #sincePatient = 0;
  #onIdle: (() => void)[] = [];

  constructor(options: WorkQueueOptions) {
    this.#options = { concurrency: 1, firstRetryMs: 100, maxRetryMs: 30_000, pause, ...options };
  }

  /** Keys that wait for their turn, are being looked at, or will be tried again. */
  get depth(): number {
    return new Set([...this.#waiting, ...this.#patient, ...this.#running, ...this.#failures.keys()]).size;
  }

  add(key: string): void {
    this.#patient.delete(key);
    this.#add(key, this.#waiting);
  }

  /** Adds a key that can wait; where it waits among the others already, it stays there. */
  addPatient(key: string): void {
    this.#add(key, this.#waiting.has(key) ? this.#waiting : this.#patient);
  }

  #add(key: string, keys: Set<string>): void {
    if (this.#options.signal.aborted) return;
    // What changed may have cured it: do not wait.
    this.#later.get(key)?.abort();
    this.#later.delete(key);
    keys.add(key);
    this.#schedule();
  }

  /** Resolves when no key waits or runs; keys that are to be tried again later do not count. */
  idle(): Promise<void> {
    if (this.#isIdle()) return Promise.resolve();
    return new Promise((resolve) => this.#onIdle.push(resolve));
  }

  /** All changes of one turn of the event loop are seen before the first key is looked at. */
  #schedule(): void {
    if (this.#scheduled) return;
    this.#scheduled = true;
    setImmediate(() => {
      this.#scheduled = false;
      this.#start();
    });
  }

  #isIdle(): boolean {
    const nothingWaits = this.#waiting.size === 0 && this.#patient.size === 0;
    return this.#running.size === 0 && (nothingWaits || this.#options.signal.aborted);
  }

  #start(): void {
    while (!this.#options.signal.aborted && this.#running.size < this.#options.concurrency) {
      const isPatientsTurn = this.#sincePatient >= PATIENT_SHARE;
      const order = isPatientsTurn ? [this.#patient, this.#waiting] : [this.#waiting, this.#patient];
      const keys = order.find((set) => this.#nextOf(set) !== undefined);
      const key = keys && this.#nextOf(keys);
      if (keys === undefined || key === undefined) break;
      this.#sincePatient = keys === this.#patient ? 0 : this.#sincePatient + 1;
      keys.delete(key);
      this.#running.add(key);
      // #run catches whatever the reconciler throws.
      void this.#run(key);
    }
    if (this.#isIdle()) for (const resolve of this.#onIdle.splice(0)) resolve();
  }

  #nextOf(keys: ReadonlySet<string>): string | undefined {
    for (const key of keys) if (!this.#running.has(key)) return key;
    return undefined;
  }

  async #run(key: string): Promise<void> {
    const { reconcile, signal } = this.#options;
    try {
      const againMs = await reconcile(key, signal);
      this.#failures.delete(key);
      if (againMs !== undefined) this.#addLater(key, againMs);
    } catch (error) {
      if (!signal.aborted) this.#retryLater(key, error);
    } finally {
      this.#running.delete(key);
      this.#schedule();
    }
  }

  #retryLater(key: string, error: unknown): void {
    const { firstRetryMs, maxRetryMs, random, onFailure } = this.#options;
    const failures = this.#failures.get(key) ?? 0;
    this.#failures.set(key, failures + 1);
    const ceilingMs = Math.min(maxRetryMs, firstRetryMs * 2 ** Math.min(failures, 30));
    const retryInMs = Math.round(ceilingMs * (0.5 + random() / 2));
    onFailure(key, error, retryInMs);
    this.#addLater(key, retryInMs);
  }

  #addLater(key: string, ms: number): void {
    const { pause: wait, signal } = this.#options;
    // Somebody added it while it was looked at: its turn comes anyway.
    if (this.#waiting.has(key) || this.#patient.has(key) || signal.aborted) return;
    const cancelled = new AbortController();
    this.#later.set(key, cancelled);
    // A timer takes 31 bits of milliseconds; looking once too early does no harm.
    void wait(Math.min(ms, 2 ** 31 - 1), AbortSignal.any([signal, cancelled.signal])).then(() => {
      if (cancelled.signal.aborted) return;
      this.#later.delete(key);
      this.add(key);
    });
  }
}
