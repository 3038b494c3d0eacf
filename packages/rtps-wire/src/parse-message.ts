import { ByteReader, byteAt, u16At, u32At } from "./byte-reader.ts";
import { RtpsParseError } from "./errors.ts";
import { hexAt, readEntityId, readGuidPrefix } from "./guid.ts";
import { readFragmentNumberSet, readSequenceNumberSet } from "./number-set.ts";
import { ParameterList } from "./parameter-list.ts";
import {
  type Data,
  type DataFrag,
  type Header,
  type InfoSource,
  SUBMESSAGE_ID,
  type Submessage,
  type SubmessageContent,
} from "./submessage.ts";
import { readTimestamp } from "./time.ts";

export const HEADER_LENGTH = 20;
const MAGIC = 0x5254_5053;
/** Discovery puts a handful into a datagram; 64 KiB of nothing but headers would be 16,000. */
const MAX_SUBMESSAGES = 1024;

export type Message = {
  readonly header: Header;
  /** All of them, or those before `fault`. */
  readonly submessages: readonly Submessage[];
  /**
   * Why the rest was not read. RTPS 8.3.4.1: an invalid submessage invalidates what follows it in the message, not what
   * came before.
   */
  readonly fault?: RtpsParseError;
};

/** Whether a datagram has the 20 octets of an RTPS 2 header: cheap, for what comes from anywhere. */
export function isRtps(datagram: Uint8Array): boolean {
  return datagram.length >= HEADER_LENGTH && u32At(datagram, 0, false) === MAGIC && byteAt(datagram, 4) === 2;
}

/**
 * The header alone. Throws an `RtpsParseError` for what is no RTPS 2 message; so are Connext's pings of 16 octets and
 * its announcements that begin with `RTPX`.
 */
export function parseHeader(datagram: Uint8Array): Header {
  if (!isRtps(datagram)) throw headerFault(datagram);
  return {
    version: { major: byteAt(datagram, 4), minor: byteAt(datagram, 5) },
    vendorId: u16At(datagram, 6, false),
    guidPrefix: hexAt(datagram, 8, 12),
  };
}

function headerFault(datagram: Uint8Array): RtpsParseError {
  if (datagram.length < HEADER_LENGTH) {
    return new RtpsParseError(datagram.length, `a message has a header of ${HEADER_LENGTH} octets`);
  }
  if (u32At(datagram, 0, false) !== MAGIC) return new RtpsParseError(0, "a message begins with RTPS");
  return new RtpsParseError(4, `version ${byteAt(datagram, 4)} is not 2`);
}

/**
 * Reads a whole message. Payloads, parameter lists and unknown contents are views over `datagram`: keep it unchanged
 * as long as they are used. Throws as `parseHeader` does, and for nothing else: see `fault`.
 */
export function parseMessage(datagram: Uint8Array): Message {
  const header = parseHeader(datagram);
  const submessages: Submessage[] = [];
  try {
    for (let offset = HEADER_LENGTH; offset < datagram.length; ) {
      if (submessages.length === MAX_SUBMESSAGES) {
        throw new RtpsParseError(offset, `more than ${MAX_SUBMESSAGES} submessages`);
      }
      const submessage = parseSubmessage(datagram, offset);
      submessages.push(submessage);
      offset = submessage.end;
    }
  } catch (error) {
    if (!(error instanceof RtpsParseError)) throw error;
    return { header, submessages, fault: error };
  }
  return { header, submessages };
}

function parseSubmessage(datagram: Uint8Array, offset: number): Submessage {
  const available = datagram.length - offset - 4;
  if (available < 0) throw new RtpsParseError(offset, "a submessage has a header of 4 octets");
  const id = byteAt(datagram, offset);
  const flags = byteAt(datagram, offset + 1);
  const littleEndian = (flags & 1) !== 0;
  const written = u16At(datagram, offset + 2, littleEndian);
  // RTPS 9.4.5.1.3: 0 is "to the end of the message", but for the two that may be empty.
  const isToEnd = written === 0 && id !== SUBMESSAGE_ID.pad && id !== SUBMESSAGE_ID.infoTs;
  const length = isToEnd ? available : written;
  if (length > available) {
    throw new RtpsParseError(offset, `a submessage of ${length} octets has ${available} octets left`);
  }
  const end = offset + 4 + length;
  const reader = new ByteReader(datagram, offset + 4, end, littleEndian);
  return Object.assign(parseContent(id, flags, reader), { offset, end, littleEndian });
}

