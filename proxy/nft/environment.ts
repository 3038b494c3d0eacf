import type { Family, Ip } from "#shared/net/ip.ts";

/** What the ruleset needs to know of the instance's own network namespace. */
export interface Environment {
  /** Interfaces that are there, by name. */
  readonly interfaces: ReadonlyMap<string, { readonly mtu: number }>;
  /** Addresses on the service networks' interfaces, link-local ones aside: what targets send to them is for the instance. */
  readonly own: readonly Ip[];
  /** Next hop towards a target's address where it is not on the link, by address. */
  readonly nextHops: ReadonlyMap<string, Ip>;
  /**
   * Routers that replies may be handed to without a route lookup, by family; empty where the lookup is needed (none or
   * more than a default route known).
   */
  readonly returnVia: Readonly<Record<Family, readonly { readonly interface: string; readonly nextHop: Ip }[]>>;
}

/** Smallest MTU of some interfaces that are there; undefined when none is. */
export function smallestMtu(environment: Environment, interfaces: readonly string[]): number | undefined {
  const mtus = interfaces.flatMap((name) => environment.interfaces.get(name)?.mtu ?? []);
  return mtus.length === 0 ? undefined : Math.min(...mtus);
}

/** Largest MTU of some interfaces that are there; 0 when none is. */
export function largestMtu(environment: Environment, interfaces: readonly string[]): number {
  return Math.max(0, ...interfaces.flatMap((name) => environment.interfaces.get(name)?.mtu ?? []));
}
