import type { EndpointSlice } from "#shared/api/core.ts";
import { within } from "#shared/process/pause.ts";
import { builtInSlices } from "#shared/resolve/slice-interest.ts";
import type { ObjectStore, ObjectView } from "#shared/store/object-store.ts";

export interface OrdinarySlicesOptions {
  readonly store: Pick<ObjectStore, "watch">;
  /** Slices have changed, or are there now. */
  readonly onChange: () => void;
  readonly signal: AbortSignal;
  /** For how long a pass waits for the slices of Services that were not followed before. */
  readonly waitMs?: number;
}

/** One watch, of Services with these names. */
interface Followed {
  readonly names: string;
  readonly view: ObjectView | undefined;
  readonly stop: AbortController;
}
interface Opening {
  readonly names: string;
  readonly stop: AbortController;
  readonly done: Promise<true>;
}

const WAIT_MS = 2_000;

/**
 * The built-in controller's EndpointSlices of the ordinary Services that routes name, and of no others: a cluster has one for
 * every Service. Follows another watch when the names change; the former one stays until that has read everything.
 */
export class OrdinarySlices {
  readonly #options: OrdinarySlicesOptions;
  #followed: Followed | undefined;
  #opening: Opening | undefined;

  constructor(options: OrdinarySlicesOptions) {
    this.#options = options;
  }

  /**
   * As they are known. At first it is waited until they are: a proxy that starts is not to take targets away.
   * @param names of Services.
   * @throws StoreUnavailableError
   */
  async of(names: readonly string[]): Promise<readonly EndpointSlice[]> {
    const wanted = names.join();
    if (this.#followed?.names === wanted) this.#abandon();
    else if (this.#opening?.names !== wanted) {
      this.#abandon();
      this.#opening = this.#open(names, wanted);
    }
    const { waitMs = WAIT_MS } = this.#options;
    const done = this.#opening?.done;
    await (this.#followed === undefined || done === undefined ? done : within(waitMs, done));
    return this.#followed?.view?.list("EndpointSlice") ?? [];
  }

  #abandon(): void {
    this.#opening?.stop.abort();
    this.#opening = undefined;
  }

  #open(names: readonly string[], wanted: string): Opening {
    const stop = new AbortController();
    const done = this.#follow(names, wanted, stop);
    // Where nobody waits any more the next pass tries again, and tells.
    done.catch(() => {
      if (this.#opening?.stop !== stop) return;
      this.#opening = undefined;
      this.#options.onChange();
    });
    return { names: wanted, stop, done };
  }

  async #follow(names: readonly string[], wanted: string, stop: AbortController): Promise<true> {
    const { store, onChange, signal } = this.#options;
    const ends = AbortSignal.any([signal, stop.signal]);
    const view = names.length === 0 ? undefined : await store.watch(builtInSlices(names), () => onChange(), ends);
    ends.throwIfAborted();
    this.#followed?.stop.abort();
    this.#followed = { names: wanted, view, stop };
    this.#opening = undefined;
    if (view !== undefined) onChange();
    return true;
  }
}
