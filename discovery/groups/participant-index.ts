import type { GuidPrefix } from "rtps-wire";
import type { Participant } from "../domain/participant.ts";

/** The participants that are there, by GUID prefix and by pod. */
export class ParticipantIndex {
  readonly #byPrefix = new Map<GuidPrefix, Map<string, Participant>>();
  readonly #byPod = new Map<string, Map<string, Participant>>();

  /** @returns the same participant as it was before. */
  put(participant: Participant): Participant | undefined {
    const { guidPrefix, key, pod } = participant;
    const before = this.#byPrefix.get(guidPrefix)?.get(key);
    if (before !== undefined) this.remove(before);
    within(this.#byPrefix, guidPrefix).set(key, participant);
    if (pod !== undefined) within(this.#byPod, pod).set(key, participant);
    return before;
  }

  remove({ guidPrefix, key }: Pick<Participant, "guidPrefix" | "key">): void {
    const pod = this.#byPrefix.get(guidPrefix)?.get(key)?.pod;
    without(this.#byPrefix, guidPrefix, key);
    if (pod !== undefined) without(this.#byPod, pod, key);
  }

  *all(): Generator<Participant> {
    for (const same of this.#byPrefix.values()) yield* same.values();
  }

  prefixes(): Iterable<GuidPrefix> {
    return this.#byPrefix.keys();
  }

  hasPrefix(prefix: GuidPrefix): boolean {
    return this.#byPrefix.has(prefix);
  }

  hasPod(pod: string): boolean {
    return this.#byPod.has(pod);
  }

  /** Several where one prefix is used in several domains or with several tags. */
  ofPrefix(prefix: GuidPrefix): Iterable<Participant> {
    return this.#byPrefix.get(prefix)?.values() ?? [];
  }

  ofPod(pod: string): Iterable<Participant> {
    return this.#byPod.get(pod)?.values() ?? [];
  }
}

function within(index: Map<string, Map<string, Participant>>, name: string): Map<string, Participant> {
  const found = index.get(name) ?? new Map<string, Participant>();
  index.set(name, found);
  return found;
}

function without(index: Map<string, Map<string, Participant>>, name: string, key: string): void {
  const found = index.get(name);
  found?.delete(key);
  if (found?.size === 0) index.delete(name);
}
