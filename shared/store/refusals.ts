import type { ObjectRef } from "../api/kinds.ts";

/** An object that its definition let through, and its schema does not: it is not read. */
export interface Refusal {
  readonly ref: ObjectRef;
  readonly generation: number;
  /** Each field with what is wrong and how it is put right, for the person who wrote it. */
  readonly message: string;
  /** The object as it was read. */
  readonly value: unknown;
}

/** What a store refuses to read. */
export interface Refusals {
  list(): readonly Refusal[];
  /** Calls `listener` whenever an object is refused, or no longer, until `signal` aborts. */
  watch(listener: (ref: ObjectRef) => void, signal: AbortSignal): void;
}
