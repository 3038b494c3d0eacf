import type { Duplex } from "node:stream";
import type { Backlog } from "./backlog.ts";
import { errorLine } from "./error-line.ts";
import { LineSplitter } from "./line-splitter.ts";

/** Lines go to the kernel in pieces of about this size: what waits here besides the backlog, of each client. */
const PIECE_OCTETS = 16_384;
/** How long a client may take for the last words, before it is hung up on. */
const LAST_WORDS_MS = 5_000;

export interface TopicClientOptions {
  readonly stream: Duplex;
  readonly lineOctets: number;
  /** Undefined: the client gets no samples. */
  readonly backlog: Backlog | undefined;
  /** Number of the first line that it gets. */
  readonly from: number;
  /** Lines that it has sent; no others are read until this resolves. False ends the connection. */
  readonly onLines: (lines: readonly Buffer[]) => Promise<boolean>;
  /** Why the connection is ended from here. */
  readonly onCut: (why: "line" | "invalid") => void;
  /** It has read something, or missed so many lines. */
  readonly onProgress: (missed: number) => void;
  readonly onError: (error: unknown) => void;
}

/** One connection: reads its place in the backlog as fast as the peer takes it, and hands over lines that come. */
export class TopicClient {
  readonly #options: TopicClientOptions;
  readonly #splitter: LineSplitter;
  /** Number of the next line that goes to the peer. */
  #position: number;
  #isEnding = false;
  #lastWords: NodeJS.Timeout | undefined;
  readonly closed: Promise<void>;

  constructor(options: TopicClientOptions) {
    this.#options = options;
    this.#splitter = new LineSplitter(options.lineOctets);
    this.#position = options.from;
    const { stream } = options;
    // A peer that went away needs no answer; what matters is the close that follows.
    stream.on("error", () => stream.destroy());
    this.closed = new Promise((resolve) => {
      stream.once("close", () => {
        clearTimeout(this.#lastWords);
        resolve();
      });
    });
    stream.on("drain", () => this.flush());
    stream.on("data", (chunk: Buffer) => this.#read(chunk));
    stream.on("end", () => void this.#readLast());
  }

  get position(): number {
    return this.#position;
  }

  get isEnding(): boolean {
    return this.#isEnding;
  }

  /** Gives the peer what there is, until it does not take more. Lines that are gone by then are missed. */
  flush(): void {
    const { backlog, stream, onProgress } = this.#options;
    if (backlog === undefined || this.#isEnding || stream.writableNeedDrain || stream.destroyed) return;
    const before = this.#position;
    const missed = Math.max(0, backlog.first - before);
    this.#position += missed;
    let isTaking = true;
    while (isTaking && this.#position < backlog.next) isTaking = stream.write(this.#piece(backlog));
    if (this.#position > before) onProgress(missed);
  }

  /** A line that is no sample. Nothing is said to a peer that does not listen. */
  tell(message: string): void {
    const { stream } = this.#options;
    if (!this.#isEnding && !stream.writableNeedDrain && stream.writable) stream.write(errorLine(message));
  }

  /** Ends the connection, with a reason that the peer reads if it still reads. */
  end(reason: string): void {
    const { stream } = this.#options;
    if (this.#isEnding) return;
    this.#isEnding = true;
    stream.end(errorLine(reason));
    // What it still sends is thrown away: without that its end would not be seen.
    stream.resume();
    this.#lastWords = setTimeout(() => stream.destroy(), LAST_WORDS_MS);
  }

  destroy(): void {
    this.#options.stream.destroy();
  }

  /** A long line by itself, as it lies in the backlog; short ones together. */
  #piece(backlog: Backlog): Buffer {
    const lines: Buffer[] = [];
    let octets = 0;
    for (; this.#position < backlog.next; this.#position += 1) {
      const line = backlog.line(this.#position);
      if (line === undefined) continue;
      if (lines.length > 0 && octets + line.length > PIECE_OCTETS) break;
      lines.push(line);
      octets += line.length;
    }
    const [only] = lines;
    return lines.length === 1 && only !== undefined ? only : Buffer.concat(lines);
  }

  #read(chunk: Buffer): void {
    if (this.#isEnding) return;
    const { lines, isTooLong } = this.#splitter.push(chunk);
    if (isTooLong) {
      this.#options.onCut("line");
      this.end(`a line is longer than ${this.#options.lineOctets} octets (spec.limits.lineOctets)`);
      return;
    }
    if (lines.length > 0) void this.#handOver(lines);
  }

  async #readLast(): Promise<void> {
    const { backlog, stream } = this.#options;
    const rest = this.#splitter.rest();
    if (rest.length > 0 && !this.#isEnding) await this.#handOver([rest]);
    // Who only publishes has said all; who reads may well have nothing to say.
    if (backlog === undefined && !this.#isEnding) stream.end();
  }

  /** The stream stands still until the lines are dealt with. Never rejects. */
  async #handOver(lines: readonly Buffer[]): Promise<void> {
    const { stream, onLines, onCut, onError } = this.#options;
    stream.pause();
    try {
      const goesOn = await onLines(lines);
      if (!goesOn && !this.#isEnding) {
        onCut("invalid");
        this.end("too many lines that are no samples");
      }
    } catch (error) {
      onError(error);
      this.end("the line could not be published; this instance's log says why");
    }
    stream.resume();
  }
}
