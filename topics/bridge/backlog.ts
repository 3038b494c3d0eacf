interface Entry {
  readonly line: Buffer;
  /** Octets of all lines before it. */
  readonly begin: number;
}

export interface BacklogLimits {
  readonly lines: number;
  readonly octets: number;
}

/**
 * The last lines of a topic, numbered. All clients read from this one, each at its own place, so that what waits for
 * clients takes the memory of one queue, however many of them there are and however slow they are.
 */
export class Backlog {
  readonly #limits: BacklogLimits;
  readonly #entries = new Map<number, Entry>();
  #first = 0;
  #next = 0;
  #octetsBefore = 0;

  constructor(limits: BacklogLimits) {
    this.#limits = limits;
  }

  /** Number of the oldest line that is kept; {@link next} when there is none. */
  get first(): number {
    return this.#first;
  }

  /** Number that the next line gets. */
  get next(): number {
    return this.#next;
  }

  /** Adds a line; the oldest go until it fits. */
  push(line: Buffer): void {
    this.#entries.set(this.#next, { line, begin: this.#octetsBefore });
    this.#next += 1;
    this.#octetsBefore += line.length;
    while (this.#next - this.#first > this.#limits.lines || this.#octetsFrom(this.#first) > this.#limits.octets) {
      this.#entries.delete(this.#first);
      this.#first += 1;
    }
  }

  line(number: number): Buffer | undefined {
    return this.#entries.get(number)?.line;
  }

  /** Whether a line can be added without a loss for who has yet to read the line `from`. */
  hasRoom(octets: number, from: number): boolean {
    const lines = this.#next - from;
    return lines <= 0 || (lines < this.#limits.lines && this.#octetsFrom(from) + octets <= this.#limits.octets);
  }

  /** How far behind who has yet to read the line `from` is: 0 for up to date, 1 for as far as one may be. */
  lag(from: number): number {
    return Math.max((this.#next - from) / this.#limits.lines, this.#octetsFrom(from) / this.#limits.octets);
  }

  #octetsFrom(number: number): number {
    const entry = this.#entries.get(Math.max(number, this.#first));
    return entry === undefined ? 0 : this.#octetsBefore - entry.begin;
  }
}
