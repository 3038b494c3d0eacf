import type { ObjectRef } from "#shared/api/kinds.ts";
import { GATEWAY_NAME_LABEL } from "#shared/api/names.ts";
import { type Programmed, writeProgrammed } from "#shared/instance/programmed.ts";
import { EchoSocket } from "#shared/kernel/echo-socket.ts";
import { watchKernel } from "#shared/kernel/netlink-events.ts";
import type { TableState } from "#shared/nft/table-state.ts";
import type { Clock } from "#shared/process/clock.ts";
import { ConvergeLoop } from "#shared/process/converge-loop.ts";
import type { Log } from "#shared/process/log.ts";
import { pause } from "#shared/process/pause.ts";
import { ATTACH_KINDS, attach } from "#shared/resolve/attach.ts";
import type { Attachments } from "#shared/resolve/attachment-types.ts";
import { resolveIntent, servedGateways } from "#shared/resolve/intent.ts";
import type { Intent } from "#shared/resolve/intent-types.ts";
import type { Packet } from "#shared/resolve/locate.ts";
import { PRIMARY_NETWORK } from "#shared/resolve/primary-network.ts";
import { ordinaryServices, SLICES_THAT_COUNT } from "#shared/resolve/slice-interest.ts";
import { TableCache } from "#shared/resolve/tables.ts";
import type { Interest, ObjectStore, ObjectView } from "#shared/store/object-store.ts";
import { Arrivals, arrivalCheck } from "./arrivals/arrivals.ts";
import { companies } from "./arrivals/newcomers.ts";
import { carried, Drain, type DrainEnd } from "./drain.ts";
import { type HealthWatch, watchTargets } from "./health/watch-targets.ts";
import { type IcmpTranslator, openIcmpTranslator } from "./icmp-translator.ts";
import { InstanceKernel } from "./instance-kernel.ts";
import { FlowKeeper } from "./moves/flow-keeper.ts";
import { type Moves, NO_MOVES } from "./moves/moves.ts";
import { type AskKept, type Whereabouts, whereabouts } from "./moves/whereabouts.ts";
import { fastPath } from "./nft/fast-path.ts";
import { slowPath } from "./nft/slow-path.ts";
import { OrdinarySlices } from "./ordinary-slices.ts";
import { type RepairCounts, Repairs } from "./repairs.ts";
import { type ProxyStatus, programmedOf, statusOf } from "./report.ts";
import { ServiceLinkWatch, serviceLinks } from "./service-links.ts";
import { TrackedConnections } from "./tracked-connections.ts";

/** How often it is looked at whether somebody else has changed the ruleset: nothing announces that for less. */
const LOOK_MS = 300;

const NONE: ReadonlySet<string> = new Set();

/** Routers have moved when no packet has come for so long; a look at the counters takes about a millisecond. */
const QUIET_MS = 1_000;
const DRAIN_LOOK_MS = 100;

export interface ProxyOptions {
  readonly store: ObjectStore;
  readonly gateway: { readonly namespace: string; readonly name: string };
  /** Folder shared with the frontend of the same instance. */
  readonly runDir: string;
  readonly log: Log;
  readonly clock: Clock;
  /** On abort the proxy withdraws its VIPs, goes on until no packet comes for them, and leaves the tables in place. */
  readonly signal: AbortSignal;
  /** The longest that it goes on. */
  readonly drainMs: number;
  /** The Pod of this instance, by whose name it speaks in statuses. */
  readonly pod: { readonly namespace: string; readonly name: string };
}

export interface RunningProxy {
  /** Resolves when the proxy has withdrawn and stopped. */
  readonly done: Promise<void>;
  /** True once the kernel has held what the objects ask for. */
  ready(): boolean;
  status(): ProxyStatus;
  /** Where the packets of a flow go, now; undefined while nothing is programmed. */
  locate(packet: Packet): Whereabouts | undefined;
}

/** The proxy of one gateway instance: keeps the kernel's tables, routes and rules as the objects want them. */
export async function runProxy(options: ProxyOptions): Promise<RunningProxy> {
  const proxy = new ProxyProcess(options);
  await proxy.start();
  return proxy;
}

