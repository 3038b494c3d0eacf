import { portsOf, SPDP_MULTICAST_IPV4 } from "rtps-wire";
import { FAMILIES, type Family, familyOf, type Ip, type IpRange } from "#shared/net/ip.ts";
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
  /** Beside one at the wildcard address, which hears all: nothing is missed without it. */
  readonly isExtra: boolean;
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
  /** Addresses of the relay that it may have to speak from ({@link chooseVoice}). */
  readonly ownAddresses: readonly OwnAddress[];
}

/** An address of the relay on a network, or a VIP. */
export interface OwnAddress {
  readonly address: Ip;
  /** Of its prefix. */
  readonly span: IpRange;
  /** Of the loopback: behind a Gateway in DSR mode it is every relay's. */
  readonly isVip: boolean;
}

/**
 * Where participants of a domain announce themselves by multicast: in IPv4 as RTPS 9.6.2.4 says, in IPv6 as Cyclone DDS
 * does (link scope) and Fast DDS (global scope).
 */
const GROUPS: Readonly<Record<Family, readonly string[]>> = {
  4: [SPDP_MULTICAST_IPV4],
  6: ["ff02::ffff:efff:1", "ff1e::ffff:efff:1"],
};

export const WILDCARD: Readonly<Record<Family, string>> = { 4: "0.0.0.0", 6: "::" };

function memberships(family: Family, interfaces: readonly LocalInterface[]): readonly Membership[] {
  return interfaces.flatMap(({ name, addresses }) => {
    const own = addresses.find(({ address }) => familyOf(address) === family)?.address;
    if (own === undefined) return [];
    return GROUPS[family].map((group) => ({ group, on: family === 4 ? own : `::%${name}` }));
  });
}

/**
 * The sockets of all domains. Where it listens everywhere: one for each domain and family, and one for each address that
 * it may have to speak from. Else one for each address, and one for each group.
 */
export function planSockets(spec: SocketsSpec): readonly WantedSocket[] {
  return [...spec.domains].flatMap((domainId) => FAMILIES.flatMap((family) => familySockets(spec, domainId, family)));
}

function familySockets(spec: SocketsSpec, domainId: number, family: Family): readonly WantedSocket[] {
  const { listenAddresses, multicastInterfaces, families, ownAddresses } = spec;
  if (!families.has(family)) return [];
  const port = portsOf(domainId).metatrafficMulticast;
  const joined = memberships(family, multicastInterfaces);
  const socket = (
    bind: string,
    groups: readonly Membership[],
    { sends = true, isExtra = false } = {},
  ): WantedSocket => ({ key: `${bind} ${port}`, domainId, family, bind, port, sends, isExtra, groups });
  if (listenAddresses.length === 0) {
    const extra = ownAddresses.filter(({ address }) => familyOf(address) === family && !isLinkLocal(address));
    const voices = extra.map(({ address }) => socket(address, [], { isExtra: true }));
    return [socket(WILDCARD[family], joined), ...voices];
  }
  const own = listenAddresses.filter((address) => familyOf(address) === family);
  const groups = [...Map.groupBy(joined, groupAddress)].map(([bind, members]) =>
    socket(bind, members, { sends: false }),
  );
  return [...own.map((address) => socket(address, [])), ...groups];
}

/** Where a socket is bound that hears the group alone: of a group of the link the kernel wants to know which link. */
function groupAddress({ group, on }: Membership): string {
  return group.startsWith("ff02:") ? group + on.slice(on.indexOf("%")) : group;
}

/** Sockets at such an address need to know the link as well, and say nothing that the one at the wildcard would not. */
function isLinkLocal(address: Ip): boolean {
  return /^fe[89ab]/.test(address);
}
