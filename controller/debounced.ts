/** Calls something once, a while after the first of a burst of touches. */
export class Debounced {
  readonly #quietMs: number;
  readonly #signal: AbortSignal;
  readonly #act: () => void;
  #timer: NodeJS.Timeout | undefined;

  constructor(quietMs: number, signal: AbortSignal, act: () => void) {
    this.#quietMs = quietMs;
    this.#signal = signal;
    this.#act = act;
    signal.addEventListener("abort", () => clearTimeout(this.#timer), { once: true });
  }

  touch(): void {
    if (this.#timer !== undefined || this.#signal.aborted) return;
    this.#timer = setTimeout(() => {
      this.#timer = undefined;
      this.#act();
    }, this.#quietMs);
  }
}
