import { InvalidSampleError, type TopicAdapter, type TopicLibrary, type TopicSettings } from "./topic-adapter.ts";

/** A topic in memory: the test plays everybody else in DDS. */
export class MemoryAdapter implements TopicAdapter {
  readonly settings: TopicSettings;
  readonly #waiting: string[] = [];
  #arrived = Promise.withResolvers<void>();
  /** What clients have published. */
  readonly published: string[] = [];
  /** Samples that readers in DDS take before they have to catch up. */
  room = Number.POSITIVE_INFINITY;
  isClosed = false;

  constructor(settings: TopicSettings) {
    this.settings = settings;
  }

  /** Samples that nobody has taken yet: a writer in DDS would have to wait for them. */
  get waiting(): number {
    return this.#waiting.length;
  }

  /** Publishers somewhere write these. */
  arrive(samples: readonly unknown[]): void {
    this.#waiting.push(...samples.map((sample) => JSON.stringify(sample)));
    this.#arrived.resolve();
    this.#arrived = Promise.withResolvers();
  }

  take(): readonly string[] {
    return this.#waiting.splice(0, 64);
  }

  async wait(signal: AbortSignal): Promise<void> {
    if (signal.aborted) return;
    const stop = Promise.withResolvers<void>();
    signal.addEventListener("abort", () => stop.resolve(), { once: true });
    await Promise.race([this.#arrived.promise, stop.promise]);
  }

  publish(json: string): "Written" | "Full" {
    if (json.includes("nope")) throw new InvalidSampleError(`${this.settings.spec.type} has no member "nope"`);
    if (this.published.length >= this.room) return "Full";
    this.published.push(json);
    return "Written";
  }

  matched() {
    return { publishers: 1, subscribers: 2 };
  }

  async close(): Promise<void> {
    this.isClosed = true;
  }
}

/** A library that makes these. */
export class MemoryLibrary implements TopicLibrary {
  readonly opened: MemoryAdapter[] = [];

  open(settings: TopicSettings): MemoryAdapter {
    const adapter = new MemoryAdapter(settings);
    this.opened.push(adapter);
    return adapter;
  }
}
