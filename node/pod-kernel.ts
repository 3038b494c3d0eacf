import { NftError } from "nftables-ts";
import { ROUTE_PROTOCOL } from "#shared/instance/marks.ts";
import { vipAddresses } from "#shared/instance/vip-addresses.ts";
import { applyAddresses, listAddresses } from "#shared/kernel/addresses.ts";
import type { FailedChange, Plan } from "#shared/kernel/apply-plan.ts";
import { KernelError, KernelNotFoundError } from "#shared/kernel/kernel-error.ts";
import { listedSysctl, listLinks } from "#shared/kernel/links.ts";
import { watchKernel } from "#shared/kernel/netlink-events.ts";
import { type NetlinkSocket, openNetlink } from "#shared/kernel/netlink-socket.ts";
import { readSysctl, withNetns, writeSysctl } from "#shared/kernel/network-namespace.ts";
import { planAddresses } from "#shared/kernel/plan-addresses.ts";
import { planRoutes } from "#shared/kernel/plan-routes.ts";
import { planRules } from "#shared/kernel/plan-rules.ts";
import { applyRoutes, type CanonicalRoute, listRoutes } from "#shared/kernel/routes.ts";
import { applyRules, listRules } from "#shared/kernel/rules.ts";
import type { Log } from "#shared/process/log.ts";
import type { PodNetwork, ReturnPath } from "./desired-pod-network.ts";
import { ownNetns } from "./netns-identity.ts";
import { PodFilter } from "./pod-filter.ts";
import type { PodRecord } from "./pod-records.ts";
import { isOurPriority, isOurTable, podRoutes, podRules, podSysctls, type WantedSysctl } from "./pod-routing.ts";

export interface PodNetns {
  readonly pod: string;
  readonly path: string;
  readonly netns: string;
}

export interface PodRecordAccess {
  get(pod: string): PodRecord | undefined;
  put(record: PodRecord): void;
}

/** Next hops that stayed because no instance is live. */
interface KeptHops {
  readonly path: ReturnPath;
  readonly family: 4 | 6;
  readonly addresses: readonly string[];
}

export interface PodOutcome {
  readonly changes: number;
  readonly kept: readonly KeptHops[];
  readonly problems: readonly string[];
}

/** At most ten passes a second for a pod whose routes change all the time. */
const EVENT_PAUSE_MS = 100;

export interface PodChange {
  readonly settings: boolean;
  /** Nothing is told any more. */
  readonly lost?: KernelError;
}

/**
 * The kernel of one pod's network namespace. It holds sockets there, which keep the namespace alive: to be closed as
 * soon as the pod is gone.
 */
export class PodKernel {
  readonly target: PodNetns;
  readonly #records: PodRecordAccess;
  readonly #socket: NetlinkSocket;
  readonly #log: Log;
  readonly #end = new AbortController();
  /** From when it is first needed. */
  #filter: PodFilter | undefined;

  /**
   * @param onChange something that matters may have changed: `settings` says whether sysctls are among it.
   * @throws KernelError when the namespace cannot be entered.
   */
  constructor(target: PodNetns, records: PodRecordAccess, log: Log, onChange: (change: PodChange) => void) {
    this.target = target;
    this.#log = log;
    this.#records = records;
    this.#socket = this.enter(() => openNetlink());
    try {
      this.enter(() => this.#watch(onChange));
    } catch (error) {
      this.close();
      throw error;
    }
  }

  close(): void {
    this.#end.abort();
    this.#socket.close();
    this.#filter?.close();
  }

  #watch(onChange: (change: PodChange) => void): void {
    watchKernel({
      groups: ["link", "address", "route", "rule", "setting"],
      signal: this.#end.signal,
      quietMs: EVENT_PAUSE_MS,
      onChange: (kinds) => onChange({ settings: kinds.has("link") || kinds.has("setting") }),
      onError: (error) => onChange({ settings: true, lost: error }),
    });
  }

