import { pause } from "#shared/process/pause.ts";
import { InvalidSampleError, type TopicAdapter } from "../adapter/topic-adapter.ts";
import { Allowance } from "./allowance.ts";
import type { TopicCounters } from "./counters.ts";

/** How long to wait until readers in DDS may have caught up. */
const FULL_MS = 5;
/** A client that sends this many lines that are no samples sends no samples. */
export const MAX_REFUSED = 10;

export interface PublisherOptions {
  /** Undefined: clients of this Topic only read. */
  readonly adapter: Pick<TopicAdapter, "publish"> | undefined;
  readonly linesPerSecond: number;
  readonly nowMs: () => number;
  readonly counters: TopicCounters;
  /** Tells the client what is wrong with a line. */
  readonly tell: (message: string) => void;
  /** The client or the Topic is gone. */
  readonly signal: AbortSignal;
}

/** Publishes the lines of one client: in order, as fast as is allowed and as readers in DDS take them. */
export class Publisher {
  readonly #options: PublisherOptions;
  readonly #allowance: Allowance;
  /** Lines of this client so far, to name one. */
  #line = 0;
  #refused = 0;

  constructor(options: PublisherOptions) {
    this.#options = options;
    this.#allowance = new Allowance(options.linesPerSecond, options.nowMs);
  }

  /**
   * Resolves when all lines are dealt with: until then no others are to be read from the client.
   * @returns false when the client has sent too much that is no sample.
   */
  async publish(lines: readonly Buffer[]): Promise<boolean> {
    const { signal } = this.#options;
    for (const line of lines) {
      this.#line += 1;
      const text = line.toString("utf8").trim();
      // Somebody pressed a key.
      if (text === "") continue;
      for (let waitMs = this.#allowance.take(); waitMs > 0 && !signal.aborted; waitMs = this.#allowance.take()) {
        await pause(waitMs, signal);
      }
      if (signal.aborted) return true;
      await this.#publish(text);
      if (this.#refused >= MAX_REFUSED) return false;
    }
    return true;
  }

  async #publish(text: string): Promise<void> {
    const { adapter, counters, signal } = this.#options;
    if (adapter === undefined) {
      counters.refused.unexpected += 1;
      this.#refuse("nothing is published here: the Topic's spec.direction is Subscribe");
      return;
    }
    try {
      if (!isJsonObject(text)) throw new InvalidSampleError("it is no JSON object");
      while (adapter.publish(text) === "Full") {
        await pause(FULL_MS, signal);
        if (signal.aborted) return;
      }
      counters.written += 1;
    } catch (error) {
      if (!(error instanceof InvalidSampleError)) throw error;
      counters.refused.invalid += 1;
      this.#refuse(error.message);
    }
  }

  #refuse(message: string): void {
    this.#refused += 1;
    this.#options.tell(`line ${this.#line}: ${message}`);
  }
}

function isJsonObject(text: string): boolean {
  if (!text.startsWith("{")) return false;
  try {
    JSON.parse(text);
    return true;
  } catch {
    return false;
  }
}
