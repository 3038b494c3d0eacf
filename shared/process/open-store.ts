import type { Logger } from "pino";
import type { EventSink } from "../store/event-sink.ts";
import type { ObjectStore } from "../store/object-store.ts";
import type { Refusals } from "../store/refusals.ts";
import type { Clock } from "./clock.ts";
import type { LeaderLock } from "./leader-election.ts";

/** Where a process's objects are, as its command line says. */
export interface StoreOptions {
  /** Folder of the user's manifests; with `state`. */
  readonly manifests?: string;
  /** Folder of generated objects and statuses. */
  readonly state?: string;
  /** The Kubernetes API; also taken in a pod with a service account when nothing is said. */
  readonly kubernetes?: boolean;
  /** The file that says where the API is; without it the pod's service account says so. */
  readonly kubeconfig?: string;
}

export interface OpenStoreOptions extends StoreOptions {
  /** The process. */
  readonly name: string;
  readonly log: Logger;
  readonly clock: Clock;
  /** Closes the store. */
  readonly signal: AbortSignal;
  readonly env: NodeJS.ProcessEnv;
}

export interface OpenedStore {
  readonly store: ObjectStore;
  /** Locks by which replicas of a process agree on a leader; a store in folders has none. */
  readonly lock?: (name: string) => LeaderLock;
  /** Where operators are told of what happens; a store in folders has only the log. */
  readonly events?: EventSink;
  /** What is there and makes no sense; a store in folders says so at the file instead. */
  readonly refusals?: Refusals;
}

/** The command line does not say where objects are, or says it twice. */
class StoreChoiceError extends Error {
  override readonly name = "StoreChoiceError";
}

/**
 * The store that the options name. Each loads its own code only.
 * @throws StoreChoiceError; ApiConfigError when the API's address or credentials cannot be read.
 */
export async function openStore(options: OpenStoreOptions): Promise<OpenedStore> {
  const { manifests, state, kubernetes = false, kubeconfig: file, name, log, clock, signal, env } = options;
  const wantsApi = kubernetes || file !== undefined;
  const wantsFolders = manifests !== undefined || state !== undefined;
  if (wantsApi && wantsFolders) {
    throw new StoreChoiceError("give --manifests and --state, or --kubernetes, not both");
  }
  if (wantsFolders) {
    if (manifests === undefined || state === undefined) {
      throw new StoreChoiceError("--manifests and --state go together");
    }
    const { DirectoryStore } = await import("../store/directory-store.ts");
    log.info({ manifests, state }, "objects are in folders");
    return { store: new DirectoryStore({ manifests, state, log, signal, sweeps: name === "controller" }) };
  }
  const { inClusterConfig, isInCluster } = await import("../store/kubernetes/in-cluster.ts");
  if (!wantsApi && !isInCluster(env)) {
    throw new StoreChoiceError("give --manifests and --state, or --kubernetes with --kubeconfig");
  }
  const config =
    file === undefined
      ? inClusterConfig(env, clock)
      : (await import("../store/kubernetes/kubeconfig.ts")).kubeconfig(file, clock);
  const { KubernetesStore } = await import("../store/kubernetes/kubernetes-store.ts");
  log.info({ server: config.server.href }, "objects are in the Kubernetes API");
  const store = new KubernetesStore({ config, log, signal, clock, userAgent: `causeway-${name}` });
  return { store, lock: (lease) => store.lock(lease), refusals: store.refusals, events: store.events };
}
