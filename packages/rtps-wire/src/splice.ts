import { ByteReader, byteAt } from "./byte-reader.ts";
import { ByteWriter } from "./byte-writer.ts";
import { readParameters } from "./encapsulation.ts";
import { RtpsBuildError } from "./errors.ts";
import { type GuidPrefix, writeGuidPrefix } from "./guid.ts";
import { LOCATOR_LENGTH, type Locator, locatorBytes, readLocator } from "./locator.ts";
import { knownAs, PARAMETER_ID } from "./parameter-ids.ts";
import { HEADER_LENGTH, parseHeader } from "./parse-message.ts";
import { type Data, type Placed, SUBMESSAGE_ID } from "./submessage.ts";

/*
 * Changes to a datagram that leave every other octet as it was, signatures of vendors and unknown submessages included.
 */

/** An INFO_DST submessage, little-endian: 16 octets. */
export function infoDestinationBytes(guidPrefix: GuidPrefix): Uint8Array<ArrayBuffer> {
  const writer = new ByteWriter(true);
  writer.u8(SUBMESSAGE_ID.infoDst, "id");
  writer.u8(1, "flags");
  writer.u16(12, "octetsToNextHeader");
  writeGuidPrefix(writer, guidPrefix, "guidPrefix");
  return writer.finish();
}

/**
 * The same message with an INFO_DST in front: views over `datagram` around 16 new octets, as `dgram`'s `send` takes them.
 * An INFO_DST that the message already has comes later and prevails. A message with a header extension (RTPS 2.5) holds its
 * own length or checksum: it is refused with an `RtpsBuildError`; what is no message at all, with an `RtpsParseError`.
 */
export function withDestination(datagram: Uint8Array, guidPrefix: GuidPrefix): readonly Uint8Array[] {
  parseHeader(datagram);
  if (datagram.length > HEADER_LENGTH && byteAt(datagram, HEADER_LENGTH) === SUBMESSAGE_ID.headerExtension) {
    throw new RtpsBuildError("datagram", "a header extension would not match the message any more");
  }
  return [datagram.subarray(0, HEADER_LENGTH), infoDestinationBytes(guidPrefix), datagram.subarray(HEADER_LENGTH)];
}

/** A locator in a datagram: 24 octets from `offset` on. */
export type LocatorPlace = {
  readonly parameterId: number;
  readonly offset: number;
  readonly littleEndian: boolean;
  readonly locator: Locator;
};

const LOCATOR_PARAMETERS: ReadonlySet<number> = new Set([
  PARAMETER_ID.unicastLocator,
  PARAMETER_ID.multicastLocator,
  PARAMETER_ID.defaultUnicastLocator,
  PARAMETER_ID.defaultMulticastLocator,
  PARAMETER_ID.metatrafficUnicastLocator,
  PARAMETER_ID.metatrafficMulticastLocator,
]);

/**
 * Where the locators of a discovery sample lie in its datagram. Throws an `RtpsParseError` for a payload that is no
 * parameter list, with an offset in that payload.
 */
export function locatorPlaces({ payload, end }: Data & Placed): LocatorPlace[] {
  const places: LocatorPlace[] = [];
  const list = readParameters(payload);
  const start = end - payload.length;
  for (const cursor = list.cursor(); cursor.next(); ) {
    if (!LOCATOR_PARAMETERS.has(knownAs(cursor.id))) continue;
    const reader = new ByteReader(payload, cursor.start, cursor.end, list.littleEndian);
    const locator = readLocator(reader, "locator");
    const { littleEndian } = list;
    places.push({ parameterId: knownAs(cursor.id), offset: start + cursor.start, littleEndian, locator });
  }
  return places;
}

/** Writes another locator to a place, into `datagram` itself: hand in a copy if others hold views over it. */
export function patchLocator(datagram: Uint8Array, { offset, littleEndian }: LocatorPlace, locator: Locator): void {
  if (!(offset >= HEADER_LENGTH && offset + LOCATOR_LENGTH <= datagram.length)) {
    throw new RtpsBuildError("offset", `${offset} is no place of a locator in ${datagram.length} octets`);
  }
  datagram.set(locatorBytes(locator, littleEndian), offset);
}
