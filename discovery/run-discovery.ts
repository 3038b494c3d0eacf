import type { DiscoveryDomain } from "#shared/api/discovery-domain.ts";
import type { ObjectRef } from "#shared/api/kinds.ts";
import type { Condition } from "#shared/api/meta.ts";
import type { GraphAnswer } from "#shared/dds/graph.ts";
import type { GroupsAnswer, GroupsAnswerDomain } from "#shared/dds/groups.ts";
import type { Clock } from "#shared/process/clock.ts";
import { ConvergeLoop } from "#shared/process/converge-loop.ts";
import type { Log } from "#shared/process/log.ts";
import type { ObjectStore, ObjectView } from "#shared/store/object-store.ts";
import { DomainRuntime, type DomainStatus } from "./domain/domain-runtime.ts";
import { logParticipants } from "./domain/log-participants.ts";
import { domainsOf, ownAddresses } from "./domain/relay-settings.ts";
import { DomainReporter } from "./domain-reporter.ts";
import { FanOut, type FanOutDomain, type FanOutStatus } from "./fan-out/fan-out.ts";
import { fanOutDomain } from "./fan-out/fan-out-domain.ts";
import { DomainGroups } from "./groups/domain-groups.ts";
import { groupsCondition, groupsEntry } from "./groups/groups-report.ts";
import { GROUP_INTERESTS } from "./groups/resolve-groups.ts";
import { localInterfaces } from "./network-interfaces.ts";
import { DomainObserver, type ObserverStatus } from "./observer/domain-observer.ts";
import { observerCondition, observerEntry } from "./observer/observer-report.ts";
import { PodAddresses } from "./pods/pod-addresses.ts";

export interface DiscoveryOptions {
  readonly store: ObjectStore;
  /** The pod that this runs in: names its entry in statuses. */
  readonly pod: { readonly namespace: string; readonly name: string };
  /** Only these DiscoveryDomains, `namespace/name`; all when empty. */
  readonly only: readonly string[];
  readonly log: Log;
  readonly signal: AbortSignal;
  /** Monotonic. */
  readonly nowMs: () => number;
  readonly clock: Clock;
  /** 32 hexadecimal digits, random: tells this process from other gateways on its networks. */
  readonly gatewayId: string;
  /** GUID prefix of a participant that nobody has met. */
  readonly newGuidPrefix: () => string;
  /** Evenly from [0, 1). */
  readonly random: () => number;
}

export interface DiscoveryStatus {
  readonly domains: readonly (DomainStatus & { readonly domain: string; readonly observer?: ObserverStatus })[];
  readonly groups: readonly GroupsAnswerDomain[];
  readonly fanOut: FanOutStatus;
}

export interface RunningDiscovery {
  readonly done: Promise<void>;
  /** True once every DiscoveryDomain listens. */
  ready(): boolean;
  status(): DiscoveryStatus;
  /** What the observers know. */
  graph(): GraphAnswer;
  /** Which pods share which participants. */
  groups(): GroupsAnswer;
}

/** How often interfaces and leases are looked at. */
const LOOK_MS = 1_000;

/** Turns DiscoveryDomains into relays. */
export async function runDiscovery(options: DiscoveryOptions): Promise<RunningDiscovery> {
  const discovery = new Discovery(options);
  await discovery.start();
  return discovery;
}

/** Why an object is not served here; none: it is. */
type Refused = ReadonlyMap<string, string>;

class Discovery implements RunningDiscovery {
  readonly #options: DiscoveryOptions;
  readonly #pods = new PodAddresses();
  readonly #runtimes = new Map<string, DomainRuntime>();
  readonly #observers = new Map<string, DomainObserver>();
  readonly #groups = new Map<string, DomainGroups>();
  /** Set while groups are to be looked at, when all that has changed was told. */
  #groupsSoon: NodeJS.Immediate | undefined;
  /** Observers that take their leave. */
  readonly #leaving = new Set<Promise<void>>();
  #refused: Refused = new Map();
  #view: ObjectView | undefined;
  #converged = false;
  #reporter: DomainReporter | undefined;
  readonly #fanOut: FanOut;
  done: Promise<void> = Promise.resolve();

  constructor(options: DiscoveryOptions) {
    this.#options = options;
    const { gatewayId: id, log, nowMs, signal } = options;
    this.#fanOut = new FanOut({ domains: () => this.#fanOutDomains(), id, log, nowMs, signal });
  }

