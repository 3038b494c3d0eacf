import type { DiscoveryDomain } from "#shared/api/discovery-domain.ts";
import type { Participant } from "../domain/participant.ts";
import type { EndpointsOf, FanOutParticipant } from "./audience.ts";
import type { FanOutDomain } from "./fan-out.ts";

function* heard(participants: Iterable<Participant>): Generator<FanOutParticipant> {
  for (const { guidPrefix, domainId, domainTag, network, data } of participants) {
    yield { guidPrefix, domainId, domainTag, network, defaultMulticast: data.defaultMulticast };
  }
}

/** What an object asks for; undefined: nothing. */
export function fanOutDomain(
  { metadata, spec }: DiscoveryDomain,
  participants: Iterable<Participant>,
  endpointsOf: EndpointsOf,
): FanOutDomain | undefined {
  const { fanOut } = spec;
  if (fanOut === undefined) return undefined;
  const served = idsOf(spec.domains);
  const chosen = fanOut.domains === undefined ? served : served.intersection(idsOf(fanOut.domains));
  const { packetsPerSecondPerPublisher, octetsPerSecond } = fanOut.limits;
  return {
    networks: spec.networks.map(({ network, interface: device }) => ({
      name: network.includes("/") ? network : `${metadata.namespace}/${network}`,
      interface: device,
    })),
    allowed: { domains: chosen, groups: fanOut.groups },
    policy: { ttl: fanOut.ttl, packetsPerSecondPerPublisher, octetsPerSecond },
    participants: heard(participants),
    endpointsOf,
  };
}

function idsOf(ranges: DiscoveryDomain["spec"]["domains"]): ReadonlySet<number> {
  return new Set(ranges.flatMap(({ from, to }) => Array.from({ length: to - from + 1 }, (_, at) => from + at)));
}
