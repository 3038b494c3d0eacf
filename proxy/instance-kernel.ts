import { Nftables, NftNotFoundError } from "nftables-ts";
import { instanceSettings, trackingSettings } from "#shared/instance/instance-settings.ts";
import { RETURN_TABLE, ROUTE_PROTOCOL } from "#shared/instance/marks.ts";
import { vipAddresses } from "#shared/instance/vip-addresses.ts";
import { addressKey, applyAddresses, type InterfaceAddress, listAddresses } from "#shared/kernel/addresses.ts";
import type { FailedChange } from "#shared/kernel/apply-plan.ts";
import { forgetTracked, type TrackedTuple, trackedMark, trackedMarks } from "#shared/kernel/conntrack.ts";
import { KernelInvalidError, KernelNotFoundError } from "#shared/kernel/kernel-error.ts";
import { type Link, listLinks } from "#shared/kernel/links.ts";
import { type NetlinkSocket, openNetfilter, openNetlink } from "#shared/kernel/netlink-socket.ts";
import { readSysctl, withNetns, writeSysctl } from "#shared/kernel/network-namespace.ts";
import { listCounters } from "#shared/kernel/nftables-dump.ts";
import { planAddresses } from "#shared/kernel/plan-addresses.ts";
import { planRoutes } from "#shared/kernel/plan-routes.ts";
import { planRules } from "#shared/kernel/plan-rules.ts";
import { lookupRoute, type RouteLookup } from "#shared/kernel/route-lookup.ts";
import { applyRoutes, type CanonicalRoute, canonicalRoute, listRoutes, routeText } from "#shared/kernel/routes.ts";
import { applyRules, deleteRule, listRules, type Rule, ruleText } from "#shared/kernel/rules.ts";
import {
  cidrSpan,
  FAMILIES,
  type Family,
  familyOf,
  type Ip,
  type IpRange,
  parseCidr,
  parseIp,
  rangeContains,
} from "#shared/net/ip.ts";
import { TableKeeper } from "#shared/nft/table-keeper.ts";
import type { TableState } from "#shared/nft/table-state.ts";
import type { Log } from "#shared/process/log.ts";
import type { Intent, LegId } from "#shared/resolve/intent-types.ts";
import { isPrimary, tracksConnections } from "#shared/resolve/primary-network.ts";
import { KeptInKernel } from "./kept-in-kernel.ts";
import type { Environment } from "./nft/environment.ts";
import { type FlowsInForce, flowsInForce } from "./nft/read-flows.ts";
import { TABLE } from "./nft/table-name.ts";
import { putBack, type RepairCounts } from "./repairs.ts";
import { LOCAL_TABLE, type RoutingDevices, routingRoutes, routingRules } from "./routing.ts";

/** What came of bringing routes, rules, addresses and settings to what is wanted. */
export interface RoutingOutcome {
  readonly changes: number;
  /** How much of it was put back after somebody else had changed it. */
  readonly repaired: RepairCounts;
  /** Changes that the kernel refused; the others are in force. */
  readonly refused: readonly Error[];
}

/** What the instance's network namespace looks like to the ruleset and the routing. */
export interface Observation {
  readonly environment: Environment;
  readonly devices: RoutingDevices;
  /** Targets that cannot be reached as the mode wants, by address. */
  readonly unreachable: ReadonlyMap<string, string>;
  /** Whether there is a way to some target on the primary network. */
  readonly primary: boolean;
}

/** What was read of the network namespace, and which settings were found or made right since. */
interface NetworkState {
  readonly links: readonly Link[];
  readonly byIndex: ReadonlyMap<number, string>;
  readonly connected: readonly { readonly device: string; readonly range: IpRange; readonly own: Ip | undefined }[];
  readonly addresses: ReadonlySet<string>;
  readonly returnVia: Environment["returnVia"];
  readonly settled: Set<string>;
  /** What is wrong with the way to an address on the primary network, as far as it was looked up. */
  readonly primaryWays: Map<Ip, string | undefined>;
}

/** The kernel state of one gateway instance: the only place of the proxy that touches the kernel. */
export class InstanceKernel {
  readonly #nft: Nftables;
  readonly #netlink: NetlinkSocket;
  readonly #netfilter: NetlinkSocket;
  readonly #netns: string | undefined;
  readonly kept: KeptInKernel;
  readonly #tables: TableKeeper;
  #network: NetworkState | undefined;
  /** What the last pass wanted. */
  #placed:
    | {
        readonly routes: readonly CanonicalRoute[];
        readonly rules: readonly Rule[];
        readonly addresses: readonly InterfaceAddress[];
      }
    | undefined;
  #settings: readonly (readonly [string, string])[] = [];
  /** Settings that somebody else has changed, and the last look found. */
  readonly #unsettled = new Set<string>();

