import { join } from "node:path";
import type { ObjectRef } from "#shared/api/kinds.ts";
import { EchoSocket } from "#shared/kernel/echo-socket.ts";
import { KernelError } from "#shared/kernel/kernel-error.ts";
import type { Clock } from "#shared/process/clock.ts";
import { ConvergeLoop } from "#shared/process/converge-loop.ts";
import type { Log } from "#shared/process/log.ts";
import { compareText } from "#shared/resolve/age.ts";
import type { ObjectStore, ObjectView } from "#shared/store/object-store.ts";
import {
  desiredPodNetwork,
  NO_NETWORK,
  nodeInterests,
  type PodNetwork,
  type ReturnHop,
  withFilters,
} from "./desired-pod-network.ts";
import { earsOf, withoutSilent } from "./instance-health.ts";
import { InstanceProber } from "./instance-prober.ts";
import { netnsIdentity } from "./netns-identity.ts";
import { type PodChange, PodKernel, type PodNetns, type PodOutcome } from "./pod-kernel.ts";
import type { PodNamespaces } from "./pod-namespaces.ts";
import { PodRecords } from "./pod-records.ts";
import { type PodStatus, statusOf } from "./pod-status.ts";
import { rtpsFilters } from "./rtps-filter.ts";

export interface NodeAgentOptions {
  readonly store: ObjectStore;
  /** Makes the source of pods' namespaces; it calls back when something may have changed. */
  readonly podNamespaces: (onChange: () => void) => PodNamespaces;
  readonly runDir: string;
  readonly log: Log;
  readonly clock: Clock;
  /** On abort the agent stops and leaves everything in place. */
  readonly signal: AbortSignal;
  /** How often a pod is looked at when nothing has changed, in whole and at the settings that the kernel does not tell of. */
  readonly lookMs?: number;
  readonly glanceMs?: number;
  /** Of other nodes only the gateway instances' pods are read. */
  readonly nodeName?: string;
}

export interface NodeStatus {
  readonly pods: readonly PodStatus[];
  /** Gateway instances as replies find them, `ADDRESS%NETWORK`; those that are the only one are not asked. */
  readonly instances: readonly { readonly instance: string; readonly answers: boolean; readonly falls: number }[];
  /** Pods' networks that were put back after somebody else had changed them, since the start. */
  readonly repairs: number;
  readonly lastRepair?: { readonly pod: string; readonly at: string; readonly changes: number };
  /** Pods whose namespaces cannot be found, entries of the folder that cannot be used, a runtime that does not answer. */
  readonly problems: readonly string[];
}

export interface RunningNodeAgent {
  readonly done: Promise<void>;
  /** True once every pod here has been looked at. */
  ready(): boolean;
  status(): NodeStatus;
}

/** A look takes half a millisecond and more; events tell of all but a few settings, at which it glances in between. */
const LOOK_MS = 4_000;
const GLANCE_MS = 500;
const FIRST_RETRY_MS = 100;

/** What is known of one pod between two looks. */
interface PodState {
  /** What was asked last, and of which namespace. */
  readonly asked: string;
  readonly wanted: PodNetwork;
  readonly nextLookMs: number;
  /** How long it waits for the next attempt; 0: the last one succeeded. */
  readonly retryMs: number;
  /** What the settings of the namespace follow from, when they were found to be right. */
  readonly settings: string | undefined;
  readonly status: PodStatus;
}

