import { join } from "node:path";
import { FAMILIES } from "#shared/net/ip.ts";
import type { Clock } from "#shared/process/clock.ts";
import { ConvergeLoop } from "#shared/process/converge-loop.ts";
import type { Log } from "#shared/process/log.ts";
import type { ObjectStore, ObjectView } from "#shared/store/object-store.ts";
import { desiredPodNetwork, NODE_KINDS, type PodNetwork } from "./desired-pod-network.ts";
import { netnsIdentity } from "./netns-identity.ts";
import { NO_NETWORK, PodKernel, type PodNetns, type PodOutcome, type PodStatus } from "./pod-kernel.ts";
import type { PodNamespaces } from "./pod-namespaces.ts";
import { PodRecords } from "./pod-records.ts";

export interface NodeAgentOptions {
  readonly store: ObjectStore;
  /** Makes the source of pods' namespaces; it calls back when something may have changed. */
  readonly podNamespaces: (onChange: () => void) => PodNamespaces;
  readonly runDir: string;
  readonly log: Log;
  readonly clock: Clock;
  /** On abort the agent stops and leaves everything in place. */
  readonly signal: AbortSignal;
  /** How often a pod is looked at when nothing has changed. */
  readonly lookMs?: number;
}

interface NodeStatus {
  readonly pods: readonly PodStatus[];
  /** Entries of the folder of namespaces that cannot be used. */
  readonly problems: readonly string[];
}

export interface RunningNodeAgent {
  readonly done: Promise<void>;
  /** True once every pod here has been looked at. */
  ready(): boolean;
  status(): NodeStatus;
}

const LOOK_MS = 2_000;
const FIRST_RETRY_MS = 100;

/** What is known of one pod between two looks. */
interface PodState {
  /** What was asked last, and of which namespace. */
  readonly asked: string;
  readonly nextLookMs: number;
  /** How long it waits for the next attempt; 0: the last one succeeded. */
  readonly retryMs: number;
  /** What the settings of the namespace follow from, when they were found to be right. */
  readonly settings: string | undefined;
  readonly status: PodStatus;
}

/** The node agent: gives the pods of this node their return path, and their VIPs in DSR mode. */
export async function runNodeAgent(options: NodeAgentOptions): Promise<RunningNodeAgent> {
  const agent = new NodeAgent(options);
  await agent.start();
  return agent;
}

class NodeAgent implements RunningNodeAgent {
  readonly #options: NodeAgentOptions;
  readonly #records: PodRecords;
  readonly #lookMs: number;
  readonly #states = new Map<string, PodState>();
  readonly #kernels = new Map<string, PodKernel>();
  #view: ObjectView | undefined;
  #namespaces: PodNamespaces | undefined;
  #ready = false;
  #reported: ReadonlySet<string> = new Set();
  done: Promise<void> = Promise.resolve();

  constructor(options: NodeAgentOptions) {
    this.#options = options;
    this.#lookMs = options.lookMs ?? LOOK_MS;
    this.#records = new PodRecords(join(options.runDir, "pods"), options.log);
  }

  ready(): boolean {
    return this.#ready;
  }

