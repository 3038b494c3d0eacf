import { bigIntToIp, type Cidr, cidr, cidrContains, cidrSpan, type Ip } from "#shared/net/ip.ts";
import type { LearnedPath, PrefixRule } from "./bgp-speaker.ts";
import { type DesiredState, defaultRoute } from "./desired-state.ts";
import type { ExternalInterface } from "./external-interface.ts";

interface NextHop {
  readonly via: Ip;
  readonly device: string;
}

/** A route of the return table: replies to `prefix` are spread over the next hops. */
export interface ReturnRoute {
  readonly prefix: Cidr;
  /** In canonical order; never empty. */
  readonly nextHops: readonly NextHop[];
}

/** The kernel's return table, as far as it is ours. */
export interface ReturnRoutes {
  list(): Promise<readonly ReturnRoute[]>;
  /** Replaces the route of that prefix in one step, or adds it. */
  replace(route: ReturnRoute): Promise<void>;
  /** Removing what is not there succeeds. */
  remove(prefix: Cidr): Promise<void>;
}

export type RouteChange =
  | { readonly type: "replace"; readonly route: ReturnRoute }
  | { readonly type: "remove"; readonly prefix: Cidr };

/** Whether the rules let a prefix in. */
export function allows(rules: readonly PrefixRule[], prefix: Cidr): boolean {
  const { family, first, length } = cidrSpan(prefix);
  const address = bigIntToIp(first, family);
  return rules.some(
    (rule) => length >= rule.minLength && length <= rule.maxLength && cidrContains(rule.prefix, address),
  );
}

/**
 * The routes that replies need: each prefix over all routers that announced it, and the defaults of static routers. The
 * import rules are held here again, so that a daemon without its policies cannot place a route.
 */
export function desiredRoutes(
  desired: DesiredState,
  interfaces: readonly ExternalInterface[],
  learned: readonly LearnedPath[],
): ReturnRoute[] {
  const hops = new Map<Cidr, Map<string, NextHop>>();
  const add = (prefix: Cidr, hop: NextHop): void => {
    const known = hops.get(prefix) ?? new Map<string, NextHop>();
    hops.set(prefix, known.set(hopKey(hop), hop));
  };
  for (const peer of desired.peers) {
    if (peer.type === "static") {
      for (const family of peer.families) add(defaultRoute(family), { via: peer.address, device: peer.interface });
    } else if (peer.type === "session") {
      for (const path of learned) {
        const hop = { via: path.nextHop, device: peer.interface };
        const ofPeer = path.peer === peer.session.address && allows(peer.policy.import, path.prefix);
        // The kernel refuses a whole ECMP route for one next hop that is not on the link.
        if (ofPeer && isOnLink(interfaces, hop)) add(path.prefix, hop);
      }
    }
  }
  return [...hops].map(([prefix, byKey]) => ({ prefix, nextHops: inOrder(byKey) })).toSorted(byPrefix);
}

/**
 * While sessions come up after a start, what an earlier run left is still the best knowledge there is of the routers
 * that have not spoken yet: their next hops stay beside the new ones.
 */
export function holding(
  wanted: readonly ReturnRoute[],
  present: readonly ReturnRoute[],
  hasSpoken: (router: Ip) => boolean,
): ReturnRoute[] {
  const hops = new Map<Cidr, Map<string, NextHop>>();
  const add = (prefix: Cidr, nextHops: readonly NextHop[]): void => {
    if (nextHops.length === 0) return;
    const known = hops.get(prefix) ?? new Map<string, NextHop>();
    for (const hop of nextHops) known.set(hopKey(hop), hop);
    hops.set(prefix, known);
  };
  for (const { prefix, nextHops } of wanted) add(prefix, nextHops);
  for (const { prefix, nextHops } of present) {
    add(
      prefix,
      nextHops.filter((hop) => !hasSpoken(hop.via)),
    );
  }
  return [...hops].map(([prefix, byKey]) => ({ prefix, nextHops: inOrder(byKey) })).toSorted(byPrefix);
}

/** Routes that are right already are not touched; additions come before removals. */
export function planRoutes(wanted: readonly ReturnRoute[], present: readonly ReturnRoute[]): RouteChange[] {
  const before = new Map(present.map((route) => [route.prefix, key(route)]));
  const after = new Set(wanted.map((route) => route.prefix));
  return [
    ...wanted.filter((r) => before.get(r.prefix) !== key(r)).map((route): RouteChange => ({ type: "replace", route })),
    ...present
      .filter((route) => !after.has(route.prefix))
      .map((route): RouteChange => ({ type: "remove", prefix: route.prefix })),
  ];
}

const LINK_LOCAL = cidr("fe80::/10");

function isOnLink(interfaces: readonly ExternalInterface[], { device, via }: NextHop): boolean {
  if (cidrContains(LINK_LOCAL, via)) return true;
  const connected = interfaces.find((candidate) => candidate.name === device)?.addresses ?? [];
  return (
    connected.every(({ address }) => address !== via) &&
    connected.some(({ address, prefixLength }) => cidrContains(cidr(`${address}/${prefixLength}`), via))
  );
}

function hopKey(hop: NextHop): string {
  return `${hop.via}%${hop.device}`;
}

function inOrder(byKey: ReadonlyMap<string, NextHop>): NextHop[] {
  return [...byKey.entries()].toSorted(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0)).map(([, hop]) => hop);
}

function key(route: ReturnRoute): string {
  return route.nextHops.map(hopKey).toSorted().join(" ");
}

function byPrefix(a: ReturnRoute, b: ReturnRoute): number {
  return a.prefix < b.prefix ? -1 : a.prefix > b.prefix ? 1 : 0;
}