function parseContent(id: number, flags: number, reader: ByteReader): SubmessageContent {
  switch (id) {
    case SUBMESSAGE_ID.data:
      return parseData(flags, reader);
    case SUBMESSAGE_ID.dataFrag:
      return parseDataFrag(flags, reader);
    case SUBMESSAGE_ID.infoTs:
      return { kind: "info-ts", ...((flags & 2) === 0 && { timestamp: readTimestamp(reader, "timestamp") }) };
    case SUBMESSAGE_ID.infoDst:
      return { kind: "info-dst", guidPrefix: readGuidPrefix(reader, "guidPrefix") };
    case SUBMESSAGE_ID.infoSrc:
      return parseInfoSource(reader);
    case SUBMESSAGE_ID.heartbeat:
      return {
        kind: "heartbeat",
        readerId: readEntityId(reader, "readerId"),
        writerId: readEntityId(reader, "writerId"),
        firstSn: reader.i64("firstSN"),
        lastSn: reader.i64("lastSN"),
        count: reader.u32("count"),
        final: (flags & 2) !== 0,
        liveliness: (flags & 4) !== 0,
      };
    case SUBMESSAGE_ID.heartbeatFrag:
      return {
        kind: "heartbeat-frag",
        readerId: readEntityId(reader, "readerId"),
        writerId: readEntityId(reader, "writerId"),
        writerSn: reader.i64("writerSN"),
        lastFragment: reader.u32("lastFragmentNum"),
        count: reader.u32("count"),
      };
    case SUBMESSAGE_ID.acknack:
      return {
        kind: "acknack",
        readerId: readEntityId(reader, "readerId"),
        writerId: readEntityId(reader, "writerId"),
        missing: readSequenceNumberSet(reader, "readerSNState"),
        count: reader.u32("count"),
        final: (flags & 2) !== 0,
      };
    case SUBMESSAGE_ID.nackFrag:
      return {
        kind: "nack-frag",
        readerId: readEntityId(reader, "readerId"),
        writerId: readEntityId(reader, "writerId"),
        writerSn: reader.i64("writerSN"),
        missing: readFragmentNumberSet(reader, "fragmentNumberState"),
        count: reader.u32("count"),
      };
    case SUBMESSAGE_ID.gap:
      return {
        kind: "gap",
        readerId: readEntityId(reader, "readerId"),
        writerId: readEntityId(reader, "writerId"),
        gapStart: reader.i64("gapStart"),
        gapList: readSequenceNumberSet(reader, "gapList"),
      };
    case SUBMESSAGE_ID.pad:
      return { kind: "pad" };
    default:
      return { kind: "unknown", id, otherFlags: flags & ~1, content: reader.view(reader.remaining, "content") };
  }
}

function parseInfoSource(reader: ByteReader): InfoSource {
  reader.take(4, "unused");
  return {
    kind: "info-src",
    version: { major: reader.u8("version"), minor: reader.u8("version") },
    vendorId: u16At(reader.bytes, reader.take(2, "vendorId"), false),
    guidPrefix: readGuidPrefix(reader, "guidPrefix"),
  };
}

function parseData(flags: number, reader: ByteReader): Data {
  const isData = (flags & 4) !== 0;
  const isKey = (flags & 8) !== 0;
  if (isData && isKey) throw new RtpsParseError(reader.offset, "a payload is a sample or a key, not both");
  const behindFixed = afterFixed(reader);
  const readerId = readEntityId(reader, "readerId");
  const writerId = readEntityId(reader, "writerId");
  const writerSn = readChangeNumber(reader);
  const inlineQos = readInlineQos(reader, behindFixed, (flags & 2) !== 0);
  const payloadKind = isData ? "data" : isKey ? "key" : "none";
  return {
    kind: "data",
    readerId,
    writerId,
    writerSn,
    ...(inlineQos && { inlineQos }),
    payloadKind,
    payload: reader.view(payloadKind === "none" ? 0 : reader.remaining, "payload"),
    nonStandardPayload: (flags & 0x10) !== 0,
  };
}

function parseDataFrag(flags: number, reader: ByteReader): DataFrag {
  const behindFixed = afterFixed(reader);
  const readerId = readEntityId(reader, "readerId");
  const writerId = readEntityId(reader, "writerId");
  const writerSn = readChangeNumber(reader);
  const at = reader.offset;
  const fragmentStart = reader.u32("fragmentStartingNum");
  const fragmentCount = reader.u16("fragmentsInSubmessage");
  const fragmentSize = reader.u16("fragmentSize");
  const sampleSize = reader.u32("sampleSize");
  if (fragmentStart < 1 || fragmentCount < 1 || fragmentSize < 1) {
    throw new RtpsParseError(at, "fragments count from 1 and are not empty");
  }
  if (fragmentStart + fragmentCount - 1 > Math.ceil(sampleSize / fragmentSize)) {
    throw new RtpsParseError(at, `${sampleSize} octets have no fragment ${fragmentStart + fragmentCount - 1}`);
  }
  const inlineQos = readInlineQos(reader, behindFixed, (flags & 2) !== 0);
  return {
    kind: "data-frag",
    readerId,
    writerId,
    writerSn,
    fragmentStart,
    fragmentCount,
    fragmentSize,
    sampleSize,
    ...(inlineQos && { inlineQos }),
    payloadKind: (flags & 4) === 0 ? "data" : "key",
    payload: reader.view(reader.remaining, "payload"),
    nonStandardPayload: (flags & 8) !== 0,
  };
}

/** Where inline QoS or payload begin: later versions may have put fields in between. */
function afterFixed(reader: ByteReader): number {
  reader.take(2, "extraFlags");
  const octetsToInlineQos = reader.u16("octetsToInlineQos");
  return reader.offset + octetsToInlineQos;
}

function readChangeNumber(reader: ByteReader): bigint {
  const at = reader.offset;
  const writerSn = reader.i64("writerSN");
  if (writerSn < 1n) throw new RtpsParseError(at, `sequence number ${writerSn} is not positive`);
  return writerSn;
}

function readInlineQos(reader: ByteReader, start: number, isPresent: boolean): ParameterList | undefined {
  if (start < reader.offset) throw new RtpsParseError(start, "octetsToInlineQos points into the fixed fields");
  reader.take(start - reader.offset, "octetsToInlineQos");
  if (!isPresent) return undefined;
  const inlineQos = ParameterList.at(reader.bytes, reader.offset, reader.end, reader.littleEndian);
  reader.offset = inlineQos.end;
  return inlineQos;
}