/** What a sweep may do besides what it must. */
interface Turn {
  readonly glances: boolean;
  /** Whole looks that are left. */
  looks: number;
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
  readonly #glanceMs: number;
  readonly #prober: InstanceProber;
  /** Pods whose kernel has told of changes, and whether settings are among them. */
  readonly #changed = new Map<string, { readonly settings: boolean }>();
  /** What Gateways want, until objects change that they are made of. */
  #targets: ReadonlyMap<string, PodNetwork> | undefined;
  /** What the objects want, until they change; and for which pods it was asked. */
  #desired: ReadonlyMap<string, PodNetwork> | undefined;
  #desiredFor: ReturnType<PodNamespaces["pods"]>;
  /** Where the pods' namespaces were at the last sweep. */
  #sweptPaths: ReadonlyMap<string, string> | undefined;
  /** The same without instances that do not answer, until one more or less does. */
  #wanted: ReadonlyMap<string, PodNetwork> | undefined;
  /** The pods' kernels are others than those from which instances are asked. */
  #earsChanged = true;
  #nextSweepMs = 0;
  #nextGlanceMs = 0;
  #wake: () => void = () => undefined;
  #repairs = 0;
  #lastRepair: NodeStatus["lastRepair"];
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
    this.#glanceMs = Math.min(options.glanceMs ?? GLANCE_MS, this.#lookMs);
    this.#prober = new InstanceProber({
      open: ({ family, interface: device, pod }, identifier) => {
        const kernel = this.#kernels.get(pod);
        if (kernel === undefined) throw new Error(`pod ${pod} is not looked after any more`);
        return kernel.enter(() => new EchoSocket({ family, device, identifier }));
      },
      nowMs: () => performance.now(),
      random: Math.random,
      log: options.log,
      onChange: () => {
        this.#wanted = undefined;
        this.#wake();
      },
    });
    this.#records = new PodRecords(join(options.runDir, "pods"), options.log);
  }

  ready(): boolean {
    return this.#ready;
  }

  status(): NodeStatus {
    const pods = [...this.#states.values()].map(({ status }): PodStatus => {
      const keptOut = status.filter && this.#kernels.get(status.pod)?.keptOut();
      return status.filter && keptOut !== undefined ? { ...status, filter: { ...status.filter, keptOut } } : status;
    });
    const health = [...this.#prober.health()].sort(([a], [b]) => compareText(a, b));
    return {
      pods: pods.sort((a, b) => compareText(a.pod, b.pod)),
      instances: health.map(([instance, { reported, falls }]) => ({ instance, answers: reported, falls })),
      repairs: this.#repairs,
      ...(this.#lastRepair === undefined ? {} : { lastRepair: this.#lastRepair }),
      problems: this.#problems(),
    };
  }

  #problems(): readonly string[] {
    return [...(this.#namespaces?.problems() ?? [])].map(([name, problem]) => `${name}: ${problem}`);
  }

  async start(): Promise<void> {
    const { store, log, signal, podNamespaces, nodeName } = this.#options;
    const loop = new ConvergeLoop({ name: "node", converge: async () => this.#converge(), log, signal });
    this.#wake = () => loop.wake();
    const onChange = ({ kind }: ObjectRef): void => {
      this.#desired = undefined;
      // Statuses of DiscoveryDomains change with every participant, and the rest takes longer.
      if (kind !== "DiscoveryDomain") this.#targets = undefined;
      loop.wake();
    };
    this.#view = await store.watch(nodeInterests(nodeName), onChange, signal);
    const namespaces = podNamespaces(() => loop.wake());
    this.#namespaces = namespaces;
    this.done = loop.run().then(() => {
      namespaces.close();
      this.#prober.close();
      for (const pod of [...this.#kernels.keys()]) this.#leave(pod);
    });
  }

  /** @returns after how many milliseconds the next pod is due. */
  #converge(): number {
    const { clock } = this.#options;
    const here = this.#namespaces?.pods();
    if (this.#view === undefined || this.#namespaces === undefined || here === undefined) return this.#lookMs;
    if (here !== this.#desiredFor) {
      this.#desired = undefined;
      this.#targets = undefined;
    }
    this.#desiredFor = here;
    if (this.#desired === undefined) {
      const isHere = (pod: string): boolean => here.has(pod);
      this.#targets ??= desiredPodNetwork(this.#view, isHere);
      this.#desired = withFilters(this.#targets, rtpsFilters(this.#view.list("DiscoveryDomain"), isHere));
      this.#wanted = undefined;
      this.#earsChanged = true;
    }
    // Those that were changed and are not selected any more are to be left as they were.
    this.#namespaces.want(new Set([...this.#desired.keys(), ...this.#records.list().map(({ pod }) => pod)]));
    const paths = this.#namespaces.list();
    if (paths !== this.#sweptPaths) this.#wanted = undefined;
    this.#sweptPaths = paths;
    if (this.#wanted === undefined || clock.nowMs() >= this.#nextSweepMs) this.#sweep(paths, this.#desired);
    else this.#lookAtChanged();
    this.#report();
    this.#ready ||= this.#namespaces.settled();
    return Math.max(1, this.#nextSweepMs - clock.nowMs());
  }

  /** All pods: those whose objects or kernels have changed, those that are due, and a glance at the others. */
  #sweep(paths: ReadonlyMap<string, string>, desired: ReadonlyMap<string, PodNetwork>): void {
    const { clock } = this.#options;
    const answers = (hop: ReturnHop): boolean => this.#prober.answers(hop.network, hop.address);
    this.#wanted ??= new Map([...desired].map(([pod, wanted]) => [pod, withoutSilent(wanted, answers)]));
    const seen = new Map<string, string>();
    // Selected pods first: of two names for one namespace, theirs counts.
    const pods = [...paths].sort(([a], [b]) => Number(desired.has(b)) - Number(desired.has(a)) || (a < b ? -1 : 1));
    const glances = clock.nowMs() >= this.#nextGlanceMs;
    if (glances) this.#nextGlanceMs = clock.nowMs() + this.#glanceMs;
    // Whole looks are spread over the sweeps, so that none of them takes long.
    const turn: Turn = { glances, looks: Math.ceil((pods.length * this.#glanceMs) / this.#lookMs) };
    for (const [pod, path] of pods) this.#pod(pod, path, this.#wanted.get(pod), seen, turn);
    this.#changed.clear();
    for (const pod of this.#states.keys()) if (!paths.has(pod)) this.#forget(pod);
    this.#forgetGone(paths);
    if (this.#earsChanged) this.#prober.want(earsOf(desired, (pod) => this.#kernels.get(pod)?.target.netns));
    this.#earsChanged = false;
    const retries = [...this.#states.values()].flatMap((state) => (state.retryMs > 0 ? [state.nextLookMs] : []));
    this.#nextSweepMs = Math.min(this.#nextGlanceMs, ...retries);
  }

  /** Only the pods whose kernels have told of something. */
  #lookAtChanged(): void {
    for (const [pod, changed] of this.#changed) {
      const state = this.#states.get(pod);
      const target = this.#kernels.get(pod)?.target;
      // Whether it is still there the next sweep finds out.
      if (state === undefined || target === undefined) continue;
      this.#look(target, this.#wanted?.get(pod), state.asked, state, changed);
    }
    this.#changed.clear();
  }

  #pod(pod: string, path: string, wanted: PodNetwork | undefined, seen: Map<string, string>, turn: Turn): void {
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
    const changed = this.#changed.get(pod);
    if (changed === undefined && state?.asked === asked) {
      const isDue = now >= state.nextLookMs && (state.retryMs > 0 || turn.looks-- > 0);
      if (!isDue && (!turn.glances || this.#settingsHold(pod, state.wanted))) return;
    }
    this.#look({ pod, path, netns: identity.id }, wanted, asked, state, changed);
  }

  /** Whether a pod's settings are as they should be, as far as that is told without reading files. */
  #settingsHold(pod: string, wanted: PodNetwork): boolean {
    try {
      return this.#kernels.get(pod)?.settingsHold(wanted) !== false;
    } catch (error) {
      // The look that follows says what is wrong.
      if (!(error instanceof KernelError)) throw error;
      return false;
    }
  }

  #look(
    target: PodNetns,
    wanted: PodNetwork | undefined,
    asked: string,
    before: PodState | undefined,
    changed: { readonly settings: boolean } | undefined,
  ): void {
    const { log, clock } = this.#options;
    const settings = `${target.netns} ${JSON.stringify(wanted?.paths.map(({ mode, interfaces }) => [mode, interfaces]))}`;
    // Other next hops, or routes that somebody has changed, ask for the same settings, which can wait for the next look.
    const isQuick = before?.settings === settings && (before.asked !== asked || changed?.settings === false);
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
    const { changes } = outcome;
    if (changes > 0 && before?.asked === asked && before.retryMs === 0) {
      this.#repairs++;
      this.#lastRepair = { pod: target.pod, at: new Date(clock.nowMs()).toISOString(), changes };
      log.warn({ pod: target.pod, changes }, "the pod's network was changed by somebody else; repaired");
    } else if (changes > 0) log.info({ pod: target.pod, changes }, "pod's network set");
    const failed = outcome.problems.length > 0;
    const lastMs = before?.asked === asked ? before.retryMs : 0;
    const retryMs = failed ? Math.min(this.#lookMs, lastMs * 2 || FIRST_RETRY_MS) : 0;
    const dueMs = clock.nowMs() + (failed ? retryMs : this.#lookMs);
    this.#states.set(target.pod, {
      asked,
      wanted: wanted ?? NO_NETWORK,
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
    const kernel = new PodKernel(target, this.#records, this.#options.log, (change) =>
      this.#onChange(target.pod, change),
    );
    this.#kernels.set(target.pod, kernel);
    this.#earsChanged = true;
    return kernel;
  }

  #onChange(pod: string, { lost, settings }: PodChange): void {
    if (lost !== undefined) {
      this.#options.log.error({ err: lost, pod }, "cannot watch the pod's network any more; entering it anew");
      this.#leave(pod);
    }
    this.#changed.set(pod, { settings: settings || this.#changed.get(pod)?.settings === true });
    this.#wake();
  }

  #leave(pod: string): void {
    this.#kernels.get(pod)?.close();
    if (this.#kernels.delete(pod)) this.#earsChanged = true;
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
    const never = { asked: "", wanted: NO_NETWORK, retryMs: 0, settings: undefined };
    this.#states.set(pod, { ...never, nextLookMs, status });
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
    const now = new Set(this.#problems());
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
