import type { DiscoveryDomain } from "#shared/api/discovery-domain.ts";
import { interfacesOf, type LocalInterface } from "../network-interfaces.ts";
import type { RelaySettings } from "../relay/relay.ts";

/** The domain ids that an object names. */
export function domainsOf({ spec }: DiscoveryDomain): ReadonlySet<number> {
  return new Set(
    spec.domains.flatMap(({ from, to }) => Array.from({ length: to - from + 1 }, (_, index) => from + index)),
  );
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