class ProxyProcess implements RunningProxy {
  readonly #options: ProxyOptions;
  readonly #kernel: InstanceKernel;
  readonly #cache = new TableCache();
  readonly #keeper: FlowKeeper;
  readonly #work = new AbortController();
  /** Ends after the drain, unlike `#work`. */
  readonly #life = new AbortController();
  readonly #icmp: IcmpTranslator;
  readonly #repairs = new Repairs();
  readonly #connections: TrackedConnections;
  readonly #ordinary: OrdinarySlices;
  readonly #arrivals: Arrivals;
  #wake: () => void = () => undefined;
  /** Exists once the objects are there. */
  #health: HealthWatch | undefined;
  #view: ObjectView | undefined;
  /** Which routes attach where; kept while nothing but targets changes. */
  #attachments: Attachments | undefined;
  #intent: Intent | undefined;
  /** What is moved of its tables. */
  #moves: Moves = NO_MOVES;
  /** As they were built last. */
  #tables: readonly TableState[] = [];
  #links: ServiceLinkWatch | undefined;
  /** Interfaces of the instance that were there when the kernel was last programmed, and by which it reaches somebody. */
  #interfaces: ReadonlySet<string> = new Set();
  #generation = 0;
  #appliedAt: string | undefined;
  #written = "";
  #writing: Promise<void> = Promise.resolve();
  #state: Programmed["state"] = "serving";
  #reported = "";
  done: Promise<void> = Promise.resolve();

