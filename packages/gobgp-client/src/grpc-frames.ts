/** Length-prefixed message of gRPC over HTTP/2: one byte of flags (compressed or not), four of length, the message. */
export function frame(message: Uint8Array): Buffer {
  const framed = Buffer.allocUnsafe(5 + message.length);
  framed.writeUInt8(0, 0);
  framed.writeUInt32BE(message.length, 1);
  framed.set(message, 5);
  return framed;
}

/** Cuts a byte stream, in whatever pieces it comes, into messages. */
export class Unframer {
  readonly #maxMessageBytes: number;
  #chunks: Buffer[] = [];
  #buffered = 0;

  constructor(maxMessageBytes: number) {
    this.#maxMessageBytes = maxMessageBytes;
  }

  /** Yields each message that is complete now. Throws RangeError on a compressed message, or one that is too long. */
  *push(chunk: Buffer): Generator<Buffer> {
    this.#chunks.push(chunk);
    this.#buffered += chunk.length;
    while (this.#buffered >= 5) {
      // Joined only when a header or a whole message is there: a large message in many pieces is copied once or twice.
      if ((this.#chunks[0]?.length ?? 0) < 5) this.#join();
      const header = this.#chunks[0] ?? Buffer.alloc(0);
      const length = header.readUInt32BE(1);
      if (header.readUInt8(0) !== 0) throw new RangeError("compressed message, although none was offered");
      if (length > this.#maxMessageBytes) throw new RangeError(`message of ${length} bytes`);
      if (this.#buffered < 5 + length) return;
      if (header.length < 5 + length) this.#join();
      const whole = this.#chunks[0] ?? Buffer.alloc(0);
      const rest = whole.subarray(5 + length);
      if (rest.length > 0) this.#chunks[0] = rest;
      else this.#chunks.shift();
      this.#buffered -= 5 + length;
      yield whole.subarray(5, 5 + length);
    }
  }

  /** Bytes of a message that is not complete. */
  get pending(): number {
    return this.#buffered;
  }

  #join(): void {
    this.#chunks = [Buffer.concat(this.#chunks)];
  }
}
