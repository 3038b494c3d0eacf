import { DEFAULT_LIBRARY, type LibraryOptions } from "./nftables.ts";
import { QueuedRunner } from "./runner.ts";
import { ThreadEngine } from "./thread-engine.ts";

/**
 * libnftables in a thread of its own, so that large updates do not block the event loop. When the thread dies, the call
 * under way rejects with NftOutcomeUnknownError and the next call starts a new thread.
 *
 * A thread inherits the network namespace of the thread that starts it, which happens at the first call: the process's
 * own, unless the program has called setns(2).
 */
export class NftablesWorker extends QueuedRunner {
  constructor({ library = DEFAULT_LIBRARY }: LibraryOptions = {}) {
    super("worker", new ThreadEngine(library, new URL("./worker-thread.ts", import.meta.url)));
  }
}