  constructor(options: ProxyOptions) {
    this.#options = options;
    this.#kernel = new InstanceKernel(options.log);
    this.#keeper = new FlowKeeper(this.#kernel, () => performance.now());
    this.#connections = new TrackedConnections(this.#kernel, options.log);
    this.#ordinary = new OrdinarySlices({
      store: options.store,
      onChange: () => this.#wake(),
      signal: this.#work.signal,
    });
    this.#arrivals = new Arrivals({
      log: options.log,
      nowMs: () => performance.now(),
      random: Math.random,
      onChange: () => this.#wake(),
      open: (via, identifier) => new EchoSocket({ ...via, device: via.interface, identifier }),
    });
    this.#icmp = openIcmpTranslator({
      intent: () => this.#intent,
      legOf: (packet) => this.locate(packet)?.leg,
      log: options.log,
      signal: this.#life.signal,
    });
  }

  ready(): boolean {
    return this.#appliedAt !== undefined;
  }

  status(): ProxyStatus {
    const { gateway } = this.#options;
    const interfaces = this.#state === "serving" ? this.#interfaces : NONE;
    const applied = { generation: this.#generation, at: this.#appliedAt, interfaces };
    return statusOf(
      `${gateway.namespace}/${gateway.name}`,
      this.#intent,
      this.#kernel.counters(),
      applied,
      this.#icmp.counts(),
      this.#keeper.status(),
      this.#repairs.status(),
      this.#links?.status() ?? [],
      this.#health?.monitor,
    );
  }

  locate(packet: Packet): Whereabouts | undefined {
    const intent = this.#intent;
    if (intent === undefined) return undefined;
    const kept: AskKept = (family, hash) => this.#kernel.kept.at(intent, family, hash);
    return whereabouts(intent, this.#moves, packet, kept, (connection) => this.#kernel.trackedAt(connection));
  }

  async start(): Promise<void> {
    const { store, log, signal } = this.#options;
    const loop = new ConvergeLoop({ name: "proxy", converge: () => this.#converge(), log, signal: this.#work.signal });
    this.#wake = () => loop.wake();
    const interests: Interest[] = [
      ...ATTACH_KINDS.map((kind) => ({ kind })),
      SLICES_THAT_COUNT,
      { kind: "HealthCheck" },
      {
        kind: "Pod",
        namespace: this.#options.gateway.namespace,
        matchLabels: { [GATEWAY_NAME_LABEL]: this.#options.gateway.name },
      },
    ];
    const changed = ({ kind }: ObjectRef): void => {
      if (ATTACH_KINDS.some((one) => one === kind)) this.#attachments = undefined;
      loop.wake();
    };
    const view = await store.watch(interests, changed, this.#work.signal);
    this.#view = view;
    this.#health = watchTargets({ ...this.#options, view, onChange: () => loop.wake(), signal: this.#work.signal });
    this.#links = new ServiceLinkWatch({
      log,
      nowMs: () => performance.now(),
      random: Math.random,
      onChange: () => loop.wake(),
    });
    let watched = true;
    watchKernel({
      groups: ["link", "address", "route", "rule", "setting"],
      signal: this.#work.signal,
      onChange: (kinds) => {
        // A device that went took its chains along.
        if (kinds.has("link")) this.#kernel.forget();
        this.#kernel.networkChanged();
        loop.wake();
      },
      onError: (error) => {
        watched = false;
        log.error({ err: error }, "cannot watch the kernel any more; its network is read anew every time instead");
      },
    });
    const look = setInterval(() => {
      if (!watched) this.#kernel.networkChanged();
      if (!watched || this.#disturbed()) loop.wake();
    }, LOOK_MS);
    this.#work.signal.addEventListener("abort", () => clearInterval(look), { once: true });
    const running = loop.run();
    const stop = Promise.withResolvers<void>();
    signal.addEventListener("abort", () => stop.resolve(), { once: true });
    if (signal.aborted) stop.resolve();
    this.done = stop.promise.then(() => this.#stop(running));
  }

  /** Whether somebody has changed what no event tells of. A look that fails says yes: the loop finds out and tells why. */
  #disturbed(): boolean {
    try {
      this.#kernel.lookAtRules();
      return this.#kernel.changedByOthers() || this.#kernel.settingsChanged();
    } catch (error) {
      this.#options.log.warn({ err: error }, "cannot look at the ruleset and the settings");
      return true;
    }
  }

  async #converge(): Promise<number | undefined> {
    const { gateway, log, clock } = this.#options;
    const view = this.#view;
    if (view === undefined) return undefined;
    this.#attachments ??= attach(view);
    const served = servedGateways(this.#attachments, gateway);
    const ordinary = await this.#ordinary.of(ordinaryServices(served));
    // Which may have changed meanwhile.
    this.#attachments ??= attach(view);
    const slices = [...view.list("EndpointSlice"), ...ordinary];
    this.#health?.plan(served, slices);
    this.#arrivals.plan(companies(served, slices), arrivalCheck(served[0]?.parameters));
    const intent = resolveIntent(this.#attachments, slices, gateway, this.#cache, {
      isUnreachable: this.#health?.monitor.isUnreachable,
      isArriving: this.#arrivals.isArriving,
    });
    if (intent === undefined) return this.#forgetGateway();
    // What is no longer offered is withdrawn before the kernel drops it.
    const before = this.#intent;
    const vips = before?.vips.filter((vip) => intent.vips.includes(vip)) ?? [];
    if (before && vips.length < before.vips.length) await this.#announce({ ...before, vips }, this.#interfaces);
    const { environment, devices, unreachable, primary } = this.#kernel.observe(intent);
    const foreign = this.#appliedAt !== undefined && this.#kernel.changedByOthers();
    const { changes, refused, repaired } = this.#kernel.applyRouting(intent, devices);
    const next = this.#keeper.next(intent);
    const [slow, fast] = this.#tables;
    const tables = [slowPath(intent, next.moves, slow), fastPath(intent, environment, next.moves, fast)];
    this.#tables = tables;
    const transactions = this.#kernel.applyTables(tables);
    this.#connections.applied(intent);
    const againMs = this.#keeper.applied(next, intent);
    this.#moves = next.moves;
    this.#noteRepairs({ ...repaired, ruleset: foreign ? transactions : 0 });
    this.#intent = intent;
    this.#arrivals.programmed(intent, (device, family) => this.#kernel.ownAddress(device, family));
    const pods = view.list("Pod").filter((pod) => pod.metadata.namespace === gateway.namespace);
    this.#links?.want(serviceLinks(intent, pods, this.#kernel.ownAddresses()));
    const interfaces = new Set(environment.interfaces.keys()).difference(this.#links?.cutOff() ?? NONE);
    this.#interfaces = primary ? interfaces.add(PRIMARY_NETWORK) : interfaces;
    this.#icmp.refresh();
    if (changes + transactions > 0 || this.#appliedAt === undefined) {
      this.#generation++;
      this.#appliedAt = new Date(clock.nowMs()).toISOString();
      log.info(
        { generation: this.#generation, changes, transactions, vips: intent.vips.length, targets: intent.legs.size },
        "programmed",
      );
    }
    await this.#announce(intent, this.#interfaces);
    this.#report(intent, unreachable);
    if (refused.length > 0) throw new AggregateError(refused, refused.map((error) => error.message).join("; "));
    return againMs;
  }

  #noteRepairs(repaired: RepairCounts): void {
    const { clock, log } = this.#options;
    for (const what of this.#repairs.note(repaired, clock.nowMs())) {
      log.warn({ what, changes: repaired[what] }, `${what}: changed by somebody else; repaired`);
    }
  }

  /** The Gateway went, or its parameters did: nothing is attracted; what the kernel has stays for packets under way. */
  async #forgetGateway(): Promise<undefined> {
    const { gateway, log } = this.#options;
    if (this.#intent) await this.#announce(this.#intent, NONE);
    this.#reportOnce(
      `Gateway ${gateway.namespace}/${gateway.name} is not there, is not of our class or has no valid GatewayParameters`,
      log,
    );
    return undefined;
  }

  /** @param interfaces those that are there; {@link NONE} to withdraw everything. */
  #announce(intent: Intent, interfaces: ReadonlySet<string>): Promise<void> {
    const written = this.#writing.then(() => this.#write(intent, interfaces));
    // A pass and the end of the process may both announce: one after the other, the later one what is so then.
    this.#writing = written.catch(() => undefined);
    return written;
  }

  async #write(intent: Intent, interfaces: ReadonlySet<string>): Promise<void> {
    const state = this.#state;
    const content = programmedOf(intent, this.#generation, state === "serving" ? interfaces : NONE, state);
    const text = JSON.stringify([content.vips, state]);
    if (text === this.#written) return;
    await writeProgrammed(this.#options.runDir, content);
    this.#written = text;
  }

  #report(intent: Intent, unreachable: ReadonlyMap<string, string>): void {
    const lines = [
      ...intent.problems.map(({ object, message }) => `${object.kind} ${object.namespace}/${object.name}: ${message}`),
      ...unreachable.values(),
    ];
    this.#reportOnce(lines.join("\n"), this.#options.log);
  }

  #reportOnce(text: string, log: Log): void {
    if (text === this.#reported) return;
    this.#reported = text;
    for (const line of text.split("\n")) if (line !== "") log.warn({}, line);
  }

  /**
   * Withdraws, and follows the objects until no packet comes for the VIPs. The tables stay after that: for packets of
   * routers that are slower still.
   */
  async #stop(running: Promise<void>): Promise<void> {
    if (this.#intent) {
      this.#state = "draining";
      await this.#announce(this.#intent, NONE);
      await this.#drain();
      this.#state = "drained";
      await this.#announce(this.#intent, NONE);
    }
    this.#work.abort();
    // A pass under way may still start their turns.
    await running;
    this.#links?.close();
    this.#arrivals.close();
    await this.#health?.close();
    this.#life.abort();
    this.#icmp.close();
    this.#kernel.close();
  }

  async #drain(): Promise<void> {
    const { drainMs: limitMs, log } = this.#options;
    log.info({ limitMs }, "withdrawn; going on until no packet comes");
    const startedMs = performance.now();
    const drain = new Drain({ limitMs, quietMs: QUIET_MS }, this.#carried(), startedMs);
    let end: DrainEnd | undefined;
    while (end === undefined) {
      await pause(DRAIN_LOOK_MS, this.#life.signal);
      end = drain.look(this.#carried(), performance.now());
    }
    const afterMs = Math.round(performance.now() - startedMs);
    if (end === "quiet") log.info({ afterMs }, "no packet comes any more");
    else log.warn({ afterMs }, "packets still come; ending all the same, as --drain-ms says");
  }

  #carried(): number {
    try {
      return carried(this.#kernel.counters());
    } catch (error) {
      this.#options.log.warn({ err: error }, "cannot read the counters");
      // No number equals it: what cannot be seen may be traffic.
      return Number.NaN;
    }
  }
}
