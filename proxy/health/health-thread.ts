import { once } from "node:events";
import { MessageChannel, type MessagePort, SHARE_ENV, Worker } from "node:worker_threads";
import type { Log } from "#shared/process/log.ts";
import { within } from "#shared/process/pause.ts";
import { type HealthRequest, type HealthWorkerData, isProberNews } from "./health-messages.ts";
import type { WantedProbe } from "./probe-spec.ts";
import type { ProberNews } from "./prober.ts";

const RESTART_MS = 1_000;
const STOP_LIMIT_MS = 1_000;

export interface HealthThreadOptions {
  readonly log: Log;
  /** All probes there shall be, with what is known of them now; asked at every start of the thread. */
  readonly probes: () => readonly WantedProbe[];
  readonly onNews: (news: ProberNews) => void;
}

/**
 * A Prober in a thread of its own, which exists only while there is something to ask. When the thread fails it is started
 * anew, from what was known: our own fault is no news of a target.
 */
export class HealthThread {
  readonly #options: HealthThreadOptions;
  #running: { readonly worker: Worker; readonly port: MessagePort } | undefined;
  #restart: NodeJS.Timeout | undefined;
  #closed = false;

  constructor(options: HealthThreadOptions) {
    this.#options = options;
  }

  /** The probes have changed. */
  tell(): void {
    if (this.#closed) return;
    const probes = this.#options.probes();
    if (probes.length === 0) {
      this.#stop();
      return;
    }
    // A restart that is due will tell.
    if (this.#restart !== undefined) return;
    this.#running ??= this.#start();
    this.#post({ type: "want", probes });
  }

  /** Resolves at the thread's end. */
  async close(): Promise<void> {
    this.#closed = true;
    clearTimeout(this.#restart);
    const running = this.#running;
    if (running === undefined) return;
    const ended = once(running.worker, "exit");
    this.#stop();
    if ((await within(STOP_LIMIT_MS, ended)) === undefined) await running.worker.terminate();
  }

  #post(request: HealthRequest): void {
    this.#running?.port.postMessage(request);
  }

  #stop(): void {
    this.#post({ type: "stop" });
    this.#running = undefined;
  }

  #start(): { readonly worker: Worker; readonly port: MessagePort } {
    const { log, onNews } = this.#options;
    const { port1: port, port2 } = new MessageChannel();
    const data: HealthWorkerData = { port: port2 };
    const worker = new Worker(new URL("./health-worker.ts", import.meta.url), {
      name: "health",
      workerData: data,
      transferList: [port2],
      env: SHARE_ENV,
      execArgv: [],
      resourceLimits: { maxYoungGenerationSizeMb: 1, maxOldGenerationSizeMb: 32, stackSizeMb: 1 },
    });
    port.on("message", (message: unknown) => {
      if (worker === this.#running?.worker && isProberNews(message)) onNews(message);
    });
    worker.on("error", (error) => log.error({ err: error }, "the health thread failed; starting it again"));
    worker.on("exit", () => {
      port.close();
      if (worker !== this.#running?.worker) return;
      this.#running = undefined;
      this.#restart = setTimeout(() => {
        this.#restart = undefined;
        this.tell();
      }, RESTART_MS);
    });
    return { worker, port };
  }
}
