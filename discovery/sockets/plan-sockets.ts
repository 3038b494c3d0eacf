import { portsOf, SPDP_MULTICAST_IPV4 } from "rtps-wire";
import { FAMILIES, type Family, familyOf, type Ip } from "#shared/net/ip.ts";
import type { LocalInterface } from "../network-interfaces.ts";

/** One socket: where it is bound, and the multicast groups that it joins. */
export interface WantedSocket {
  /** Differs from that of every other socket of a plan. */
  readonly key: string;
  readonly domainId: number;
  readonly family: Family;
  readonly bind: string;
  readonly port: number;
  /** A socket that is bound to a group hears that group alone, and does not send. */
  readonly sends: boolean;
  readonly groups: readonly Membership[];
}

export interface Membership {
  readonly group: string;
  /** As dgram takes it: an IPv4 address of the interface, or `::%name`. */
  readonly on: string;
}

export interface SocketsSpec {
  readonly domains: ReadonlySet<number>;
  /** Empty: all. */
  readonly listenAddresses: readonly Ip[];
  /** Interfaces on which the groups are joined. */
  readonly multicastInterfaces: readonly LocalInterface[];
  /** Families of which the relay has addresses. */
  readonly families: ReadonlySet<Family>;
}

/**
 * Where participants of a domain announce themselves by multicast: in IPv4 as RTPS 9.6.2.4 says, in IPv6 as Cyclone DDS
 * does (link scope) and Fast DDS (global scope).
 */
const GROUPS: Readonly<Record<Family, readonly string[]>> = {
  4: [SPDP_MULTICAST_IPV4],
  6: ["ff02::ffff:efff:1", "ff1e::ffff:efff:1"],
};

const WILDCARD: Readonly<Record<Family, string>> = { 4: "0.0.0.0", 6: "::" };

function memberships(family: Family, interfaces: readonly LocalInterface[]): readonly Membership[] {
  return interfaces.flatMap(({ name, addresses }) => {
    const own = addresses.find(({ address }) => familyOf(address) === family)?.address;
    if (own === undefined) return [];
    return GROUPS[family].map((group) => ({ group, on: family === 4 ? own : `::%${name}` }));
  });
}

/**
 * The sockets of all domains: one for each domain and family, where it listens everywhere; else one for each address,
 * and one for each group.
 */
export function planSockets(spec: SocketsSpec): readonly WantedSocket[] {
  return [...spec.domains].flatMap((domainId) => FAMILIES.flatMap((family) => familySockets(spec, domainId, family)));
}

function familySockets(spec: SocketsSpec, domainId: number, family: Family): readonly WantedSocket[] {
  const { listenAddresses, multicastInterfaces, families } = spec;
  if (!families.has(family)) return [];
  const port = portsOf(domainId).metatrafficMulticast;
  const joined = memberships(family, multicastInterfaces);
  const socket = (bind: string, sends: boolean, groups: readonly Membership[]): WantedSocket => ({
    key: `${bind} ${port}`,
    domainId,
    family,
    bind,
    port,
    sends,
    groups,
  });
  if (listenAddresses.length === 0) return [socket(WILDCARD[family], true, joined)];
  const own = listenAddresses.filter((address) => familyOf(address) === family);
  const groups = [...new Set(joined.map(({ group }) => group))].map((group) =>
    socket(
      group,
      false,
      joined.filter((membership) => membership.group === group),
    ),
  );
  return [...own.map((address) => socket(address, true, [])), ...groups];
}
