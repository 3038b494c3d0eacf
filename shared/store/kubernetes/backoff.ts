export interface BackoffOptions {
  readonly firstMs: number;
  readonly maxMs: number;
  /** Between 0 and 1; spreads the returns of many clients. */
  readonly random: () => number;
}

/** Growing times between attempts, each between half and the whole of what it could be. */
export class Backoff {
  readonly #options: BackoffOptions;
  #failures = 0;

  constructor(options: BackoffOptions) {
    this.#options = options;
  }

  /** How long to wait before the next attempt. @param atLeastMs What the other side asked for. */
  nextMs(atLeastMs = 0): number {
    const { firstMs, maxMs, random } = this.#options;
    const ceilingMs = Math.min(maxMs, firstMs * 2 ** Math.min(this.#failures, 20));
    this.#failures += 1;
    return Math.max(atLeastMs, Math.round(ceilingMs * (0.5 + random() / 2)));
  }

  reset(): void {
    this.#failures = 0;
  }
}