  ready(): boolean {
    return this.#converged && [...this.#runtimes.values()].every((runtime) => runtime.listens());
  }

  status(): DiscoveryStatus {
    return {
      domains: [...this.#runtimes]
        .sort(([a], [b]) => (a < b ? -1 : 1))
        .map(([domain, runtime]) => {
          const observer = this.#observers.get(domain)?.status();
          return { domain, ...runtime.status(), ...(observer && { observer }) };
        }),
      groups: this.groups().domains,
      fanOut: this.#fanOut.status(),
    };
  }

  groups(): GroupsAnswer {
    const domains = [...this.#groups].sort(([a], [b]) => (a < b ? -1 : 1));
    return { domains: domains.map(([, groups]) => groups.answer()) };
  }

  graph(): GraphAnswer {
    return {
      domains: [...this.#observers]
        .sort(([a], [b]) => (a < b ? -1 : 1))
        .flatMap(([, observer]) => observer.graph() ?? []),
    };
  }

  #fanOutDomains(): readonly FanOutDomain[] | undefined {
    if (!this.#converged) return undefined;
    return [...this.#runtimes].flatMap(([key, runtime]) => {
      const endpointsOf = (prefix: string) => this.#observers.get(key)?.endpointsOf(prefix);
      return fanOutDomain(runtime.object, runtime.participants(), endpointsOf) ?? [];
    });
  }

  async start(): Promise<void> {
    const { store, pod, log, signal } = this.#options;
    const loop = new ConvergeLoop({ name: "discovery", converge: async () => this.#converge(), log, signal });
    const view = await store.watch(
      [{ kind: "DiscoveryDomain" }, { kind: "Pod" }, ...GROUP_INTERESTS],
      (ref) => {
        // At once: peers are to forget a pod's participants before they miss them.
        if (ref.kind === "Pod") this.#seePod(ref);
        if (ref.kind === "DiscoveryDomain") loop.wake();
        else this.#balanceSoon();
      },
      signal,
    );
    this.#view = view;
    for (const { metadata } of view.list("Pod")) this.#seePod({ kind: "Pod", ...metadata });
    const ended = new AbortController();
    const reporter = new DomainReporter({
      store,
      view,
      pod,
      clock: this.#options.clock,
      isReady: () => this.#converged,
      entryOf: (object) => this.#entryOf(object),
      conditionsOf: (object) => this.#conditionsOf(object),
      log,
      signal: ended.signal,
    });
    this.#reporter = reporter;
    this.done = loop.run().then(async () => {
      clearImmediate(this.#groupsSoon);
      // It hands over what participants want, for as long as they are known.
      await this.#fanOut.done;
      for (const key of [...this.#runtimes.keys()]) this.#close(key);
      await Promise.all(this.#leaving);
      ended.abort();
      await reporter.done;
    });
  }

  #seePod({ namespace, name }: Pick<ObjectRef, "kind" | "namespace" | "name">): void {
    const key = `${namespace}/${name}`;
    const hasEnded = this.#pods.see(key, this.#view?.get("Pod", namespace, name));
    for (const runtime of this.#runtimes.values()) {
      if (hasEnded) runtime.podEnded(key);
      runtime.podsChanged();
    }
  }

  /** Once, when all that has changed was told: a rollout changes many objects in one turn. */
  #balanceSoon(): void {
    this.#groupsSoon ??= setImmediate(() => {
      this.#groupsSoon = undefined;
      for (const groups of this.#groups.values()) groups.apply();
    });
  }

  /** @returns when to look again. */
  #converge(): number {
    const { log, nowMs, newGuidPrefix, only, pod, random } = this.#options;
    const view = this.#view;
    if (view === undefined) return LOOK_MS;
    const interfaces = localInterfaces();
    const objects = view
      .list("DiscoveryDomain")
      .filter(({ metadata }) => only.length === 0 || only.includes(`${metadata.namespace}/${metadata.name}`));
    const { served, refused } = withoutConflicts(objects);
    this.#refused = refused;
    for (const key of [...this.#runtimes.keys()]) {
      if (served.has(key)) continue;
      this.#close(key);
      log.info({ domain: key }, "no longer served");
    }
    for (const [key, object] of served) {
      const known = this.#runtimes.get(key);
      if (known !== undefined) known.update(object, interfaces);
      else {
        const runtime = new DomainRuntime({
          object,
          relayName: pod.name,
          interfaces,
          owners: this.#pods,
          nowMs,
          random,
          onAssigned: (isUrgent) => this.#reporter?.touch(isUrgent),
        });
        this.#groups.set(key, new DomainGroups({ domain: runtime, view, relayName: pod.name, log }));
        runtime.subscribe(logParticipants(log, key));
        runtime.subscribe(() => this.#reporter?.touch());
        runtime.subscribe(() => this.#fanOut.wake());
        this.#runtimes.set(key, runtime);
        const onChange = (): void => {
          this.#reporter?.touch();
          this.#fanOut.wake();
        };
        const observer = new DomainObserver({ domain: runtime, log, nowMs, newGuidPrefix, onChange });
        this.#observers.set(key, observer);
        log.info({ domain: key }, "served");
      }
    }
    for (const runtime of this.#runtimes.values()) runtime.tick();
    for (const groups of this.#groups.values()) groups.apply();
    for (const observer of this.#observers.values()) observer.apply();
    this.#converged = true;
    this.#fanOut.wake();
    this.#reporter?.touch();
    return LOOK_MS;
  }

  #close(key: string): void {
    const observer = this.#observers.get(key)?.close();
    if (observer !== undefined) {
      this.#leaving.add(observer);
      void observer.finally(() => this.#leaving.delete(observer));
    }
    this.#observers.delete(key);
    this.#groups.delete(key);
    this.#runtimes.get(key)?.close();
    this.#runtimes.delete(key);
  }

  #conditionsOf(object: DiscoveryDomain): readonly Condition[] {
    const { generation, name, namespace } = object.metadata;
    const key = `${namespace}/${name}`;
    return [
      ...observerCondition(this.#observers.get(key), generation),
      ...groupsCondition(this.#groups.get(key)?.answer(), object),
    ];
  }

  #entryOf(object: DiscoveryDomain) {
    const { metadata, spec } = object;
    const key = `${metadata.namespace}/${metadata.name}`;
    const message = this.#refused.get(key);
    if (message !== undefined) return { state: "Refused", participants: 0, message };
    const status = this.#runtimes.get(key)?.status();
    if (status === undefined) return undefined;
    const observer = this.#observers.get(key);
    const groups = this.#groups.get(key);
    const { participants } = status;
    const problems = [
      ...(groups?.problems ?? []),
      ...status.problems,
      ...(spec.fanOut === undefined ? [] : this.#fanOut.problems),
      ...(observer?.problem === undefined ? [] : [observer.problem]),
    ];
    return {
      ...observerEntry(observer),
      ...(groups === undefined || spec.serviceGroups.length === 0
        ? {}
        : { addresses: relayAddresses(object), groups: groupsEntry(groups.answer()) }),
      state: problems.length === 0 ? "Listening" : "Partial",
      participants: participants.length,
      ...(problems.length === 0 ? {} : { message: problems.slice(0, 8).join("; ") }),
    };
  }
}

/** From which this relay speaks to participants. */
function relayAddresses(object: DiscoveryDomain): readonly string[] {
  return [...new Set(ownAddresses(object, localInterfaces()).map(({ address }) => address))].sort();
}

/** Two objects cannot listen at one port: the older one has the domain, of two of one age the first by name. */
function withoutConflicts(objects: readonly DiscoveryDomain[]) {
  const served = new Map<string, DiscoveryDomain>();
  const refused = new Map<string, string>();
  const owners = new Map<number, string>();
  const ageOf = ({ metadata }: DiscoveryDomain): string => metadata.creationTimestamp ?? "";
  const byAge = [...objects].sort((a, b) => (ageOf(a) < ageOf(b) ? -1 : ageOf(a) > ageOf(b) ? 1 : 0));
  for (const object of byAge) {
    const key = `${object.metadata.namespace}/${object.metadata.name}`;
    const domains = [...domainsOf(object)];
    const taken = domains.find((domain) => owners.has(domain));
    if (taken !== undefined) {
      refused.set(key, `spec.domains: domain ${taken} is served for ${owners.get(taken)} already; take it out of one`);
      continue;
    }
    for (const domain of domains) owners.set(domain, key);
    served.set(key, object);
  }
  return { served, refused };
}
