import { isDeepStrictEqual } from "node:util";
import type { ObjectRef } from "#shared/api/kinds.ts";
import { POD_READY_CONDITION } from "#shared/api/names.ts";
import { FAMILIES, type Family } from "#shared/net/ip.ts";
import { type ObjectStore, type ObjectView, type StatusOf, StoreNotFoundError } from "#shared/store/object-store.ts";
import type { PeerState } from "./peer-state.ts";
import type { Readiness } from "./readiness.ts";

export interface InstanceReporterOptions {
  readonly store: ObjectStore;
  readonly view: ObjectView;
  readonly pod: { readonly namespace: string; readonly name: string };
}

/** Writes what this instance knows into the status of its Pod and of its BgpPeers; nothing is written twice. */
export class InstanceReporter {
  readonly #options: InstanceReporterOptions;
  /** By kind and uid: an object that was made anew has no status. */
  readonly #written = new Map<string, StatusOf>();
  readonly #transitions = new Map<Family, { readonly ready: boolean; readonly at: string }>();

  constructor(options: InstanceReporterOptions) {
    this.#options = options;
  }

  async report(
    states: readonly PeerState[],
    families: Readonly<Record<Family, Readiness>>,
    nowMs: number,
  ): Promise<void> {
    const { pod, view } = this.#options;
    const writes: Promise<void>[] = [];
    const byName = new Map(states.map((state) => [state.name, state]));
    for (const peer of view.list("BgpPeer")) {
      if (peer.metadata.namespace !== pod.namespace) continue;
      const state = byName.get(peer.metadata.name);
      const listed = peer.status?.instances.some((instance) => instance.name === pod.name) === true;
      if (state === undefined && !listed && !this.#written.has(keyOf("BgpPeer", peer.metadata))) continue;
      const instances = state === undefined ? [] : [entryOf(pod.name, state)];
      const ref: ObjectRef = { kind: "BgpPeer", namespace: pod.namespace, name: peer.metadata.name };
      writes.push(this.#write(ref, keyOf("BgpPeer", peer.metadata), { instances }));
    }
    const own = view.get("Pod", pod.namespace, pod.name);
    if (own !== undefined) {
      const ref: ObjectRef = { kind: "Pod", namespace: pod.namespace, name: pod.name };
      const conditions = FAMILIES.map((family) => this.#condition(family, families[family], nowMs));
      writes.push(this.#write(ref, keyOf("Pod", own.metadata), { conditions }));
    }
    const outcomes = await Promise.allSettled(writes);
    for (const outcome of outcomes) if (outcome.status === "rejected") throw outcome.reason;
  }

  #condition(family: Family, { ready, reason, message }: Readiness, nowMs: number): StatusOf {
    const last = this.#transitions.get(family);
    const at = last?.ready === ready ? last.at : new Date(nowMs).toISOString();
    this.#transitions.set(family, { ready, at });
    const status = ready ? "True" : "False";
    return { type: POD_READY_CONDITION[family], status, reason, message, lastTransitionTime: at };
  }

  async #write(ref: ObjectRef, key: string, status: StatusOf): Promise<void> {
    if (isDeepStrictEqual(this.#written.get(key), status)) return;
    try {
      await this.#options.store.applyStatus(ref, status, { fieldManager: `frontend-${this.#options.pod.name}` });
      this.#written.set(key, status);
    } catch (error) {
      // It went while we were writing; the watch tells of it.
      if (!(error instanceof StoreNotFoundError)) throw error;
      this.#written.delete(key);
    }
  }
}

function keyOf(kind: ObjectRef["kind"], { name, uid }: { readonly name: string; readonly uid: string }): string {
  return `${kind} ${name} ${uid}`;
}

function entryOf(instance: string, state: PeerState): StatusOf {
  return {
    name: instance,
    state: state.state,
    since: new Date(state.sinceMs).toISOString(),
    message: state.message,
    ...(state.bfd === undefined ? {} : { bfd: state.bfd }),
  };
}
