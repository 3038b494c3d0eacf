import { NftClosedError } from "./errors.ts";
import { LibnftablesContext } from "./libnftables.ts";
import {
  drive,
  type ListOptions,
  listSteps,
  type RunOptions,
  resetSteps,
  runSteps,
  type Steps,
  transactionSteps,
} from "./operations.ts";
import type { ListedObject, ListTarget, NftCommand, ResetTarget } from "./ruleset.ts";

export type LibraryOptions = {
  /** The library's file name, as dlopen(3) takes it. */
  readonly library?: string;
};

export const DEFAULT_LIBRARY = "libnftables.so.1";

/**
 * nftables through one long-lived libnftables context. Every call blocks the thread until the kernel has answered, and
 * throws a subclass of NftError.
 *
 * The context's netlink socket belongs to the network namespace that the calling thread is in when the object is made,
 * and stays there.
 */
export class Nftables {
  #context: LibnftablesContext | undefined;

  /** @throws NftUnavailableError when the library does not load */
  constructor({ library = DEFAULT_LIBRARY }: LibraryOptions = {}) {
    this.#context = new LibnftablesContext(library);
  }

  /**
   * Runs commands in nft(8) syntax, separated by newlines or semicolons, as one transaction: all of them or none.
   *
   * @returns what the commands print: nothing, unless they list
   */
  run(text: string, options?: RunOptions): string {
    return this.#drive(runSteps(text, options));
  }

  /** Runs typed commands as one transaction: all of them or none. */
  transaction(commands: readonly NftCommand[], options?: RunOptions): void {
    this.#drive(transactionSteps(commands, options));
  }

  /** @throws NftNotFoundError when what the target names does not exist */
  list(target: ListTarget, options?: ListOptions): readonly ListedObject[] {
    return this.#drive(listSteps(target, options));
  }

  /** Sets counters back to zero, and returns what they held. */
  reset(target: ResetTarget): readonly ListedObject[] {
    return this.#drive(resetSteps(target));
  }

  /** Frees the context. Closing twice is allowed. */
  close(): void {
    this.#context?.free();
    this.#context = undefined;
  }

  [Symbol.dispose](): void {
    this.close();
  }

  #drive<T>(steps: Steps<T>): T {
    return drive(steps, (request) => {
      if (this.#context === undefined) throw new NftClosedError("this Nftables was closed");
      return this.#context.execute(request);
    });
  }
}
