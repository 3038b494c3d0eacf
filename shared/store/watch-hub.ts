import type { AnyObject, ObjectRef } from "../api/kinds.ts";
import { selects } from "../api/meta.ts";
import { ObjectIndex } from "./object-index.ts";
import type { Interest, ObjectView } from "./object-store.ts";

function nodeOf(object: AnyObject): string | undefined {
  return object.kind === "Pod" ? object.spec.nodeName : undefined;
}

function isWanted({ kind, namespace, nodeName, ...labels }: Interest, object: AnyObject): boolean {
  const { matchLabels = {}, matchExpressions = [] } = labels;
  return (
    kind === object.kind &&
    (namespace === undefined || namespace === object.metadata.namespace) &&
    (nodeName === undefined || nodeName === nodeOf(object)) &&
    selects({ matchLabels, matchExpressions }, object.metadata.labels)
  );
}

function wanted(interests: readonly Interest[], object: AnyObject): boolean {
  return interests.some((interest) => isWanted(interest, object));
}

interface Watch {
  readonly interests: readonly Interest[];
  readonly view: ObjectIndex;
  readonly onChange: (ref: ObjectRef) => void;
  /** Set once the watcher holds its view: `onChange` stays silent until then. */
  open: boolean;
}

/** An object's new state; undefined when it is gone. */
export interface Change {
  readonly ref: ObjectRef;
  readonly object: AnyObject | undefined;
}

/** The open watches of a store: each has a view of the objects that it wants. */
export class WatchHub {
  readonly #watches = new Set<Watch>();

  /** A view that holds those of `objects` that are wanted, and follows {@link WatchHub.update} until `signal` aborts. */
  async open(
    interests: readonly Interest[],
    objects: Iterable<AnyObject>,
    onChange: (ref: ObjectRef) => void,
    signal: AbortSignal,
  ): Promise<ObjectView> {
    signal.throwIfAborted();
    const watch: Watch = { interests, view: new ObjectIndex(), onChange, open: false };
    for (const object of objects) if (wanted(interests, object)) watch.view.set(object.kind, object);
    this.#watches.add(watch);
    signal.addEventListener("abort", () => this.#watches.delete(watch), { once: true });
    await Promise.resolve();
    watch.open = true;
    return watch.view;
  }

  /** Takes new states to every view that wants or wanted them; all views are up to date before anyone is told. */
  update(changes: readonly Change[]): void {
    const tell: (() => void)[] = [];
    for (const watch of this.#watches) {
      for (const { ref, object } of changes) {
        const had = watch.view.get(ref.kind, ref.namespace, ref.name) !== undefined;
        const has = object !== undefined && wanted(watch.interests, object);
        if (has) watch.view.set(object.kind, object);
        else if (had) watch.view.delete(ref);
        if ((had || has) && watch.open) tell.push(() => watch.onChange(ref));
      }
    }
    for (const one of tell) one();
  }
}
