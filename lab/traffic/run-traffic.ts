import { randomBytes } from "node:crypto";
import { LabError } from "../lab-error.ts";
import type { ExchangeResult, Flow } from "./flow.ts";
import { AT_ONCE_MS, Interruptions } from "./interruptions.ts";
import type { TrafficOptions } from "./options.ts";
import { requestPayload } from "./payload.ts";
import { type Broken, type Moved, Tally, type TrafficReport } from "./report.ts";
import { TcpFlow } from "./tcp-flow.ts";
import { UdpFlow } from "./udp-flow.ts";
import { Watchdog } from "./watchdog.ts";

/** Bounds the lists of broken and moved flows. */
const EVENT_LIMIT = 10_000;
const LOCAL_RETRY_MS = 20;

/**
 * Sends traffic until its number or duration is reached, or `signal` aborts, and counts. `onHeld` is called when every
 * connection that is to be kept has been answered once.
 * @returns a report; with `newRate` a second one, of the new connections beside those that are held.
 * @throws LabError when this machine cannot send at all: no such source address, no ports left…
 */
export async function runTraffic(
  options: TrafficOptions,
  signal: AbortSignal,
  onHeld?: () => void,
): Promise<TrafficReport[]> {
  const runs = [new TrafficRun(options, signal, onHeld)];
  if (options.newRate !== undefined) runs.push(new TrafficRun(newConnections(options, options.newRate), signal));
  return await Promise.all(runs.map((run) => run.run()));
}

/** As many in flight as may begin before the first of them is given up: what is lost must not slow the others down. */
function newConnections(options: TrafficOptions, rate: number): TrafficOptions {
  const concurrency = Math.ceil((rate * options.timeoutMs) / 1000) + 1;
  return { ...options, keep: false, connections: Number.POSITIVE_INFINITY, rate, concurrency };
}

/** Traffic that can be looked at while it goes. */
export class TrafficRun {
  readonly #options: TrafficOptions;
  readonly #watchdog = new Watchdog();
  readonly #tally = new Tally();
  readonly #interruptions = new Interruptions(performance.now());
  readonly #name = randomBytes(3).toString("hex");
  readonly #broken: Broken[] = [];
  readonly #moved: Moved[] = [];
  readonly #started = performance.now();
  readonly #stop: AbortSignal;
  readonly #onHeld: () => void;
  #tokens = 0;
  #held = 0;
  #localSince: number | undefined;

  constructor(options: TrafficOptions, signal: AbortSignal, onHeld: () => void = () => undefined) {
    this.#options = options;
    this.#onHeld = onHeld;
    const { durationMs } = options;
    this.#stop =
      durationMs === undefined ? signal : AbortSignal.any([signal, AbortSignal.timeout(Math.round(durationMs))]);
  }

