import {
  buildMessage,
  buildParticipantData,
  buildParticipantDispose,
  ENTITY_ID,
  type Header,
  type Locator,
  type ParticipantData,
} from "rtps-wire";
import { type Announcement, type Departure, readDatagram } from "./announcement.ts";

/** What participants say, for tests. */

export const prefixOf = (number: number): string => `0110${number.toString(16).padStart(20, "0")}`;

export function headerOf(number: number): Header {
  return { version: { major: 2, minor: 3 }, vendorId: 0x0110, guidPrefix: prefixOf(number) };
}

export function locatorOf(address: string, port = 7410): Locator {
  return { kind: address.includes(":") ? "udpv6" : "udpv4", address, port };
}

export interface SaidOptions extends Partial<ParticipantData> {
  readonly address?: string;
  readonly port?: number;
  readonly sn?: bigint;
  /** As Fast DDS does. */
  readonly withoutDomainId?: boolean;
}

/** The announcement of participant `number`. */
export function announcementOf(number: number, options: SaidOptions = {}): Uint8Array {
  const { address = `192.0.2.${number}`, port, sn = 1n, withoutDomainId = false, ...data } = options;
  return buildMessage(headerOf(number), [
    { kind: "info-ts", timestamp: { seconds: 1, fraction: 2 } },
    {
      kind: "data",
      readerId: ENTITY_ID.unknown,
      writerId: ENTITY_ID.spdpWriter,
      writerSn: sn,
      payloadKind: "data",
      nonStandardPayload: false,
      payload: buildParticipantData({
        guid: { prefix: prefixOf(number), entityId: ENTITY_ID.participant },
        ...(withoutDomainId ? {} : { domainId: 0 }),
        leaseDuration: { seconds: 10, fraction: 0 },
        metatrafficUnicast: [locatorOf(address, port)],
        metatrafficMulticast: [],
        defaultUnicast: [locatorOf(address)],
        defaultMulticast: [],
        properties: [],
        ...data,
      }),
    },
  ]);
}

export function disposeOf(number: number, sn = 2n): Uint8Array {
  return buildParticipantDispose(headerOf(number), sn);
}

export function said(datagram: Uint8Array): Announcement {
  const read = readDatagram(datagram);
  if (read.kind !== "announcement") throw new Error(`read as ${JSON.stringify(read)}`);
  return read;
}

export function left(datagram: Uint8Array): Departure {
  const read = readDatagram(datagram);
  if (read.kind !== "departure") throw new Error(`read as ${JSON.stringify(read)}`);
  return read;
}
