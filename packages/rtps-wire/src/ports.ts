import { RtpsBuildError } from "./errors.ts";

/*
 * RTPS 9.6.2.3 with the default PB 7400, DG 250, PG 2 and the offsets 0, 10, 1 and 11.
 */

/** The highest domain whose multicast port is a port. */
export const MAX_DOMAIN_ID = 232;

/** A participant with a higher number would be at the next domain's ports. */
const MAX_PARTICIPANT_INDEX = 119;

/** Where participants of a domain send announcements by multicast. */
export const SPDP_MULTICAST_IPV4 = "239.255.0.1";

export type Ports = {
  readonly metatrafficMulticast: number;
  readonly metatrafficUnicast: number;
  readonly userMulticast: number;
  readonly userUnicast: number;
};

/** The well-known ports of a domain and of its participant number `participantIndex` on one machine. */
export function portsOf(domainId: number, participantIndex = 0): Ports {
  if (!Number.isInteger(domainId) || domainId < 0 || domainId > MAX_DOMAIN_ID) {
    throw new RtpsBuildError("domainId", `${domainId} is not an integer from 0 to ${MAX_DOMAIN_ID}`);
  }
  const base = 7400 + 250 * domainId;
  const largest = Math.min(MAX_PARTICIPANT_INDEX, Math.floor((65_535 - base - 11) / 2));
  if (!Number.isInteger(participantIndex) || participantIndex < 0 || participantIndex > largest) {
    throw new RtpsBuildError("participantIndex", `${participantIndex} is not an integer from 0 to ${largest}`);
  }
  return {
    metatrafficMulticast: base,
    metatrafficUnicast: base + 10 + 2 * participantIndex,
    userMulticast: base + 1,
    userUnicast: base + 11 + 2 * participantIndex,
  };
}

/** The domain that a well-known port belongs to; undefined below 7400 and above domain 232. */
export function domainOfPort(port: number): number | undefined {
  const domainId = Math.floor((port - 7400) / 250);
  return domainId >= 0 && domainId <= MAX_DOMAIN_ID ? domainId : undefined;
}
