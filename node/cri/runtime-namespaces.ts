import type { Log } from "#shared/process/log.ts";
import { pause } from "#shared/process/pause.ts";
import type { PodNamespaces } from "../pod-namespaces.ts";
import { ContainerRuntimeError } from "./container-runtime.ts";
import type { PodSandbox } from "./runtime-messages.ts";

/** What of a container runtime is used. */
export interface SandboxSource {
  readySandboxes(): Promise<readonly PodSandbox[]>;
  /** Undefined: it has none of its own, or is gone. */
  networkNamespace(sandbox: string): Promise<string | undefined>;
  close(): void;
}

export interface RuntimeNamespacesOptions {
  readonly runtime: SandboxSource;
  readonly log: Log;
  /** Pods or namespaces have changed. */
  readonly onChange: () => void;
  readonly signal: AbortSignal;
  /** Between two lists of sandboxes. */
  readonly pollMs?: number;
}

/**
 * A kubelet lists as often as once a second. An event for each container would tell sooner, but not every runtime sends
 * them, and a pod is Ready a second after its sandbox at the earliest.
 */
const POLL_MS = 500;
/** What is asked about one sandbox at a time; a few keep a node of 100 pods from taking seconds at the start. */
const AT_ONCE = 4;

/** What is known of one sandbox: it never changes. */
type Known = { readonly path: string } | { readonly problem: string };

/**
 * Pods' namespaces from the container runtime. It is asked which sandboxes are ready, and of those whose pods are wanted
 * where their network namespace is. While it does not answer, what it said last stands: pods outlive their runtime.
 */
export class RuntimeNamespaces implements PodNamespaces {
  readonly #options: RuntimeNamespacesOptions;
  readonly #done = new AbortController();
  /** The youngest ready sandbox of each pod. */
  #sandboxes: ReadonlyMap<string, PodSandbox> | undefined;
  readonly #known = new Map<string, Known>();
  /** Sandboxes about which the last question failed, and why. */
  #failed: ReadonlyMap<string, string> = new Map();
  #wanted: ReadonlySet<string> = new Set();
  #paths: ReadonlyMap<string, string> = new Map();
  #complaint = "";
  #isSettled = false;
  #wake = new AbortController();

  constructor(options: RuntimeNamespacesOptions) {
    this.#options = options;
    const stop = (): void => this.close();
    options.signal.addEventListener("abort", stop, { once: true, signal: this.#done.signal });
    // A fault of ours must not go on in silence: as an unhandled rejection it ends the process.
    void this.#run();
  }

  pods(): { has(pod: string): boolean } | undefined {
    return this.#sandboxes;
  }

  want(pods: ReadonlySet<string>): void {
    this.#wanted = pods;
    // About those that failed it asks again with the next turn.
    if (this.#unknown().every(({ id }) => this.#failed.has(id))) return;
    this.#isSettled = false;
    this.#wake.abort();
  }

  list(): ReadonlyMap<string, string> {
    return this.#paths;
  }

  settled(): boolean {
    return this.#isSettled;
  }

  problems(): ReadonlyMap<string, string> {
    const problems = new Map<string, string>();
    for (const pod of this.#wanted) {
      const { id = "" } = this.#sandboxes?.get(pod) ?? {};
      const known = this.#known.get(id);
      const problem = known !== undefined && "problem" in known ? known.problem : this.#failed.get(id);
      if (problem !== undefined) problems.set(pod, problem);
    }
    if (this.#complaint !== "") problems.set("container runtime", this.#complaint);
    return problems;
  }

  close(): void {
    this.#done.abort();
    this.#options.runtime.close();
  }

  async #run(): Promise<void> {
    const { pollMs = POLL_MS } = this.#options;
    while (!this.#done.signal.aborted) {
      this.#wake = new AbortController();
      await this.#turn();
      await pause(pollMs, AbortSignal.any([this.#done.signal, this.#wake.signal]));
    }
  }

  async #turn(): Promise<void> {
    const { runtime, log, onChange } = this.#options;
    const before = { sandboxes: this.#sandboxes, paths: this.#paths, settled: this.#isSettled };
    try {
      this.#see(await runtime.readySandboxes());
      await this.#askUnknown();
      this.#complaint = "";
    } catch (error) {
      if (this.#done.signal.aborted) return;
      if (!(error instanceof ContainerRuntimeError)) throw error;
      if (error.message !== this.#complaint) log.warn({ err: error }, error.message);
      this.#complaint = error.message;
    }
    this.#place();
    this.#isSettled = this.#sandboxes !== undefined && this.#unknown().every(({ id }) => this.#failed.has(id));
    const changed = before.sandboxes !== this.#sandboxes || before.paths !== this.#paths;
    if (changed || before.settled !== this.#isSettled) onChange();
  }

  #see(listed: readonly PodSandbox[]): void {
    const sandboxes = new Map<string, PodSandbox>();
    for (const sandbox of listed) {
      const other = sandboxes.get(sandbox.pod);
      if (other === undefined || sandbox.createdAtNs > other.createdAtNs) sandboxes.set(sandbox.pod, sandbox);
    }
    const ids = new Set([...sandboxes.values()].map(({ id }) => id));
    for (const id of this.#known.keys()) if (!ids.has(id)) this.#known.delete(id);
    const old = this.#sandboxes;
    const isSame = old?.size === sandboxes.size && [...sandboxes].every(([pod, { id }]) => old.get(pod)?.id === id);
    if (!isSame) this.#sandboxes = sandboxes;
  }

  #unknown(): readonly PodSandbox[] {
    return [...this.#wanted].flatMap((pod) => {
      const sandbox = this.#sandboxes?.get(pod);
      return sandbox === undefined || this.#known.has(sandbox.id) ? [] : [sandbox];
    });
  }

  /** One sandbox that cannot be asked about keeps no other from its namespace. */
  async #askUnknown(): Promise<void> {
    const failed = new Map<string, string>();
    const waiting = this.#unknown().values();
    const ask = async (): Promise<void> => {
      for (const { id } of waiting) {
        try {
          const path = await this.#options.runtime.networkNamespace(id);
          this.#known.set(
            id,
            path === undefined
              ? { problem: "the container runtime names no network namespace of the pod's own: is it on the host's?" }
              : { path },
          );
        } catch (error) {
          if (!(error instanceof ContainerRuntimeError)) throw error;
          failed.set(id, error.message);
        }
      }
    };
    await Promise.all(Array.from({ length: AT_ONCE }, ask));
    this.#failed = failed;
  }

  #place(): void {
    const paths = new Map<string, string>();
    for (const pod of this.#wanted) {
      const known = this.#known.get(this.#sandboxes?.get(pod)?.id ?? "");
      if (known !== undefined && "path" in known) paths.set(pod, known.path);
    }
    const old = this.#paths;
    if (old.size !== paths.size || [...paths].some(([pod, path]) => old.get(pod) !== path)) this.#paths = paths;
  }
}
