import { once } from "node:events";
import { isDeepStrictEqual } from "node:util";
import { MessageChannel, type MessagePort, SHARE_ENV, Worker } from "node:worker_threads";
import type { Ip } from "../net/ip.ts";
import type { Log } from "../process/log.ts";
import { within } from "../process/pause.ts";
import { type BfdConfig, type BfdReport, type BfdRequest, type BfdWorkerData, isBfdNews } from "./bfd-messages.ts";

const RESTART_MS = 1_000;
const STOP_LIMIT_MS = 1_000;

/**
 * All BFD sessions of a process, in a thread of their own, which exists only while there are any. When the thread
 * fails it is started anew and the sessions begin again, unheard: our own fault is no news of a neighbour.
 */
export class BfdThread {
  readonly #log: Log;
  readonly #onChange: () => void;
  readonly #reports = new Map<Ip, BfdReport>();
  #wanted: readonly BfdConfig[] = [];
  #running: { readonly worker: Worker; readonly port: MessagePort } | undefined;
  #restart: NodeJS.Timeout | undefined;
  #closed = false;

  constructor(log: Log, onChange: () => void) {
    this.#log = log;
    this.#onChange = onChange;
  }

  /** The sessions there shall be; calling it again with the same costs nothing. */
  want(sessions: readonly BfdConfig[]): void {
    if (this.#closed || isDeepStrictEqual(sessions, this.#wanted)) return;
    const before = new Map(this.#wanted.map((config) => [config.neighbour, config]));
    const after = new Map(sessions.map((config) => [config.neighbour, config]));
    for (const [neighbour, config] of before) {
      if (!isDeepStrictEqual(after.get(neighbour), config)) this.#reports.delete(neighbour);
    }
    this.#wanted = sessions;
    this.#tell();
  }

  /** By neighbour; without those of which nothing is known yet. */
  reports(): ReadonlyMap<Ip, BfdReport> {
    return this.#reports;
  }

  /** Tells the neighbours, and waits for the thread's end. */
  async close(): Promise<void> {
    this.#closed = true;
    clearTimeout(this.#restart);
    this.#wanted = [];
    this.#reports.clear();
    const running = this.#running;
    if (running === undefined) return;
    const ended = once(running.worker, "exit");
    this.#stop();
    if ((await within(STOP_LIMIT_MS, ended)) === undefined) await running.worker.terminate();
  }

  #tell(): void {
    if (this.#wanted.length === 0) {
      this.#stop();
      return;
    }
    // A restart that is due will tell.
    if (this.#restart !== undefined) return;
    this.#running ??= this.#start();
    const request: BfdRequest = { type: "want", sessions: this.#wanted };
    this.#running.port.postMessage(request);
  }

  #stop(): void {
    const request: BfdRequest = { type: "stop" };
    this.#running?.port.postMessage(request);
    this.#running = undefined;
  }

  #start(): { readonly worker: Worker; readonly port: MessagePort } {
    const { port1: port, port2 } = new MessageChannel();
    const data: BfdWorkerData = { port: port2 };
    const worker = new Worker(new URL("./bfd-worker.ts", import.meta.url), {
      name: "bfd",
      workerData: data,
      transferList: [port2],
      env: SHARE_ENV,
      execArgv: [],
      resourceLimits: { maxYoungGenerationSizeMb: 1, maxOldGenerationSizeMb: 32, stackSizeMb: 1 },
    });
    port.on("message", (message: unknown) => {
      if (worker !== this.#running?.worker || !isBfdNews(message)) return;
      if (message.realTime !== undefined) {
        this.#log.info(
          { realTime: message.realTime },
          "BFD thread begins; with CAP_SYS_NICE it has real-time priority",
        );
      }
      for (const report of message.reports) this.#take(report);
      this.#onChange();
    });
    worker.on("error", (error) => this.#log.error({ err: error }, "the BFD thread failed; starting it again"));
    worker.on("exit", () => {
      port.close();
      if (worker !== this.#running?.worker) return;
      this.#running = undefined;
      this.#reports.clear();
      this.#restart = setTimeout(() => {
        this.#restart = undefined;
        this.#tell();
      }, RESTART_MS);
      this.#onChange();
    });
    return { worker, port };
  }

  #take(report: BfdReport): void {
    const { diagnostic, neighbour, problem, remoteState, state } = report;
    // News of a session that has been given up meanwhile.
    if (!this.#wanted.some((config) => config.neighbour === neighbour)) return;
    const last = this.#reports.get(neighbour);
    this.#reports.set(neighbour, report);
    if (last?.state === state && last.problem === problem) return;
    const facts = { neighbour, state, was: last?.state, remoteState, diagnostic, problem };
    if (last?.state === "Up") this.#log.warn(facts, "BFD session fell");
    else this.#log.info(facts, "BFD session changed");
  }
}
