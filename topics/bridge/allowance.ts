/** So many in a second, and a second's worth at once. */
export class Allowance {
  readonly #perSecond: number;
  readonly #nowMs: () => number;
  #left: number;
  #atMs: number;

  constructor(perSecond: number, nowMs: () => number) {
    this.#perSecond = perSecond;
    this.#nowMs = nowMs;
    this.#left = perSecond;
    this.#atMs = nowMs();
  }

  /** @returns 0 when one was taken; else after how many milliseconds to try again. */
  take(): number {
    const nowMs = this.#nowMs();
    const earned = (Math.max(0, nowMs - this.#atMs) * this.#perSecond) / 1000;
    this.#left = Math.min(this.#perSecond, this.#left + earned);
    this.#atMs = nowMs;
    if (this.#left < 1) return Math.max(1, Math.ceil(((1 - this.#left) * 1000) / this.#perSecond));
    this.#left -= 1;
    return 0;
  }
}
