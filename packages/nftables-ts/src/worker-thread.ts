import { parentPort, workerData } from "node:worker_threads";
import { NftUnavailableError } from "./errors.ts";
import { LibnftablesContext } from "./libnftables.ts";
import { isRequest, type WorkerAnswer } from "./worker-protocol.ts";

/** The thread behind NftablesWorker: one context; one answer per request, in order. */
function serve(port: NonNullable<typeof parentPort>, library: string): void {
  let context: LibnftablesContext | undefined;
  const answer = (request: unknown): WorkerAnswer => {
    if (!isRequest(request)) throw new TypeError("nftables worker: a message that is no request");
    try {
      context ??= new LibnftablesContext(library);
    } catch (error) {
      if (error instanceof NftUnavailableError) return { unavailable: error.message };
      throw error;
    }
    return context.execute(request);
  };
  port.on("message", (request: unknown) => port.postMessage(answer(request)));
}

if (parentPort === null || typeof workerData !== "string") {
  throw new TypeError("nftables worker: not started by NftablesWorker");
}
serve(parentPort, workerData);
