import { NftClosedError } from "./errors.ts";
import {
  driveAsync,
  type ListOptions,
  listSteps,
  type Reply,
  type Request,
  type RunOptions,
  resetSteps,
  runSteps,
  type Steps,
  transactionSteps,
} from "./operations.ts";
import type { ListedObject, ListTarget, NftCommand, ResetTarget } from "./ruleset.ts";

/** nftables behind promises. Calls run one after the other, in the order of their calls; each is one transaction. */
export interface NftablesRunner {
  readonly via: "library" | "worker" | "spawn";
  /** @see Nftables.run */
  run(text: string, options?: RunOptions): Promise<string>;
  /** @see Nftables.transaction */
  transaction(commands: readonly NftCommand[], options?: RunOptions): Promise<void>;
  /** @see Nftables.list */
  list(target: ListTarget, options?: ListOptions): Promise<readonly ListedObject[]>;
  /** @see Nftables.reset */
  reset(target: ResetTarget): Promise<readonly ListedObject[]>;
  /** Waits for the call under way; calls that wait behind it reject with NftClosedError. */
  close(): Promise<void>;
  [Symbol.asyncDispose](): Promise<void>;
}

/** What carries the requests of a runner. */
export interface Engine {
  execute(request: Request): Promise<Reply>;
  close(): Promise<void>;
}

export class QueuedRunner implements NftablesRunner {
  readonly via: NftablesRunner["via"];
  readonly #engine: Engine;
  #last: Promise<unknown> = Promise.resolve();
  #closing: Promise<void> | undefined;

  constructor(via: NftablesRunner["via"], engine: Engine) {
    this.via = via;
    this.#engine = engine;
  }

  run(text: string, options?: RunOptions): Promise<string> {
    return this.#enqueue(() => runSteps(text, options));
  }

  transaction(commands: readonly NftCommand[], options?: RunOptions): Promise<void> {
    return this.#enqueue(() => transactionSteps(commands, options));
  }

  list(target: ListTarget, options?: ListOptions): Promise<readonly ListedObject[]> {
    return this.#enqueue(() => listSteps(target, options));
  }

  reset(target: ResetTarget): Promise<readonly ListedObject[]> {
    return this.#enqueue(() => resetSteps(target));
  }

  close(): Promise<void> {
    this.#closing ??= this.#last.then(() => this.#engine.close());
    return this.#closing;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  #enqueue<T>(start: () => Steps<T>): Promise<T> {
    const result = this.#last.then(() => {
      if (this.#closing !== undefined) throw new NftClosedError(`this nftables runner (${this.via}) was closed`);
      return driveAsync(start(), (request) => this.#engine.execute(request));
    });
    // The queue goes on after a failure, which the caller gets from `result`.
    this.#last = result.then(
      () => undefined,
      () => undefined,
    );
    return result;
  }
}
