import {
  GUARD_TABLE,
  ICMP_MARK,
  ICMP_TABLE,
  RETURN_MARK,
  RETURN_TABLE,
  ROUTE_PROTOCOL,
} from "#shared/instance/marks.ts";
import type { Route } from "#shared/kernel/routes.ts";
import type { Rule } from "#shared/kernel/rules.ts";
import { FAMILIES, type Family, familyOf, type Ip } from "#shared/net/ip.ts";
import type { Intent, Leg } from "#shared/resolve/intent-types.ts";
import { isPrimary } from "#shared/resolve/primary-network.ts";

/** The kernel's own table of local addresses. */
export const LOCAL_TABLE = 255;
/** Where the lookup of local addresses stands once ours come before it: packets to VIPs are routed by mark first. */
const LOCAL_PRIORITY = 1000;
const UNMARKED_PRIORITY = 100;
const RETURN_PRIORITY = 101;
const ICMP_PRIORITY = 103;
const LEG_PRIORITY = 200;
const GUARD_PRIORITY = 990;
/** IANA's numbers of TCP, UDP and SCTP. */
const BALANCED = [6, 17, 132];
/** After the main table and the default one (32766, 32767). */
const OWN_PRIORITY = 32_800;
/** Rules are looked at one by one: above this number of legs, a first rule narrows the search to a 64th. */
const LINEAR_LEGS = 64;
const BUCKET_MASK = 0x3f;

/** What the slow path needs to know of one interface. */
export interface RoutingDevices {
  readonly loopback: number;
  /** Interface index by name, for those that are there. */
  readonly ifindex: ReadonlyMap<string, number>;
  /** Next hop of a target's address where it is not on the link. */
  readonly nextHops: ReadonlyMap<string, Ip>;
}

function rule(
  family: Family,
  priority: number,
  fwmark: number | undefined,
  action: Rule["action"],
  fwmask?: number,
): Rule {
  return {
    family,
    priority,
    action,
    protocol: ROUTE_PROTOCOL,
    ...(fwmark === undefined ? {} : { fwmark, fwmask: fwmask ?? 0xffffffff }),
  };
}

function legRules(family: Family, legs: readonly Leg[]): Rule[] {
  const lookup = (leg: Leg, priority: number): Rule =>
    rule(family, priority, leg.id, { kind: "lookup", table: leg.id });
  if (legs.length <= LINEAR_LEGS) return legs.map((leg) => lookup(leg, LEG_PRIORITY));
  const buckets = new Set(legs.map((leg) => leg.id & BUCKET_MASK));
  const priorityOf = (bucket: number): number => LEG_PRIORITY + 1 + bucket;
  return [
    ...[...buckets].map((bucket) =>
      rule(family, LEG_PRIORITY, bucket, { kind: "goto", priority: priorityOf(bucket) }, BUCKET_MASK),
    ),
    ...legs.map((leg) => lookup(leg, priorityOf(leg.id & BUCKET_MASK))),
  ];
}

/** Routing rules: unmarked packets pass all of ours in one step; marked ones find their table. */
export function routingRules(intent: Intent): readonly Rule[] {
  return FAMILIES.flatMap((family) => [
    rule(family, UNMARKED_PRIORITY, 0, { kind: "goto", priority: GUARD_PRIORITY }),
    rule(family, RETURN_PRIORITY, RETURN_MARK, { kind: "lookup", table: RETURN_TABLE }),
    // Replies never leave by the management network's default route: no router, no reply.
    rule(family, RETURN_PRIORITY + 1, RETURN_MARK, { kind: "unreachable" }),
    ...(intent.mode === "NAT" ? [rule(family, ICMP_PRIORITY, ICMP_MARK, { kind: "lookup", table: ICMP_TABLE })] : []),
    ...legRules(
      family,
      // Packets to the primary network have their target's address by then, and the main table knows the way.
      [...intent.legs.values()].filter((leg) => leg.addresses[family] !== undefined && !isPrimary(leg)),
    ),
    // While somebody's `nft flush ruleset` is not repaired yet, clients are to send again, not to be reset by this host.
    ...intent.externalInterfaces.flatMap((iif) =>
      BALANCED.map((ipProtocol) => ({
        ...rule(family, GUARD_PRIORITY, undefined, { kind: "lookup", table: GUARD_TABLE }),
        ipProtocol,
        iif,
      })),
    ),
    rule(family, LOCAL_PRIORITY, undefined, { kind: "lookup", table: LOCAL_TABLE }),
    // What the stack sends itself (echo replies, ICMP errors) is marked as a reply only after a first route lookup. Where
    // no other network has a default route, that one must not fail.
    { ...rule(family, OWN_PRIORITY, undefined, { kind: "lookup", table: RETURN_TABLE }), iif: "lo" },
  ]);
}

/** One table a leg with one route: the packet keeps its destination (the VIP) and goes to the target's neighbour. */
export function routingRoutes(intent: Intent, devices: RoutingDevices): readonly Route[] {
  const routes: Route[] = [];
  for (const leg of intent.legs.values()) {
    const ifindex = devices.ifindex.get(leg.interface);
    if (ifindex === undefined) continue;
    for (const family of FAMILIES) {
      const address = leg.addresses[family];
      if (address === undefined) continue;
      routes.push({
        table: leg.id,
        destination: family === 4 ? "0.0.0.0/0" : "::/0",
        nextHops: [{ gateway: devices.nextHops.get(address) ?? address, ifindex, onlink: true }],
        protocol: ROUTE_PROTOCOL,
      });
    }
  }
  for (const vip of intent.vips) {
    const destination = `${vip}/${familyOf(vip) === 4 ? 32 : 128}`;
    routes.push({ table: GUARD_TABLE, type: "blackhole", destination, nextHops: [], protocol: ROUTE_PROTOCOL });
  }
  if (intent.mode === "NAT") {
    for (const family of FAMILIES) {
      routes.push({
        table: ICMP_TABLE,
        type: "local",
        destination: family === 4 ? "0.0.0.0/0" : "::/0",
        nextHops: [{ ifindex: devices.loopback }],
        protocol: ROUTE_PROTOCOL,
      });
    }
  }
  return routes;
}
