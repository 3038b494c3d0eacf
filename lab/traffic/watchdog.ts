const SWEEP_MS = 50;

interface Watch {
  deadlineMs: number;
  suspect: boolean;
  readonly onTimeout: () => void;
}

/**
 * Timeouts that do not mistake this process's own slowness for the network's: when a sweep comes late, because the
 * process was busy or had no processor, every deadline moves by as much; and what has expired gets one more turn of the
 * event loop, in which an answer that lies in a socket's buffer is read.
 */
export class Watchdog {
  readonly #watches = new Set<Watch>();
  readonly #now: () => number;
  #timer: NodeJS.Timeout | undefined;
  #lastSweepMs = 0;

  constructor(now: () => number = () => performance.now()) {
    this.#now = now;
  }

  /** Calls `onTimeout` once, unless the returned function is called before. */
  watch(timeoutMs: number, onTimeout: () => void): () => void {
    const watch: Watch = { deadlineMs: this.#now() + timeoutMs, suspect: false, onTimeout };
    this.#watches.add(watch);
    if (this.#timer === undefined) {
      this.#lastSweepMs = this.#now();
      this.#timer = setInterval(() => this.sweep(), SWEEP_MS);
    }
    return () => this.#drop(watch);
  }

  /** Looks for what has expired; the timer calls it. */
  sweep(): void {
    const now = this.#now();
    const lateMs = Math.max(0, now - this.#lastSweepMs - SWEEP_MS);
    this.#lastSweepMs = now;
    for (const watch of [...this.#watches]) {
      watch.deadlineMs += lateMs;
      if (now < watch.deadlineMs) watch.suspect = false;
      else if (!watch.suspect) watch.suspect = true;
      else {
        this.#drop(watch);
        watch.onTimeout();
      }
    }
  }

  #drop(watch: Watch): void {
    this.#watches.delete(watch);
    if (this.#watches.size > 0) return;
    clearInterval(this.#timer);
    this.#timer = undefined;
  }
}
