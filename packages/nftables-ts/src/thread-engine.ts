import { Worker } from "node:worker_threads";
import { NftOutcomeUnknownError, NftUnavailableError } from "./errors.ts";
import type { Reply, Request } from "./operations.ts";
import type { Engine } from "./runner.ts";
import { isWorkerAnswer } from "./worker-protocol.ts";

/** Carries requests to a thread, which it starts with the first one and again after the thread has died. */
export class ThreadEngine implements Engine {
  readonly #library: string;
  readonly #entry: URL;
  #thread: Worker | undefined;

  constructor(library: string, entry: URL) {
    this.#library = library;
    this.#entry = entry;
  }

  execute(request: Request): Promise<Reply> {
    this.#thread ??= this.#start();
    const thread = this.#thread;
    return new Promise<Reply>((resolve, reject) => {
      const settle = (finish: () => void) => {
        thread.off("message", onMessage).off("error", onError).off("exit", onExit);
        // An idle thread must not keep the process alive.
        thread.unref();
        finish();
      };
      const lost = (reason: string, cause?: unknown) =>
        settle(() => {
          this.#thread = undefined;
          const message = `the nftables worker ${reason} during a call: whether the kernel has the change is unknown`;
          reject(new NftOutcomeUnknownError(message, { cause }));
        });
      const onMessage = (answer: unknown) =>
        settle(() => {
          if (!isWorkerAnswer(answer)) reject(new TypeError("nftables worker: an answer of unknown shape"));
          else if ("unavailable" in answer) reject(new NftUnavailableError(answer.unavailable));
          else resolve(answer);
        });
      const onError = (error: unknown) => lost("failed", error);
      const onExit = (code: number) => lost(`ended with code ${code}`);
      thread.on("message", onMessage).on("error", onError).on("exit", onExit);
      thread.ref();
      thread.postMessage(request);
    });
  }

  async close(): Promise<void> {
    await this.#thread?.terminate();
    this.#thread = undefined;
  }

  #start(): Worker {
    const thread = new Worker(this.#entry, {
      name: "nftables",
      workerData: this.#library,
      execArgv: [],
      // libnftables.ts closes its anonymous files itself; Node's bookkeeping does not see memfd_create(2).
      trackUnmanagedFds: false,
    });
    // Between calls nobody waits for the thread; without a listener its failure would end the process.
    const forget = () => {
      if (this.#thread === thread) this.#thread = undefined;
    };
    thread.on("error", forget).on("exit", forget);
    return thread;
  }
}