  /** @param netns path of the instance's network namespace; the caller's own when absent. */
  constructor(log: Log, netns?: string) {
    this.#netns = netns;
    // Both keep the namespace in which their socket was opened.
    this.#nft = withNetns(netns, () => new Nftables());
    this.#netlink = openNetlink({ netns });
    this.#netfilter = openNetfilter({ netns });
    this.kept = new KeptInKernel(this.#netfilter);
    this.#tables = new TableKeeper({
      name: TABLE,
      nft: this.#nft,
      netfilter: this.#netfilter,
      netns,
      log,
      interfaces: () => new Set((this.#network ?? this.#readNetwork()).links.map((link) => link.name)),
      restore: (map) => this.kept.elements(map),
    });
  }

  close(): void {
    this.#nft.close();
    this.#netlink.close();
    this.#netfilter.close();
  }

  /** Forgets what nftables was last seen to hold: somebody else may have changed it. */
  forget(): void {
    this.#tables.forget();
  }

  /** To be called when links, addresses, routes or rules may have changed: they are read anew before they are used. */
  networkChanged(): void {
    this.#network = undefined;
  }

  /**
   * Whether somebody else has changed the nftables ruleset since our last change, or beside it. False while no change of
   * ours has succeeded: then the next attempt reads everything anyway. Costs one system call.
   */
  changedByOthers(): boolean {
    return this.#tables.changedByOthers();
  }

  /**
   * Remembers how the rules of all chains look, for when somebody changes some. Not as part of a change, which it would
   * make longer; costs nothing when it is known.
   */
  lookAtRules(): void {
    this.#tables.lookAtRules();
  }

  /** Whether somebody has changed a setting that we made: nothing announces that. About 20 µs each. */
  settingsChanged(): boolean {
    const settled = this.#network?.settled;
    if (settled === undefined) return false;
    withNetns(this.#netns, () => {
      for (const [key, value] of this.#settings) {
        if (!settled.has(key) || this.#readSetting(key) === value) continue;
        settled.delete(key);
        this.#unsettled.add(key);
      }
    });
    return this.#unsettled.size > 0;
  }

  /** In the calling thread's namespace. Undefined when its interface has gone. */
  #readSetting(key: string): string | undefined {
    try {
      return readSysctl(undefined, key);
    } catch (error) {
      if (error instanceof KernelNotFoundError) return undefined;
      throw error;
    }
  }

  /** Links, addresses and return routes, read once until {@link networkChanged}. */
  #readNetwork(): NetworkState {
    const links = listLinks(this.#netlink);
    const byIndex = new Map(links.map((link) => [link.ifindex, link.name]));
    this.#network = {
      links,
      byIndex,
      connected: this.#connected(byIndex),
      addresses: new Set(listAddresses(this.#netlink).map(({ address }) => address)),
      returnVia: { 4: this.#returnVia(4, byIndex), 6: this.#returnVia(6, byIndex) },
      settled: new Set(),
      primaryWays: new Map(),
    };
    return this.#network;
  }

  /** Addresses of this instance, as they were last read. */
  ownAddresses(): ReadonlySet<string> {
    return (this.#network ?? this.#readNetwork()).addresses;
  }

  /** This instance's address on one of its interfaces, link-local ones aside, as it was last read. */
  ownAddress(device: string, family: Family): Ip | undefined {
    const { connected } = this.#network ?? this.#readNetwork();
    const isIt = (one: (typeof connected)[number]): boolean =>
      one.device === device && one.own !== undefined && familyOf(one.own) === family;
    return connected.find(isIt)?.own;
  }

  observe(intent: Intent): Observation {
    const { links, byIndex, connected, returnVia } = this.#network ?? this.#readNetwork();
    const ours = new Set([...intent.externalInterfaces, ...intent.serviceNetworks.map((n) => n.interface)]);
    const present = links.filter((link) => ours.has(link.name));
    const nextHops = new Map<string, Ip>();
    const unreachable = new Map<string, string>();
    let primary = false;
    for (const leg of intent.legs.values()) {
      for (const family of FAMILIES) {
        const address = leg.addresses[family];
        if (address === undefined) continue;
        if (isPrimary(leg)) {
          const problem = this.#primaryWay(address, byIndex, intent);
          if (problem === undefined) primary = true;
          else unreachable.set(address, problem);
          continue;
        }
        if (connected.some(({ device, range }) => device === leg.interface && rangeContains(range, address))) continue;
        const problem = this.#offLink(intent, leg.interface, address, byIndex, nextHops);
        if (problem !== undefined) unreachable.set(address, problem);
      }
    }
    return {
      environment: {
        interfaces: new Map(present.map((link) => [link.name, { mtu: link.mtu }])),
        own: connected.flatMap(({ device, own }) =>
          own !== undefined && intent.serviceNetworks.some((network) => network.interface === device) ? [own] : [],
        ),
        nextHops,
        returnVia,
      },
      devices: {
        loopback: links.find((link) => link.name === "lo")?.ifindex ?? 1,
        ifindex: new Map(present.map((link) => [link.name, link.ifindex])),
        nextHops,
      },
      unreachable,
      primary,
    };
  }

  #routeTo(address: Ip): RouteLookup {
    try {
      return lookupRoute(this.#netlink, address);
    } catch (error) {
      // A blackhole route.
      if (error instanceof KernelInvalidError) return { reachable: false, code: error.code };
      throw error;
    }
  }

  /** What is wrong with the way to a target on the primary network: the main routing table's is taken. */
  #primaryWay(address: Ip, names: ReadonlyMap<number, string>, { serviceNetworks }: Intent): string | undefined {
    const { primaryWays } = this.#network ?? this.#readNetwork();
    if (primaryWays.has(address)) return primaryWays.get(address);
    const route = this.#routeTo(address);
    const device = route.reachable ? names.get(route.ifindex) : undefined;
    const way =
      device === undefined || (route.reachable && route.type !== "unicast")
        ? `no route to ${address}, a target on the primary network: add one in the instance's network, or correct the target's address`
        : serviceNetworks.some((network) => network.interface === device)
          ? `the route to ${address}, a target on the primary network, leaves by ${device}, which is a service network's: name the network in the Service's annotation`
          : undefined;
    primaryWays.set(address, way);
    return way;
  }

  #connected(names: ReadonlyMap<number, string>): NetworkState["connected"] {
    return listAddresses(this.#netlink).flatMap(({ ifindex, address, prefixLength, scope }) => {
      const prefix = parseCidr(`${address}/${prefixLength}`);
      const device = names.get(ifindex);
      const own = scope === "link" ? undefined : parseIp(address);
      return prefix === undefined || device === undefined ? [] : [{ device, range: cidrSpan(prefix), own }];
    });
  }