  status(): NodeStatus {
    const pods = [...this.#states.values()].map(({ status }) => status);
    const entries = [...(this.#namespaces?.problems() ?? [])];
    return {
      pods: pods.sort((a, b) => (a.pod < b.pod ? -1 : 1)),
      problems: entries.map(([name, problem]) => `${name}: ${problem}`),
    };
  }

  async start(): Promise<void> {
    const { store, log, signal, podNamespaces } = this.#options;
    const loop = new ConvergeLoop({ name: "node", converge: async () => this.#converge(), log, signal });
    this.#view = await store.watch(
      NODE_KINDS.map((kind) => ({ kind })),
      () => loop.wake(),
      signal,
    );
    const namespaces = podNamespaces(() => loop.wake());
    this.#namespaces = namespaces;
    this.done = loop.run().then(() => {
      namespaces.close();
      for (const pod of [...this.#kernels.keys()]) this.#leave(pod);
    });
  }

  /** @returns after how many milliseconds the next pod is due. */
  #converge(): number {
    const paths = this.#namespaces?.list();
    if (this.#view === undefined || paths === undefined) return this.#lookMs;
    const desired = desiredPodNetwork(this.#view, (pod) => paths.has(pod));
    const seen = new Map<string, string>();
    // Selected pods first: of two names for one namespace, theirs counts.
    const pods = [...paths].sort(([a], [b]) => Number(desired.has(b)) - Number(desired.has(a)) || (a < b ? -1 : 1));
    for (const [pod, path] of pods) this.#pod(pod, path, desired.get(pod), seen);
    for (const pod of this.#states.keys()) if (!paths.has(pod)) this.#forget(pod);
    this.#forgetGone(paths);
    this.#report();
    this.#ready = true;
    const now = this.#options.clock.nowMs();
    const due = [...this.#states.values()].map(({ nextLookMs }) => nextLookMs - now);
    return Math.max(1, Math.min(this.#lookMs, ...due));
  }

  #pod(pod: string, path: string, wanted: PodNetwork | undefined, seen: Map<string, string>): void {
    // A pod that is not selected and was not changed is not even looked at.
    if (wanted === undefined && this.#records.get(pod) === undefined) {
      this.#forget(pod);
      return;
    }
    const identity = netnsIdentity(path);
    if (identity.kind !== "netns") {
      this.#skip(pod, path, identity.problem);
      return;
    }
    const other = seen.get(identity.id);
    seen.set(identity.id, other ?? pod);
    if (other !== undefined) {
      this.#skip(pod, path, `${path} is the network namespace of pod ${other} as well`);
      return;
    }
    if (wanted === undefined && this.#records.get(pod)?.netns !== identity.id) {
      // A new pod of an old name, which nobody has changed.
      this.#records.remove(pod);
      this.#forget(pod);
      return;
    }
    const asked = `${identity.id} ${JSON.stringify(wanted ?? null)}`;
    const state = this.#states.get(pod);
    const now = this.#options.clock.nowMs();
    if (state?.asked === asked && now < state.nextLookMs) return;
    this.#look({ pod, path, netns: identity.id }, wanted, asked, state);
  }

  #look(target: PodNetns, wanted: PodNetwork | undefined, asked: string, before: PodState | undefined): void {
    const { log, clock } = this.#options;
    const settings = `${target.netns} ${JSON.stringify(wanted?.paths.map(({ mode, interfaces }) => [mode, interfaces]))}`;
    // Other next hops ask for the same settings, which can wait for the next look.
    const isQuick = before?.asked !== asked && before?.settings === settings;
    let outcome: PodOutcome;
    try {
      outcome = this.#kernel(target).apply(wanted ?? NO_NETWORK, { settings: !isQuick });
      if (wanted === undefined && outcome.problems.length === 0) {
        this.#records.remove(target.pod);
        this.#forget(target.pod);
        log.info({ pod: target.pod, changes: outcome.changes }, "pod is not selected any more: left as it was");
        return;
      }
    } catch (error) {
      outcome = { changes: 0, kept: [], problems: [error instanceof Error ? error.message : String(error)] };
    }
    if (outcome.changes > 0) log.info({ pod: target.pod, changes: outcome.changes }, "pod's return path set");
    const failed = outcome.problems.length > 0;
    const lastMs = before?.asked === asked ? before.retryMs : 0;
    const retryMs = failed ? Math.min(this.#lookMs, lastMs * 2 || FIRST_RETRY_MS) : 0;
    const dueMs = clock.nowMs() + (failed ? retryMs : this.#lookMs);
    this.#states.set(target.pod, {
      asked,
      nextLookMs: isQuick ? Math.min(dueMs, before.nextLookMs) : dueMs,
      retryMs,
      settings: failed ? undefined : settings,
      status: statusOf(target.pod, target.path, wanted ?? NO_NETWORK, outcome),
    });
  }

  /** The pod's kernel as it was entered before, if it is the same namespace at the same path. */
  #kernel(target: PodNetns): PodKernel {
    const known = this.#kernels.get(target.pod);
    if (known?.target.netns === target.netns && known.target.path === target.path) return known;
    this.#leave(target.pod);
    const kernel = new PodKernel(target, this.#records);
    this.#kernels.set(target.pod, kernel);
    return kernel;
  }

  #leave(pod: string): void {
    this.#kernels.get(pod)?.close();
    this.#kernels.delete(pod);
  }

  #forget(pod: string): void {
    this.#leave(pod);
    this.#states.delete(pod);
  }

  /** Looked at again with every pass: the namespace may come, and asking costs one system call. */
  #skip(pod: string, path: string, problem: string): void {
    const nextLookMs = this.#options.clock.nowMs() + this.#lookMs;
    const status = { pod, netns: path, vips: [], returnVia: [], problem };
    this.#leave(pod);
    this.#states.set(pod, { asked: "", nextLookMs, retryMs: 0, settings: undefined, status });
  }

  /** Drops the records of namespaces that are gone; one whose pod is only not listed stays known. */
  #forgetGone(paths: ReadonlyMap<string, string>): void {
    for (const { pod, path, netns } of this.#records.list()) {
      if (paths.has(pod)) continue;
      const identity = netnsIdentity(path);
      if (identity.kind !== "netns" || identity.id !== netns) this.#records.remove(pod);
    }
  }

  /** Says each problem once when it comes, and when it is over. */
  #report(): void {
    const { log } = this.#options;
    const now = new Set(this.status().problems);
    for (const { status } of this.#states.values()) {
      if (status.problem !== undefined) now.add(`pod ${status.pod}: ${status.problem}`);
      for (const { gateway, family, nextHops, kept } of status.returnVia) {
        if (!kept) continue;
        const stay = nextHops.length === 0 ? "there are none yet" : `${nextHops.join(", ")} stay`;
        now.add(
          `pod ${status.pod}: no instance of Gateway ${gateway} is live for IPv${family}: of its next hops, ${stay}`,
        );
      }
    }
    for (const text of now) if (!this.#reported.has(text)) log.warn({}, text);
    for (const text of this.#reported) if (!now.has(text)) log.info({}, `over: ${text}`);
    this.#reported = now;
  }
}

function statusOf(pod: string, netns: string, wanted: PodNetwork, outcome: PodOutcome): PodStatus {
  const problems = [...wanted.problems, ...outcome.problems];
  return {
    pod,
    netns,
    vips: wanted.vips,
    returnVia: wanted.paths.flatMap((path) =>
      FAMILIES.flatMap((family): PodStatus["returnVia"] => {
        const hops = path.families[family]?.nextHops.map(({ address }) => address);
        if (hops === undefined) return [];
        const { gateway } = path;
        if (hops.length > 0) return [{ gateway, family, nextHops: hops }];
        const kept = outcome.kept.find((k) => k.path === path && k.family === family)?.addresses ?? [];
        return [{ gateway, family, nextHops: kept, kept: true }];
      }),
    ),
    ...(problems.length > 0 ? { problem: problems.join("; ") } : {}),
  };
}
