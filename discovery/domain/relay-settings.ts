import type { DiscoveryDomain } from "#shared/api/discovery-domain.ts";
import { cidrSpan, type Ip } from "#shared/net/ip.ts";
import { interfacesOf, type LocalInterface } from "../network-interfaces.ts";
import type { RelaySettings } from "../relay/relay.ts";
import type { OwnAddress } from "../sockets/plan-sockets.ts";

/** Where the node agent puts VIPs. */
const LOOPBACK = "lo";

/** The domain ids that an object names. */
export function domainsOf({ spec }: DiscoveryDomain): ReadonlySet<number> {
  return new Set(
    spec.domains.flatMap(({ from, to }) => Array.from({ length: to - from + 1 }, (_, index) => from + index)),
  );
}

/** The relay's addresses on the object's networks, and the VIPs that it has as a target of a Gateway in DSR mode. */
export function ownAddresses({ spec }: DiscoveryDomain, interfaces: readonly LocalInterface[]): readonly OwnAddress[] {
  return interfaces.flatMap(({ name, addresses }) => {
    const isVip = name === LOOPBACK;
    if (!isVip && !spec.networks.some(({ interface: device }) => device === name)) return [];
    return addresses.flatMap(({ address, prefix }) =>
      isOfHost(address) ? [] : [{ address, span: cidrSpan(prefix), isVip }],
    );
  });
}

/** 127.0.0.0/8 and ::1: of every host. */
function isOfHost(address: Ip): boolean {
  return address === "::1" || address.startsWith("127.");
}

/** What an object asks of a relay that has these interfaces. */
export function relaySettings(object: DiscoveryDomain, interfaces: readonly LocalInterface[]): RelaySettings {
  const { allowedSources, limits, refreshSeconds, resends, sisters, tags } = object.spec;
  const own = new Set(interfaces.flatMap(({ addresses }) => addresses.map(({ address }) => address)));
  return {
    served: {
      domains: domainsOf(object),
      tags: tags === undefined ? undefined : new Set(tags),
      participants: limits.participants,
      participantsPerAddress: limits.participantsPerAddress,
      announcementOctets: limits.announcementOctets,
    },
    rates: limits,
    introductions: { resends, refreshMs: refreshSeconds * 1000 },
    networks: interfacesOf(object, interfaces),
    allowedSources,
    sisters: new Set(sisters.filter((sister) => !own.has(sister))),
  };
}
