import { z } from "zod";

/** What is not answered within this time has lost a packet: a TCP SYN that nobody answers is sent again after 1 s. */
export const AT_ONCE_MS = 900;

/** How well new connections were served all the time. */
export const interruptionsSchema = z.object({
  /** The longest time in which none of them was answered, in ms. */
  longestGapMs: z.int(),
  /** How many were lost, or answered only after 0.9 s. */
  late: z.int(),
  /** From the beginning of the first of those to the beginning of the last, in ms. */
  lateForMs: z.int(),
  /** When the first and the last of those began. */
  firstLateAt: z.string().optional(),
  lastLateAt: z.string().optional(),
});
type InterruptionsReport = z.infer<typeof interruptionsSchema>;

/** Finds the times in which new connections were not served. Times are ms of one clock. */
export class Interruptions {
  #lastAnswerMs: number;
  #lastBegunMs: number;
  #longestGapMs = 0;
  #late = 0;
  #firstLateMs = Number.POSITIVE_INFINITY;
  #lastLateMs = Number.NEGATIVE_INFINITY;

  constructor(startMs: number) {
    this.#lastAnswerMs = startMs;
    this.#lastBegunMs = startMs;
  }

  /** An exchange that began and ended, in the order of their ends; `late`: not within `AT_ONCE_MS`. */
  ended(begunMs: number, endedMs: number, answered: boolean, late: boolean): void {
    this.#lastBegunMs = Math.max(this.#lastBegunMs, begunMs);
    if (answered) {
      this.#longestGapMs = Math.max(this.#longestGapMs, endedMs - this.#lastAnswerMs);
      this.#lastAnswerMs = endedMs;
    }
    if (answered && !late) return;
    this.#late += 1;
    this.#firstLateMs = Math.min(this.#firstLateMs, begunMs);
    this.#lastLateMs = Math.max(this.#lastLateMs, begunMs);
  }

  /** @param originMs Unix time of the clock's zero, in ms */
  report(originMs: number): InterruptionsReport {
    // A gap at the end lasts until the last exchange began that nobody answered, not until somebody asks.
    const longestGapMs = Math.round(Math.max(this.#longestGapMs, this.#lastBegunMs - this.#lastAnswerMs));
    if (this.#late === 0) return { longestGapMs, late: 0, lateForMs: 0 };
    const at = (ms: number): string => new Date(originMs + ms).toISOString();
    return {
      longestGapMs,
      late: this.#late,
      lateForMs: Math.round(this.#lastLateMs - this.#firstLateMs),
      firstLateAt: at(this.#firstLateMs),
      lastLateAt: at(this.#lastLateMs),
    };
  }
}

/** One line of a report. Pure. */
export function renderInterruptions({ longestGapMs, late, lateForMs }: InterruptionsReport): string {
  const gap = `longest time without an answer ${longestGapMs} ms`;
  return late === 0 ? `${gap}; all served at once` : `${gap}; ${late} not served at once, begun within ${lateForMs} ms`;
}
