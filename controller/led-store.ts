import type { ObjectRef } from "#shared/api/kinds.ts";
import type { Leadership } from "#shared/process/leader-election.ts";
import {
  type Interest,
  type ObjectStore,
  type ObjectView,
  type StatusOf,
  StoreUnavailableError,
  type WriteOptions,
} from "#shared/store/object-store.ts";

/** Lets writes pass only while this process leads: a controller that slept must not write over its successor. */
export class LedStore implements ObjectStore {
  readonly #store: ObjectStore;
  readonly #leadership: Leadership;

  constructor(store: ObjectStore, leadership: Leadership) {
    this.#store = store;
    this.#leadership = leadership;
  }

  watch(interests: readonly Interest[], onChange: (ref: ObjectRef) => void, signal: AbortSignal): Promise<ObjectView> {
    return this.#store.watch(interests, onChange, signal);
  }

  async apply(...args: Parameters<ObjectStore["apply"]>): Promise<void> {
    this.#check();
    await this.#store.apply(...args);
  }

  async delete(ref: ObjectRef): Promise<void> {
    this.#check();
    await this.#store.delete(ref);
  }

  async applyStatus(ref: ObjectRef, status: StatusOf, options: WriteOptions): Promise<void> {
    this.#check();
    await this.#store.applyStatus(ref, status, options);
  }

  #check(): void {
    if (!this.#leadership.leads()) throw new StoreUnavailableError("another controller leads");
  }
}
