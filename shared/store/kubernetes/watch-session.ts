import { describeRef, type ObjectRef } from "../../api/kinds.ts";
import { ObjectIndex } from "../object-index.ts";
import type { Interest, ObjectView } from "../object-store.ts";
import type { Refusal } from "../refusals.ts";
import type { ReadObject } from "./raw-object.ts";
import { Reflector, type ReflectorOptions } from "./reflector.ts";

/** What is known of an object beside the object itself. */
export interface KnownObject {
  readonly ref: ObjectRef;
  readonly uid: string;
  readonly resourceVersion: string;
  readonly generator: string | undefined;
  /** The object does not pass its schema: its last good version, if there was one, stays in the view. */
  readonly isRefused: boolean;
}

export interface WatchSessionOptions
  extends Omit<ReflectorOptions, "interest" | "onList" | "onChange" | "onServed" | "onTrouble"> {
  readonly interests: readonly Interest[];
  readonly onChange: (ref: ObjectRef) => void;
  /** Is told of each version that is refused, and `undefined` when the object passes or is gone. */
  readonly onRefusal: (ref: ObjectRef, refusal: Refusal | undefined) => void;
  readonly onServed: (interest: Interest, isServed: boolean) => void;
  readonly onTrouble: (interest: Interest, error: unknown) => void;
}

/** One call of `watch`: a view, kept up to date by a reflector for each interest. */
export class WatchSession {
  readonly #options: WatchSessionOptions;
  readonly #index = new ObjectIndex();
  /** By interest, in the order of the interests: an object that several of them want goes with the last. */
  readonly #known: readonly Map<string, KnownObject>[];
  #open = false;

  constructor(options: WatchSessionOptions) {
    this.#options = options;
    this.#known = options.interests.map(() => new Map());
  }

  /** Resolves when everything has been read once; rejects only when the signal aborts before that. */
  async start(): Promise<ObjectView> {
    const { interests, signal } = this.#options;
    const aborted = Promise.withResolvers<never>();
    const abort = (): void => aborted.reject(signal.reason);
    signal.addEventListener("abort", abort, { once: true });
    try {
      const listed = Promise.all(interests.map((interest, at) => this.#follow(interest, at)));
      await Promise.race([listed, aborted.promise]);
    } finally {
      signal.removeEventListener("abort", abort);
    }
    this.#open = true;
    return this.#index;
  }

  get(ref: ObjectRef): KnownObject | undefined {
    const key = describeRef(ref);
    for (const known of this.#known) {
      const found = known.get(key);
      if (found !== undefined) return found;
    }
    return undefined;
  }

  get view(): ObjectView {
    return this.#index;
  }

  /** Resolves with the first list. */
  #follow(interest: Interest, at: number): Promise<void> {
    const { interests: _, onServed, onTrouble, ...common } = this.#options;
    const first = Promise.withResolvers<void>();
    const known = this.#known[at] ?? new Map<string, KnownObject>();
    const reflector = new Reflector({
      ...common,
      interest,
      onList: (objects) => {
        const listed = new Set(objects.map(({ ref }) => describeRef(ref)));
        const gone = [...known.values()].filter(({ ref }) => !listed.has(describeRef(ref)));
        const changed = [
          ...gone.filter((object) => this.#remove(known, object.ref)).map(({ ref }) => ref),
          ...objects.filter((object) => this.#set(known, object)).map(({ ref }) => ref),
        ];
        first.resolve();
        this.#tell(changed);
      },
      onChange: (object, isGone) => {
        const changed = isGone ? this.#remove(known, object.ref) : this.#set(known, object);
        if (changed) this.#tell([object.ref]);
      },
      onServed: (isServed) => onServed(interest, isServed),
      onTrouble: (error) => onTrouble(interest, error),
    });
    void reflector.run();
    return first.promise;
  }

  #tell(refs: readonly ObjectRef[]): void {
    if (this.#open) for (const ref of refs) this.#options.onChange(ref);
  }

  /** Whether anything is new. */
  #set(known: Map<string, KnownObject>, read: ReadObject): boolean {
    const { ref, uid, resourceVersion, generator, refusal, object } = read;
    const key = describeRef(ref);
    const before = known.get(key);
    if (before?.uid === uid && before.resourceVersion === resourceVersion) return false;
    known.set(key, { ref, uid, resourceVersion, generator, isRefused: refusal !== undefined });
    if (refusal !== undefined || before?.isRefused === true) this.#options.onRefusal(ref, refusal);
    if (object !== undefined) {
      this.#index.set(object.kind, object);
      return true;
    }
    // A recreated object has nothing to do with what stood there before.
    return before !== undefined && before.uid !== uid && this.#index.delete(ref);
  }

  /** Whether it is gone for everybody. */
  #remove(known: Map<string, KnownObject>, ref: ObjectRef): boolean {
    const before = known.get(describeRef(ref));
    if (!known.delete(describeRef(ref)) || this.get(ref) !== undefined) return false;
    if (before?.isRefused === true) this.#options.onRefusal(ref, undefined);
    return this.#index.delete(ref);
  }
}