  async run(): Promise<TrafficReport> {
    await (this.#options.keep ? this.#holdAll() : this.#exchangeAll());
    return this.report();
  }

  /** What has been counted so far. */
  report(): TrafficReport {
    const { keep, address, port, protocol } = this.#options;
    const to = address.includes(":") ? `[${address}]:${port}` : `${address}:${port}`;
    const report = this.#tally.report(to, protocol, performance.now() - this.#started);
    if (keep) return { ...report, held: this.#held, broken: this.#broken, moved: this.#moved };
    return { ...report, interruptions: this.#interruptions.report(performance.timeOrigin) };
  }

  #open(): Flow {
    const Kind = this.#options.protocol === "tcp" ? TcpFlow : UdpFlow;
    return new Kind(this.#options, this.#watchdog);
  }

  /** `concurrency` workers, each taking the next exchange when the rate allows it. */
  async #exchangeAll(): Promise<void> {
    const { connections, concurrency, rate } = this.#options;
    let begun = 0;
    const worker = async () => {
      while (begun < connections && !this.#stop.aborted) {
        const number = begun;
        begun += 1;
        if (rate !== undefined) {
          await this.#pause(this.#started + (number * 1000) / rate - performance.now());
          if (this.#stop.aborted) return;
        }
        await this.#exchangeOnce();
      }
    };
    await Promise.all(Array.from({ length: Math.min(concurrency, connections) }, worker));
  }

  /** One flow of its own; tried again while this machine cannot send. */
  async #exchangeOnce(): Promise<void> {
    for (;;) {
      const flow = this.#open();
      const counted = await this.#exchange(flow);
      flow.close();
      if (counted !== undefined || this.#stop.aborted) return;
    }
  }

  /** @returns undefined when nothing was sent because of this machine. */
  async #exchange(flow: Flow): Promise<Exclude<ExchangeResult, { outcome: "local" }> | undefined> {
    const request = requestPayload(this.#tokens, this.#name, this.#options.payloadBytes);
    this.#tokens += 1;
    const startedMs = performance.now();
    let late = false;
    const unwatch = this.#watchdog.watch(AT_ONCE_MS, () => {
      late = true;
    });
    flow.onAccepted = unwatch;
    const result = await flow.exchange(request);
    unwatch();
    if (result.outcome === "local") {
      await this.#waitForLocal(result.message);
      return undefined;
    }
    this.#localSince = undefined;
    if (result.outcome === "answered") this.#tally.answered(result.target, performance.now() - startedMs);
    else this.#tally.lost(result.outcome);
    this.#interruptions.ended(startedMs, performance.now(), result.outcome === "answered", late);
    return result;
  }

  async #waitForLocal(message: string): Promise<void> {
    this.#tally.localRetries += 1;
    const now = performance.now();
    this.#localSince ??= now;
    if (now - this.#localSince > this.#options.timeoutMs) throw new LabError(`this machine cannot send: ${message}`);
    await this.#pause(LOCAL_RETRY_MS);
  }

  async #holdAll(): Promise<void> {
    const { connections, rate, intervalMs } = this.#options;
    // Spread the beginnings over an interval, so that the load is even.
    const gapMs = rate === undefined ? Math.min(intervalMs / connections, 1) : 1000 / rate;
    await Promise.all(Array.from({ length: connections }, (_, number) => this.#hold(number, number * gapMs)));
  }

  async #hold(number: number, delayMs: number): Promise<void> {
    await this.#pause(delayMs);
    if (this.#stop.aborted) return;
    let flow: Flow | undefined;
    let target = "";
    const broke = (outcome: Broken["outcome"]) => {
      if (this.#broken.length >= EVENT_LIMIT) return;
      const at = new Date().toISOString();
      this.#broken.push({
        connection: number,
        sourcePort: flow?.sourcePort ?? 0,
        target,
        afterMs: this.#elapsedMs(),
        at,
        outcome,
      });
    };
    const ended = new AbortController();
    const stop = AbortSignal.any([this.#stop, ended.signal]);
    while (!ended.signal.aborted) {
      // The last exchange begins when the run is over: a connection that broke since the one before is seen.
      const last = this.#stop.aborted;
      if (flow === undefined) {
        flow = this.#open();
        flow.onIdleBreak = (result) => {
          ended.abort();
          if (result.outcome !== "answered" && result.outcome !== "local") broke(result.outcome);
        };
      }
      const result = await this.#exchange(flow);
      if (result === undefined) {
        flow.close();
        flow = undefined;
        if (last) break;
        continue;
      }
      if (result.outcome === "answered") {
        if (target === "") {
          this.#held += 1;
          if (this.#held === this.#options.connections) this.#onHeld();
        } else if (target !== result.target && this.#moved.length < EVENT_LIMIT) {
          this.#moved.push({
            connection: number,
            sourcePort: flow.sourcePort,
            from: target,
            to: result.target,
            afterMs: this.#elapsedMs(),
            at: new Date().toISOString(),
          });
        }
        target = result.target;
      } else {
        broke(result.outcome);
        // A datagram that is lost leaves the flow as it was; a TCP connection is over.
        if (this.#options.protocol === "tcp") break;
      }
      if (last) break;
      await this.#pause(this.#options.intervalMs, stop);
    }
    if (flow !== undefined) flow.onIdleBreak = undefined;
    flow?.close();
  }

  #elapsedMs(): number {
    return Math.round(performance.now() - this.#started);
  }

  /** Sleeps, or returns at once when the run is over. */
  #pause(delayMs: number, stop: AbortSignal = this.#stop): Promise<void> {
    if (delayMs <= 0 || stop.aborted) return Promise.resolve();
    return new Promise((resolve) => {
      const done = () => {
        clearTimeout(timer);
        stop.removeEventListener("abort", done);
        resolve();
      };
      const timer = setTimeout(done, delayMs);
      stop.addEventListener("abort", done, { once: true });
    });
  }
}
