/**
 * A clock that runs only while somebody looks at it: of the time between two looks no more counts than was meant to pass,
 * and a little. Time limits kept by it do not run out while the process, or the machine, stands still or is far behind with
 * its work: whatever comes late for that reason is still in time.
 */
export class AttentiveClock {
  readonly #slackMs: number;
  #lastMs: number;
  #limitMs: number;
  #nowMs = 0;

  /**
   * @param slackMs by which a look may be late and yet all of the time counts.
   * @param nowMs monotonic; the attentive time begins with 0.
   */
  constructor(slackMs: number, nowMs: number) {
    this.#slackMs = slackMs;
    this.#lastMs = nowMs;
    this.#limitMs = slackMs;
  }

  /** Looks. @returns attentive time. */
  look(nowMs: number): number {
    const passedMs = Math.min(this.#limitMs, Math.max(0, nowMs - this.#lastMs));
    this.#nowMs += passedMs;
    this.#limitMs -= passedMs;
    this.#lastMs = nowMs;
    return this.#nowMs;
  }

  /** The next look is meant to be in so many milliseconds. */
  expect(waitMs: number): void {
    this.#limitMs = waitMs + this.#slackMs;
  }
}
