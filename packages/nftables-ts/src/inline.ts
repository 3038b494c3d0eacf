import { LibnftablesContext } from "./libnftables.ts";
import { DEFAULT_LIBRARY, type LibraryOptions } from "./nftables.ts";
import type { Reply, Request } from "./operations.ts";
import { type Engine, QueuedRunner } from "./runner.ts";

/** libnftables on the calling thread behind the async interface: the fastest way for small updates. */
export class NftablesInline extends QueuedRunner {
  /** @throws NftUnavailableError when the library does not load */
  constructor({ library = DEFAULT_LIBRARY }: LibraryOptions = {}) {
    super("library", new ContextEngine(library));
  }
}

class ContextEngine implements Engine {
  readonly #context: LibnftablesContext;

  constructor(library: string) {
    this.#context = new LibnftablesContext(library);
  }

  async execute(request: Request): Promise<Reply> {
    return this.#context.execute(request);
  }

  async close(): Promise<void> {
    this.#context.free();
  }
}
