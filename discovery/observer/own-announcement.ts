import {
  BUILTIN_ENDPOINT,
  buildParticipantData,
  buildParticipantDispose,
  type Data,
  durationFromMs,
  ENTITY_ID,
  type GuidPrefix,
  type Header,
  type Locator,
} from "rtps-wire";
import type { UdpAddress } from "./observed-participant.ts";

/** What an observer has of the built-in endpoints (0x2b): it hears of writers and readers, and has none of its own to tell of. */
const READER_ONLY =
  BUILTIN_ENDPOINT.spdpWriter |
  BUILTIN_ENDPOINT.spdpReader |
  BUILTIN_ENDPOINT.publicationsReader |
  BUILTIN_ENDPOINT.subscriptionsReader;

/** So long after the last word of an observer that was killed, peers forget it. */
export const OWN_LEASE_MS = 60_000;

/** RTPS 9.3.1.2: no vendor. */
const VENDOR_UNKNOWN = 0;
/** The first announcement is the only one: what it says does not change. */
const ANNOUNCEMENT_SN = 1n;

export function ownHeader(guidPrefix: GuidPrefix): Header {
  return { version: { major: 2, minor: 3 }, vendorId: VENDOR_UNKNOWN, guidPrefix };
}

/** The SPDP sample of an observer that is reached at `own`. */
export function ownAnnouncement(header: Header, domainId: number, domainTag: string, own: UdpAddress): Data {
  const locator: Locator = { kind: own.address.includes(":") ? "udpv6" : "udpv4", ...own };
  const payload = buildParticipantData({
    guid: { prefix: header.guidPrefix, entityId: ENTITY_ID.participant },
    protocolVersion: header.version,
    vendorId: header.vendorId,
    domainId,
    ...(domainTag !== "" && { domainTag }),
    leaseDuration: durationFromMs(OWN_LEASE_MS),
    metatrafficUnicast: [locator],
    metatrafficMulticast: [],
    defaultUnicast: [locator],
    defaultMulticast: [],
    builtinEndpoints: READER_ONLY,
    entityName: "causeway-observer",
    properties: [],
  });
  return {
    kind: "data",
    readerId: ENTITY_ID.spdpReader,
    writerId: ENTITY_ID.spdpWriter,
    writerSn: ANNOUNCEMENT_SN,
    payloadKind: "data",
    payload,
    nonStandardPayload: false,
  };
}

/** Says that the observer is gone. */
export function ownDispose(header: Header): Uint8Array {
  return buildParticipantDispose(header, ANNOUNCEMENT_SN + 1n);
}
