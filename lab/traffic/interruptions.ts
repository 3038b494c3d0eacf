import { z } from "zod";

/**
 * A TCP connection that is not accepted within this time has lost a packet: a SYN that nobody answers is sent again after
 * 1 s. To accept is the kernel's work, so a server that is slow to answer is no interruption. UDP: not answered.
 */
export const AT_ONCE_MS = 500;
/** Late exchanges whose beginnings are further apart belong to two interruptions. */
const APART_MS = 1000;
/** Bounds the memory: beyond it late exchanges are only counted. */
const LATE_LIMIT = 100_000;

/** How well new connections were served all the time. */
export const interruptionsSchema = z.object({
  /** The longest time in which none of them was answered, in ms. */
  longestGapMs: z.int(),
  /** How many were lost, or accepted (UDP: answered) only after 0.5 s. */
  late: z.int(),
  /** When those began: from the first to the last of each row of them in which no two are more than 1 s apart. */
  spans: z.array(z.object({ from: z.string(), to: z.string(), forMs: z.int(), late: z.int() })),
});
type InterruptionsReport = z.infer<typeof interruptionsSchema>;

/** Finds the times in which new connections were not served. Times are ms of one clock. */
export class Interruptions {
  readonly #lateBegunMs: number[] = [];
  #lastAnswerMs: number;
  #lastBegunMs: number;
  #longestGapMs = 0;
  #late = 0;

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
    if (this.#lateBegunMs.length < LATE_LIMIT) this.#lateBegunMs.push(begunMs);
  }

  /** @param originMs Unix time of the clock's zero, in ms */
  report(originMs: number): InterruptionsReport {
    const rows: number[][] = [];
    for (const ms of this.#lateBegunMs.toSorted((a, b) => a - b)) {
      const row = rows.at(-1);
      if (row !== undefined && ms - (row.at(-1) ?? ms) <= APART_MS) row.push(ms);
      else rows.push([ms]);
    }
    const at = (ms: number): string => new Date(originMs + ms).toISOString();
    return {
      // A gap at the end lasts until the last exchange began that nobody answered, not until somebody asks.
      longestGapMs: Math.round(Math.max(this.#longestGapMs, this.#lastBegunMs - this.#lastAnswerMs)),
      late: this.#late,
      spans: rows.map((row) => {
        const [first = 0, last = first] = [row[0], row.at(-1)];
        return { from: at(first), to: at(last), forMs: Math.round(last - first), late: row.length };
      }),
    };
  }
}

/** Lines of a report. Pure. */
export function renderInterruptions({ longestGapMs, late, spans }: InterruptionsReport): string {
  const summary = late === 0 ? "all served at once" : `${late} not served at once`;
  const rows = spans.map((span) => `\n  not served at once: ${span.late} begun from ${span.from} for ${span.forMs} ms`);
  return `longest time without an answer ${longestGapMs} ms; ${summary}${rows.join("")}`;
}