  /** A target beyond a router of the service network: finds its next hop, or says what is wrong. */
  #offLink(
    intent: Intent,
    device: string,
    address: Ip,
    byIndex: ReadonlyMap<number, string>,
    nextHops: Map<string, Ip>,
  ): string | undefined {
    if (intent.mode === "DSR") {
      return `${address} is not on the link of ${device}: DSR reaches neighbours only; use GatewayParameters mode NAT`;
    }
    const route = lookupRoute(this.#netlink, address);
    const gateway = route.reachable && route.gateway !== undefined ? parseIp(route.gateway) : undefined;
    if (!route.reachable || byIndex.get(route.ifindex) !== device) {
      return `no route to ${address} by ${device}: add one in the instance's network, or correct the target's address`;
    }
    if (gateway !== undefined) nextHops.set(address, gateway);
    return undefined;
  }

  /** Replies need no route lookup when every route that the routers announced is a default route. */
  #returnVia(family: Family, byIndex: ReadonlyMap<number, string>): Environment["returnVia"][Family] {
    const routes = listRoutes(this.#netlink, { table: RETURN_TABLE, family });
    const isDefault = ({ destination }: CanonicalRoute): boolean => destination.endsWith("/0");
    if (!routes.every(isDefault)) return [];
    const best = routes.reduce<CanonicalRoute | undefined>(
      (a, b) => (a === undefined || b.metric < a.metric ? b : a),
      undefined,
    );
    const vias = (best?.nextHops ?? []).map(({ gateway, ifindex }) => {
      const nextHop = gateway === undefined ? undefined : parseIp(gateway);
      const device = ifindex === undefined ? undefined : byIndex.get(ifindex);
      return nextHop === undefined || device === undefined ? undefined : { interface: device, nextHop };
    });
    const known = vias.filter((via) => via !== undefined);
    // Weights are the routing table's business: unequal ones are left to it.
    const even = new Set(best?.nextHops.map((hop) => hop.weight)).size <= 1;
    return known.length === vias.length && even ? known : [];
  }

  /** Brings sysctls, VIPs, routes and rules to what the intent wants. One change that is refused stops no other. */
  applyRouting(intent: Intent, devices: RoutingDevices): RoutingOutcome {
    const failures: Error[] = [];
    const collect = <T>(failed: readonly FailedChange<T>[]): void => {
      for (const { error } of failed) failures.push(error);
    };
    const { settled } = this.#network ?? this.#readNetwork();
    const before = this.#settings;
    const { externalInterfaces, serviceNetworks } = intent;
    this.#settings = instanceSettings(
      externalInterfaces,
      serviceNetworks.map((network) => network.interface),
    );
    let settings = 0;
    for (const [key, value] of this.#settings) {
      if (settled.has(key)) continue;
      const made = this.#sysctl(key, value, failures);
      if (made !== "failed") settled.add(key);
      if (made === "made" && (this.#unsettled.has(key) || before.some(([known]) => known === key))) settings++;
    }
    this.#unsettled.clear();
    if (tracksConnections(intent)) {
      for (const [key, value] of trackingSettings()) {
        // In a pod they were made before, or cannot be.
        if (!settled.has(key)) this.#sysctl(key, value, []);
        settled.add(key);
      }
    }

    const wanted = {
      routes: routingRoutes(intent, devices).map(canonicalRoute),
      rules: routingRules(intent),
      addresses: vipAddresses(intent.vips, devices.loopback),
    };
    const routes = planRoutes(wanted.routes, this.#ownRoutes());
    const rules = planRules(wanted.rules, listRules(this.#netlink, { protocol: ROUTE_PROTOCOL }));
    const addresses = planAddresses(
      wanted.addresses,
      listAddresses(this.#netlink, { ifindex: devices.loopback }).filter((a) => a.protocol === ROUTE_PROTOCOL),
    );
    collect(applyRoutes(this.#netlink, { ...routes, delete: [] }));
    collect(applyRules(this.#netlink, rules));
    this.#moveLocalRule(failures);
    collect(applyAddresses(this.#netlink, addresses));
    collect(applyRoutes(this.#netlink, { add: [], replace: [], delete: routes.delete }));
    const changes = [routes, rules, addresses].map((p) => p.add.length + p.replace.length + p.delete.length);
    const repaired = {
      routes: putBack(routes, this.#placed?.routes, routeText),
      rules: putBack(rules, this.#placed?.rules, ruleText),
      addresses: putBack(addresses, this.#placed?.addresses, addressKey),
      settings,
    };
    this.#placed = wanted;
    return { changes: changes.reduce((a, b) => a + b), repaired, refused: failures };
  }

  /** Ours but for the return table, which is the frontend's. */
  #ownRoutes(): readonly CanonicalRoute[] {
    return listRoutes(this.#netlink, { protocol: ROUTE_PROTOCOL }).filter((route) => route.table !== RETURN_TABLE);
  }

  #sysctl(key: string, value: string, failures: Error[]): "right" | "made" | "failed" {
    try {
      if (readSysctl(this.#netns, key) === value) return "right";
      writeSysctl(this.#netns, key, value);
      return "made";
    } catch (error) {
      if (!(error instanceof Error)) throw error;
      // An interface that is not there yet has no settings; the next look finds it.
      if (!(error instanceof KernelNotFoundError)) failures.push(error);
      return "failed";
    }
  }

  /** The kernel looks up local addresses first; ours must come before, so that marked packets to VIPs are forwarded. */
  #moveLocalRule(failures: Error[]): void {
    for (const rule of listRules(this.#netlink)) {
      const isFirst = rule.priority === 0 && rule.action.kind === "lookup" && rule.action.table === LOCAL_TABLE;
      if (!isFirst) continue;
      try {
        deleteRule(this.#netlink, rule);
      } catch (error) {
        if (!(error instanceof Error)) throw error;
        failures.push(error);
      }
    }
  }

  /**
   * Brings nftables tables to the wanted state. On failure nothing of the failed transaction is in force, and the tables
   * are listed anew before the next attempt.
   * @returns the number of transactions.
   * @throws NftError
   */
  applyTables(tables: readonly TableState[]): number {
    return this.#tables.apply(tables);
  }

  /** Packets and bytes by counter name, both tables added up. */
  counters(): ReadonlyMap<string, { readonly packets: number; readonly bytes: number }> {
    const sums = new Map<string, { packets: number; bytes: number }>();
    for (const family of ["netdev", "inet"] as const) {
      for (const object of listCounters(this.#netfilter, family, TABLE)) {
        const known = sums.get(object.name) ?? { packets: 0, bytes: 0 };
        sums.set(object.name, { packets: known.packets + object.packets, bytes: known.bytes + object.bytes });
      }
    }
    return sums;
  }

  /** The leg of a connection that is tracked. */
  trackedAt(tuple: TrackedTuple): LegId | undefined {
    return trackedMark(this.#netfilter, tuple);
  }

  /** How many connections to the VIPs are tracked, by leg. Takes a time in proportion. */
  trackedLegs({ vips }: Intent): ReadonlyMap<LegId, number> {
    return trackedMarks(this.#netfilter, new Set(vips));
  }

  /** Forgets the connections of legs. */
  forgetTracked(legs: readonly LegId[]): void {
    forgetTracked(this.#netfilter, legs);
  }

  /** The tables that flows under way are looked up in; none when the kernel has nothing of ours. */
  flowsInForce(): FlowsInForce | undefined {
    try {
      return flowsInForce({ nftables: this.#nft.list({ table: { family: "netdev", name: TABLE } }) });
    } catch (error) {
      if (error instanceof NftNotFoundError) return undefined;
      throw error;
    }
  }
}
