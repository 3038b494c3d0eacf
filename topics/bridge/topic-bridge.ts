import type { Duplex } from "node:stream";
import { setImmediate as turn } from "node:timers/promises";
import type { Topic } from "#shared/api/topic.ts";
import type { Log } from "#shared/process/log.ts";
import { pause } from "#shared/process/pause.ts";
import type { TopicAdapter } from "../adapter/topic-adapter.ts";
import { Backlog } from "./backlog.ts";
import { newCounters, type TopicCounters } from "./counters.ts";
import { Publisher } from "./publisher.ts";
import { TopicClient } from "./topic-client.ts";

export interface TopicBridgeOptions {
  readonly spec: Topic["spec"];
  readonly adapter: TopicAdapter;
  /** Monotonic. */
  readonly nowMs: () => number;
  readonly log: Log;
}

/** Who lagged so far behind that the topic had to wait must come back to this part of its queue. */
const CAUGHT_UP = 0.5;
/** A topic that never falls silent lets others have their turn after so many samples. */
const SAMPLES_A_TURN = 256;
/** After an error of the library. */
const RETRY_MS = 1_000;

/**
 * One topic and its clients. Samples go into one backlog, which every client reads at its own pace. One that lags as far
 * behind as is allowed misses the oldest when the topic is BestEffort; when it is Reliable nothing more is taken from
 * DDS until it has caught up half of it, or its time is over and it is cut.
 */
export class TopicBridge {
  readonly #options: TopicBridgeOptions;
  readonly #backlog: Backlog;
  readonly #clients = new Map<TopicClient, AbortController>();
  readonly #stop = new AbortController();
  readonly #running: Promise<void>;
  #progress = Promise.withResolvers<void>();
  readonly counters: TopicCounters = newCounters();
  /** Of the library, while it fails. */
  problem: string | undefined;

  constructor(options: TopicBridgeOptions) {
    this.#options = options;
    const { queueLines: lines, queueOctets: octets } = options.spec.limits;
    this.#backlog = new Backlog({ lines, octets });
    this.#running = options.spec.direction === "Publish" ? Promise.resolve() : this.#read();
  }

  get clients(): number {
    return this.#clients.size;
  }

  /** Takes a connection, which is then its own to end. */
  add(stream: Duplex): TopicClient {
    const { spec, adapter, nowMs, log } = this.#options;
    const { counters } = this;
    const gone = new AbortController();
    const publisher = new Publisher({
      adapter: spec.direction === "Subscribe" ? undefined : adapter,
      linesPerSecond: spec.limits.linesPerSecondPerClient,
      nowMs,
      counters,
      tell: (message) => client.tell(message),
      signal: gone.signal,
    });
    const client = new TopicClient({
      stream,
      lineOctets: spec.limits.lineOctets,
      backlog: spec.direction === "Publish" ? undefined : this.#backlog,
      from: this.#firstOfNewcomer(),
      onLines: (lines) => publisher.publish(lines),
      onCut: (why) => {
        counters.cut[why] += 1;
      },
      onProgress: (missed) => {
        counters.missed.slow += missed;
        this.#wake();
      },
      onError: (err) => log.error({ err, topic: spec.topic }, "cannot publish"),
    });
    this.#clients.set(client, gone);
    void client.closed.then(() => {
      gone.abort();
      this.#clients.delete(client);
      this.#wake();
    });
    client.flush();
    return client;
  }

  /** Ends all connections and leaves DDS. */
  async close(reason: string): Promise<void> {
    this.#stop.abort();
    this.#wake();
    for (const [client, gone] of this.#clients) {
      gone.abort();
      client.end(reason);
    }
    await this.#running;
    await this.#options.adapter.close();
  }

  /** Somebody who comes now begins with the next sample; of a topic that keeps its last ones, with these. */
  #firstOfNewcomer(): number {
    const { durability, historyDepth = 0 } = this.#options.spec.qos;
    const { first, next } = this.#backlog;
    return durability === "Volatile" ? next : Math.max(first, next - historyDepth);
  }

  #wake(): void {
    this.#progress.resolve();
    this.#progress = Promise.withResolvers();
  }

  /** Never rejects. */
  async #read(): Promise<void> {
    const { adapter, log, spec } = this.#options;
    const { signal } = this.#stop;
    while (!signal.aborted) {
      try {
        const samples = adapter.take();
        this.problem = undefined;
        if (samples.length === 0) await adapter.wait(signal);
        else await this.#deliver(samples);
      } catch (err) {
        if (signal.aborted) return;
        if (this.problem === undefined) log.error({ err, topic: spec.topic }, "cannot read the topic; trying again");
        this.problem = `the topic cannot be read: ${err instanceof Error ? err.message : String(err)}`;
        await pause(RETRY_MS, signal);
      }
    }
  }

  async #deliver(samples: readonly string[]): Promise<void> {
    const { limits, qos } = this.#options.spec;
    let count = 0;
    for (const sample of samples) {
      const line = Buffer.from(`${sample}\n`);
      this.counters.read += 1;
      if (line.length > limits.queueOctets) {
        this.counters.missed.long += 1;
        continue;
      }
      if (!this.#hasRoom(line.length)) {
        this.#flush();
        // Who reads as fast as it can has its turn now; who does not misses something, or holds back the others.
        await turn();
        if (qos.reliability === "Reliable") await this.#makeRoom(line.length);
      }
      if (this.#stop.signal.aborted) return;
      this.#backlog.push(line);
      count += 1;
      if (count % SAMPLES_A_TURN !== 0) continue;
      this.#flush();
      await turn();
    }
    this.#flush();
    // Sockets are to be heard between batches, too.
    await turn();
  }

  #flush(): void {
    for (const client of this.#clients.keys()) client.flush();
  }

  #reading(): readonly TopicClient[] {
    return [...this.#clients.keys()].filter(({ isEnding }) => !isEnding);
  }

  /** Whether nobody misses anything when a line is added. */
  #hasRoom(octets: number): boolean {
    return this.#reading().every(({ position }) => this.#backlog.hasRoom(octets, position));
  }

  /** Waits for those who would miss something, for as long as they are given. */
  async #makeRoom(octets: number): Promise<void> {
    const { limits } = this.#options.spec;
    if (this.#hasRoom(octets)) return;
    this.counters.held += 1;
    const waited = new AbortController();
    const given = AbortSignal.any([this.#stop.signal, waited.signal]);
    let isOver = false;
    const timer = pause(limits.slowClientSeconds * 1_000, given).then(() => {
      isOver = true;
      this.#wake();
    });
    const lagging = () =>
      this.#reading().filter(
        ({ position }) => this.#backlog.lag(position) > CAUGHT_UP || !this.#backlog.hasRoom(octets, position),
      );
    while (!isOver && lagging().length > 0) await this.#progress.promise;
    waited.abort();
    await timer;
    if (this.#stop.signal.aborted) return;
    for (const client of lagging()) {
      this.counters.cut.slow += 1;
      client.end(
        `too slow: ${limits.slowClientSeconds} s (spec.limits.slowClientSeconds) were not enough to catch up with the topic`,
      );
    }
  }
}