  /**
   * Whether the settings that a listing of links brings along are as they should be: those by which replies are lost, and
   * of which the kernel does not tell when they change, and the nftables table. A system call each.
   */
  settingsHold(wanted: PodNetwork): boolean {
    if (this.#filter?.disturbed() === true) return false;
    const links = listLinks(this.#socket);
    return podSysctls(wanted, "0").every(({ key, accepts }) => {
      const current = listedSysctl(links, key);
      return current === undefined || accepts(current);
    });
  }

  /**
   * Brings the namespace to what is wanted: settings, then routes, rules and VIPs; what goes, goes in the opposite order.
   * @param settings whether to look at sysctls, too: reading them takes longer than the rest.
   * @throws KernelError when the namespace cannot be entered or listed.
   */
  apply(wanted: PodNetwork, { settings }: { readonly settings: boolean }): PodOutcome {
    const filter = (): PodFilter => {
      this.#filter ??= this.enter(() => new PodFilter(this.target.path, this.#log));
      return this.#filter;
    };
    const work = new PodWork(this.#socket, this.target, wanted, this.#records, filter);
    return settings ? this.enter(() => work.run(true)) : work.run(false);
  }

  /** Datagrams that the pod's filter has dropped; undefined: it has none. */
  keptOut(): number | undefined {
    return this.#filter?.keptOut();
  }

  /** @throws KernelError; Error when the path leads to another namespace by now. */
  enter<T>(visit: () => T): T {
    const { path, netns } = this.target;
    return withNetns(path, () => {
      if (ownNetns() !== netns) throw new Error(`${path} was replaced while it was looked at`);
      return visit();
    });
  }
}

class PodWork {
  readonly #socket: NetlinkSocket;
  readonly #target: PodNetns;
  readonly #wanted: PodNetwork;
  readonly #records: PodRecordAccess;
  readonly #filter: () => PodFilter;
  readonly #problems: string[] = [];
  #changes = 0;

  constructor(
    socket: NetlinkSocket,
    target: PodNetns,
    wanted: PodNetwork,
    records: PodRecordAccess,
    filter: () => PodFilter,
  ) {
    this.#filter = filter;
    this.#socket = socket;
    this.#target = target;
    this.#wanted = wanted;
    this.#records = records;
  }

  run(settings: boolean): PodOutcome {
    const links = new Map(listLinks(this.#socket).map((link) => [link.name, link]));
    const loopback = links.get("lo");
    for (const name of new Set(this.#wanted.paths.flatMap((path) => path.interfaces))) {
      const link = links.get(name);
      if (link === undefined) this.#problems.push(`the pod has no interface ${name}, which its annotation names`);
      else if (!link.up) this.#problems.push(`interface ${name} of the pod is down`);
    }
    if (loopback?.up === false && this.#wanted.vips.length > 0) {
      this.#problems.push("interface lo of the pod is down: VIPs on it are not served");
    }
    const sysctls = settings ? podSysctls(this.#wanted, readSysctl(undefined, "net/ipv4/conf/all/rp_filter")) : [];
    this.#remember();
    // First: somebody was parted from the pod, and must not come back.
    this.#keepOut();
    // Before the VIP is there: the pod must never answer ARP for it.
    this.#set(sysctls);

    const own = listRoutes(this.#socket, { protocol: ROUTE_PROTOCOL }).filter(({ table }) => isOurTable(table));
    const { routes, kept } = podRoutes(this.#wanted, (name) => {
      const link = links.get(name);
      return link?.up ? link.ifindex : undefined;
    });
    const keeps = new Set(kept.map(({ table, family }) => `${table} ${family}`));
    const isKept = ({ table, family }: CanonicalRoute): boolean => keeps.has(`${table} ${family}`);
    const routePlan = planRoutes(
      routes,
      own.filter((route) => !isKept(route)),
    );
    const rules = listRules(this.#socket, { protocol: ROUTE_PROTOCOL }).filter((r) => isOurPriority(r.priority));
    this.#apply({ ...routePlan, delete: [] }, applyRoutes);
    this.#apply(planRules(podRules(this.#wanted), rules), applyRules);
    if (loopback !== undefined) this.#addresses(loopback.ifindex);
    this.#apply({ add: [], replace: [], delete: routePlan.delete }, applyRoutes);
    if (settings) this.#restore(new Set(sysctls.map(({ key }) => key)));

    const keptHops = kept.map(({ table, family, path }) => ({
      path,
      family,
      addresses: own
        .filter((route) => route.table === table && route.family === family)
        .flatMap((route) => route.nextHops.flatMap(({ gateway }) => gateway ?? [])),
    }));
    return { changes: this.#changes, kept: keptHops, problems: this.#problems };
  }

  #keepOut(): void {
    const { filter } = this.#wanted;
    const record = this.#record();
    if (filter === undefined && record.filter !== true) return;
    try {
      if (filter !== undefined && record.filter !== true) this.#records.put({ ...record, filter: true });
      this.#changes += this.#filter().apply(filter);
      if (filter !== undefined) return;
      const { filter: _, ...rest } = record;
      this.#records.put(rest);
    } catch (error) {
      if (!(error instanceof NftError) && !(error instanceof KernelError)) throw error;
      this.#problems.push(`cannot keep RTPS out of the pod (${error.message})`);
    }
  }

  /** A VIP that somebody else has put there serves as well, and is not ours to remove. */
  #addresses(loopback: number): void {
    const desired = vipAddresses(this.#wanted.vips, loopback);
    const present = listAddresses(this.#socket, { ifindex: loopback });
    const ours = present.filter(({ protocol }) => protocol === ROUTE_PROTOCOL);
    const plan = { ...planAddresses(desired, ours), add: planAddresses(desired, present).add };
    this.#apply(plan, applyAddresses);
  }

  #apply<T>(plan: Plan<T>, apply: (socket: NetlinkSocket, plan: Plan<T>) => readonly FailedChange<T>[]): void {
    const asked = plan.add.length + plan.replace.length + plan.delete.length;
    if (asked === 0) return;
    const failed = apply(this.#socket, plan);
    this.#changes += asked - failed.length;
    for (const { action, error } of failed) {
      // What somebody else has deleted meanwhile is as it should be.
      if (action === "delete" && error instanceof KernelNotFoundError) continue;
      this.#problems.push(error.message);
    }
  }

  /** The namespace's record; that of an earlier namespace of the pod says nothing about this one. */
  #record(): PodRecord {
    const { pod, path, netns } = this.#target;
    const known = this.#records.get(pod);
    return known?.netns === netns ? { ...known, path } : { pod, path, netns, sysctls: {} };
  }

  #remember(): void {
    const { pod, netns, path } = this.#target;
    const known = this.#records.get(pod);
    if (known?.netns === netns && known.path === path) return;
    this.#records.put(this.#record());
  }

  #set(wanted: readonly WantedSysctl[]): void {
    const wrong = wanted.flatMap(({ key, value, accepts }) => {
      let current: string | undefined;
      this.#sysctl(() => {
        current = readSysctl(undefined, key);
      });
      return current === undefined || accepts(current) ? [] : [{ key, current, value }];
    });
    if (wrong.length === 0) return;
    const record = this.#record();
    const sysctls = { ...record.sysctls };
    for (const { key, current, value } of wrong) {
      sysctls[key] = { before: record.sysctls[key]?.before ?? current, ours: value };
    }
    this.#records.put({ ...record, sysctls });
    for (const { key, value } of wrong) {
      this.#sysctl(() => {
        writeSysctl(undefined, key, value);
        this.#changes++;
      });
    }
  }

  /** Puts settings back that are not wanted any more, unless somebody has changed them since. */
  #restore(wanted: ReadonlySet<string>): void {
    const record = this.#record();
    const left = Object.entries(record.sysctls).filter(([key, { before, ours }]) => {
      if (wanted.has(key)) return true;
      return !this.#sysctl(() => {
        if (readSysctl(undefined, key) !== ours) return;
        writeSysctl(undefined, key, before);
        this.#changes++;
      });
    });
    if (left.length === Object.keys(record.sysctls).length) return;
    this.#records.put({ ...record, sysctls: Object.fromEntries(left) });
  }

  /** @returns false when the setting could not be made, which is then a problem. */
  #sysctl(change: () => void): boolean {
    try {
      change();
    } catch (error) {
      // An interface that is gone has no settings.
      if (error instanceof KernelNotFoundError) return true;
      this.#problems.push(error instanceof Error ? error.message : String(error));
      return false;
    }
    return true;
  }
}
