import { digest } from "#shared/balance/stable-hash.ts";
import { ROUTE_PROTOCOL } from "#shared/instance/marks.ts";
import { linkSettings } from "#shared/instance/neighbour-settings.ts";
import type { Route } from "#shared/kernel/routes.ts";
import type { Rule } from "#shared/kernel/rules.ts";
import { bitsOf, FAMILIES, type Family, type Ip } from "#shared/net/ip.ts";
import type { PodNetwork, ReturnHop, ReturnPath } from "./desired-pod-network.ts";

/*
 * What a pod's network becomes in the kernel. All of it carries ROUTE_PROTOCOL, and stands where nothing else of ours
 * does: routes in tables 0x63770000 to 0x6377ffff, rules at two priorities before the main table's.
 */

const FIRST_TABLE = 0x63770000;
const TABLES = 0x10000;
const MAIN_TABLE = 254;
/** NAT: routes of the pod that are more than a default come first, so that its on-link traffic stays as it is. */
const SPECIFIC_PRIORITY = 7700;
const RETURN_PRIORITY = 7701;

export function isOurTable(table: number): boolean {
  return table >= FIRST_TABLE && table < FIRST_TABLE + TABLES;
}

export function isOurPriority(priority: number): boolean {
  return priority === SPECIFIC_PRIORITY || priority === RETURN_PRIORITY;
}

/** Table numbers from the paths' keys, the same after every restart; keys that collide are told apart in their order. */
export function tableIds(keys: readonly string[]): ReadonlyMap<string, number> {
  const ids = new Map<string, number>();
  const taken = new Set<number>();
  for (const key of [...keys].sort()) {
    for (let attempt = 0; !ids.has(key); attempt++) {
      const id = FIRST_TABLE + digest(`return path ${attempt} ${key}`).readUInt16BE(0);
      if (taken.has(id)) continue;
      taken.add(id);
      ids.set(key, id);
    }
  }
  return ids;
}

function rule(family: Family, priority: number, source: Ip, table: number): Rule {
  const lookup = { kind: "lookup", table } as const;
  return { family, priority, from: `${source}/${bitsOf(family)}`, action: lookup, protocol: ROUTE_PROTOCOL };
}

function pathRules(path: ReturnPath, table: number): Rule[] {
  return FAMILIES.flatMap((family) =>
    (path.families[family]?.sources ?? []).flatMap((source) => [
      ...(path.mode === "NAT"
        ? [{ ...rule(family, SPECIFIC_PRIORITY, source, MAIN_TABLE), suppressPrefixLength: 0 }]
        : []),
      rule(family, RETURN_PRIORITY, source, table),
    ]),
  );
}

export function podRules({ paths }: PodNetwork): readonly Rule[] {
  const ids = tableIds(paths.map((path) => path.key));
  return paths.flatMap((path) => pathRules(path, ids.get(path.key) ?? FIRST_TABLE));
}

export interface PodRoutes {
  readonly routes: readonly Route[];
  /** Tables and families for which no instance is live: what is there stays, a dead end would be worse. */
  readonly kept: readonly { readonly table: number; readonly family: Family; readonly path: ReturnPath }[];
}

/**
 * Default routes over the live instances. Next hops on an interface that is not there are left out.
 * @param ifindex of an interface's name.
 */
export function podRoutes({ paths }: PodNetwork, ifindex: (name: string) => number | undefined): PodRoutes {
  const ids = tableIds(paths.map((path) => path.key));
  const routes: Route[] = [];
  const kept: PodRoutes["kept"][number][] = [];
  for (const path of paths) {
    const table = ids.get(path.key) ?? FIRST_TABLE;
    for (const family of FAMILIES) {
      const hops: readonly ReturnHop[] | undefined = path.families[family]?.nextHops;
      if (hops === undefined) continue;
      if (hops.length === 0) kept.push({ table, family, path });
      const nextHops = hops.flatMap((hop) => {
        const index = ifindex(hop.interface);
        return index === undefined ? [] : [{ gateway: hop.address, ifindex: index, onlink: true }];
      });
      const destination = family === 4 ? "0.0.0.0/0" : "::/0";
      if (nextHops.length > 0) routes.push({ table, destination, nextHops, protocol: ROUTE_PROTOCOL });
      // What a VIP answers an instance itself (it asks whether the pod has the VIP) goes there, and over no other.
      if (path.mode === "DSR") routes.push(...ownRoutes(table, family, nextHops));
    }
  }
  return { routes, kept };
}

function ownRoutes(
  table: number,
  family: Family,
  hops: readonly { readonly gateway: Ip; readonly ifindex: number }[],
): Route[] {
  const first = new Map(hops.map((hop) => [hop.gateway, hop]));
  return [...first.values()].map(({ gateway, ifindex }) => ({
    table,
    destination: `${gateway}/${bitsOf(family)}`,
    nextHops: [{ ifindex }],
    protocol: ROUTE_PROTOCOL,
  }));
}

/** A setting that must be one of `accepted`, and is made `value` where it is not. */
export interface WantedSysctl {
  readonly key: string;
  readonly value: string;
  readonly accepts: (current: string) => boolean;
}

/**
 * Settings of the interfaces on which replies leave.
 * @param rpFilterOfAll the value of net/ipv4/conf/all/rp_filter: the kernel takes the larger of it and the interface's.
 */
export function podSysctls({ paths }: PodNetwork, rpFilterOfAll: string): readonly WantedSysctl[] {
  const wanted = new Map<string, WantedSysctl>();
  const want = (
    key: string,
    value: string,
    accepts: WantedSysctl["accepts"] = (current) => current === value,
  ): void => {
    wanted.set(key, { key, value, accepts });
  };
  for (const { mode, interfaces } of paths) {
    for (const name of interfaces) {
      const conf = `net/ipv4/conf/${name}`;
      // Strict: requests come back where no route to the client points. 2 (loose) outdoes a strict "all".
      want(`${conf}/rp_filter`, "2", (current) => Math.max(Number(current), Number(rpFilterOfAll)) !== 1);
      for (const [key, value] of linkSettings(name)) want(key, value);
      if (mode === "NAT") continue;
      // A reply's source is the VIP; an ARP request that names it as sender is dropped by the gateway as a martian.
      want(`${conf}/arp_announce`, "2");
      // The VIP is everybody's on this link: nobody answers for it.
      want(`${conf}/arp_ignore`, "1", (current) => ["1", "2", "8"].includes(current));
    }
  }
  return [...wanted.values()];
}
