const NEW_LINE = 10;

/** Cuts a stream of octets into lines of a bounded length. */
export class LineSplitter {
  readonly #maxOctets: number;
  #parts: Buffer[] = [];
  #octets = 0;
  #isBroken = false;

  constructor(maxOctets: number) {
    this.#maxOctets = maxOctets;
  }

  /**
   * @returns the lines that are complete now, without their ends, and whether one is too long: then there are no more,
   * whatever comes.
   */
  push(chunk: Buffer): { readonly lines: readonly Buffer[]; readonly isTooLong: boolean } {
    const lines: Buffer[] = [];
    let from = 0;
    while (!this.#isBroken) {
      const end = chunk.indexOf(NEW_LINE, from);
      const part = chunk.subarray(from, end < 0 ? chunk.length : end);
      if (this.#octets + part.length > this.#maxOctets) {
        this.#isBroken = true;
        this.#parts = [];
        break;
      }
      if (end < 0) {
        this.#keep(part);
        break;
      }
      lines.push(Buffer.concat([...this.#parts, part]));
      this.#parts = [];
      this.#octets = 0;
      from = end + 1;
    }
    return { lines, isTooLong: this.#isBroken };
  }

  /** What came after the last line's end: a last line without one. */
  rest(): Buffer {
    const rest = Buffer.concat(this.#parts);
    this.#parts = [];
    this.#octets = 0;
    return rest;
  }

  #keep(part: Buffer): void {
    if (part.length === 0) return;
    // A copy: a few octets must not keep a whole chunk in memory. One octet at a time must not become a list of octets.
    this.#parts.push(Buffer.from(part));
    this.#octets += part.length;
    if (this.#parts.length > 64) this.#parts = [Buffer.concat(this.#parts)];
  }
}
