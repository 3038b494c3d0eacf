import { ByteWriter } from "./byte-writer.ts";
import { RtpsBuildError } from "./errors.ts";
import { writeEntityId, writeGuidPrefix } from "./guid.ts";
import { writeFragmentNumberSet, writeSequenceNumberSet } from "./number-set.ts";
import type { ParameterList } from "./parameter-list.ts";
import { type Data, type DataFrag, type Header, SUBMESSAGE_ID, type SubmessageContent } from "./submessage.ts";
import { writeTimestamp } from "./time.ts";

/** What `parseMessage` returns can be built again; `littleEndian` is true unless said otherwise. */
export type SubmessageInput = SubmessageContent & { readonly littleEndian?: boolean };

/** From `octetsToInlineQos` to the end of the fixed fields. */
const DATA_FIXED = 16;
const DATA_FRAG_FIXED = 28;
const MAX_LENGTH = 0xffff;

/** One message in one datagram. Its length is not limited here; UDP's is 65,507 octets over IPv4. */
export function buildMessage(header: Header, submessages: readonly SubmessageInput[]): Uint8Array<ArrayBuffer> {
  const writer = new ByteWriter(false);
  writer.u32(0x5254_5053, "magic");
  writeHeaderFields(writer, header);
  for (const [index, submessage] of submessages.entries()) {
    writeSubmessage(writer, submessage, index === submessages.length - 1);
  }
  return writer.finish();
}

/** Version, vendor and prefix: octets, whose order follows no flag. */
function writeHeaderFields(writer: ByteWriter, { version, vendorId, guidPrefix }: Header): void {
  writer.u8(version.major, "version.major");
  writer.u8(version.minor, "version.minor");
  writer.u8(Math.floor(vendorId / 256), "vendorId");
  writer.u8(vendorId % 256, "vendorId");
  writeGuidPrefix(writer, guidPrefix, "guidPrefix");
}

function writeSubmessage(writer: ByteWriter, submessage: SubmessageInput, isLast: boolean): void {
  const littleEndian = submessage.littleEndian ?? true;
  writer.littleEndian = littleEndian;
  writer.u8(submessage.kind === "unknown" ? submessage.id : idOf(submessage.kind), "id");
  writer.u8(flagsOf(submessage) | (littleEndian ? 1 : 0), "flags");
  writer.zeros(2);
  const start = writer.length;
  writeContent(writer, submessage);
  // RTPS 9.4.1: the next submessage begins at a multiple of 4.
  if (!isLast) writer.align(start);
  const length = writer.length - start;
  const isEmpty = length === 0 && submessage.kind !== "pad" && submessage.kind !== "info-ts";
  if (!isLast && (length > MAX_LENGTH || isEmpty)) {
    throw new RtpsBuildError(submessage.kind, `a submessage of ${length} octets can only be the last`);
  }
  // 0 is "to the end of the message".
  if (length <= MAX_LENGTH) writer.setU16(start - 2, length, "octetsToNextHeader");
}

function idOf(kind: Exclude<SubmessageContent["kind"], "unknown">): number {
  switch (kind) {
    case "data":
      return SUBMESSAGE_ID.data;
    case "data-frag":
      return SUBMESSAGE_ID.dataFrag;
    case "heartbeat":
      return SUBMESSAGE_ID.heartbeat;
    case "heartbeat-frag":
      return SUBMESSAGE_ID.heartbeatFrag;
    case "acknack":
      return SUBMESSAGE_ID.acknack;
    case "nack-frag":
      return SUBMESSAGE_ID.nackFrag;
    case "gap":
      return SUBMESSAGE_ID.gap;
    case "info-ts":
      return SUBMESSAGE_ID.infoTs;
    case "info-dst":
      return SUBMESSAGE_ID.infoDst;
    case "info-src":
      return SUBMESSAGE_ID.infoSrc;
    case "pad":
      return SUBMESSAGE_ID.pad;
  }
}

/** All flags but the byte order. */
function flagsOf(submessage: SubmessageContent): number {
  switch (submessage.kind) {
    case "data": {
      const payload = { none: 0, data: 4, key: 8 }[submessage.payloadKind];
      return (submessage.inlineQos ? 2 : 0) | payload | (submessage.nonStandardPayload ? 0x10 : 0);
    }
    case "data-frag": {
      const payload = submessage.payloadKind === "key" ? 4 : 0;
      return (submessage.inlineQos ? 2 : 0) | payload | (submessage.nonStandardPayload ? 8 : 0);
    }
    case "heartbeat":
      return (submessage.final ? 2 : 0) | (submessage.liveliness ? 4 : 0);
    case "acknack":
      return submessage.final ? 2 : 0;
    case "info-ts":
      return submessage.timestamp ? 0 : 2;
    case "unknown":
      return submessage.otherFlags & ~1;
    default:
      return 0;
  }
}

function writeContent(writer: ByteWriter, submessage: SubmessageContent): void {
  switch (submessage.kind) {
    case "data":
      writeData(writer, submessage);
      break;
    case "data-frag":
      writeDataFrag(writer, submessage);
      break;
    case "heartbeat":
      writeEntityId(writer, submessage.readerId, "readerId");
      writeEntityId(writer, submessage.writerId, "writerId");
      writer.i64(submessage.firstSn, "firstSn");
      writer.i64(submessage.lastSn, "lastSn");
      writer.u32(submessage.count, "count");
      break;
    case "heartbeat-frag":
      writeEntityId(writer, submessage.readerId, "readerId");
      writeEntityId(writer, submessage.writerId, "writerId");
      writer.i64(submessage.writerSn, "writerSn");
      writer.u32(submessage.lastFragment, "lastFragment");
      writer.u32(submessage.count, "count");
      break;
    case "acknack":
      writeEntityId(writer, submessage.readerId, "readerId");
      writeEntityId(writer, submessage.writerId, "writerId");
      writeSequenceNumberSet(writer, submessage.missing, "missing");
      writer.u32(submessage.count, "count");
      break;
    case "nack-frag":
      writeEntityId(writer, submessage.readerId, "readerId");
      writeEntityId(writer, submessage.writerId, "writerId");
      writer.i64(submessage.writerSn, "writerSn");
      writeFragmentNumberSet(writer, submessage.missing, "missing");
      writer.u32(submessage.count, "count");
      break;
    case "gap":
      writeEntityId(writer, submessage.readerId, "readerId");
      writeEntityId(writer, submessage.writerId, "writerId");
      writer.i64(submessage.gapStart, "gapStart");
      writeSequenceNumberSet(writer, submessage.gapList, "gapList");
      break;
    case "info-ts":
      if (submessage.timestamp) writeTimestamp(writer, submessage.timestamp, "timestamp");
      break;
    case "info-dst":
      writeGuidPrefix(writer, submessage.guidPrefix, "guidPrefix");
      break;
    case "info-src":
      writer.zeros(4);
      writeHeaderFields(writer, submessage);
      break;
    case "pad":
      break;
    case "unknown":
      writer.octets(submessage.content);
      break;
  }
}

function writeData(writer: ByteWriter, data: Data): void {
  if (data.payloadKind === "none" && data.payload.length > 0) {
    throw new RtpsBuildError("payload", `${data.payload.length} octets of kind none`);
  }
  writer.zeros(2);
  writer.u16(DATA_FIXED, "octetsToInlineQos");
  writeEntityId(writer, data.readerId, "readerId");
  writeEntityId(writer, data.writerId, "writerId");
  writeChangeNumber(writer, data.writerSn);
  writeInlineQos(writer, data.inlineQos);
  writer.octets(data.payload);
}

function writeDataFrag(writer: ByteWriter, fragment: DataFrag): void {
  writer.zeros(2);
  writer.u16(DATA_FRAG_FIXED, "octetsToInlineQos");
  writeEntityId(writer, fragment.readerId, "readerId");
  writeEntityId(writer, fragment.writerId, "writerId");
  writeChangeNumber(writer, fragment.writerSn);
  const { fragmentStart, fragmentCount, fragmentSize, sampleSize } = fragment;
  if (fragmentStart < 1 || fragmentCount < 1 || fragmentSize < 1) {
    throw new RtpsBuildError("fragmentStart", "fragments count from 1 and are not empty");
  }
  if (fragmentStart + fragmentCount - 1 > Math.ceil(sampleSize / fragmentSize)) {
    throw new RtpsBuildError(
      "sampleSize",
      `${sampleSize} octets have no fragment ${fragmentStart + fragmentCount - 1}`,
    );
  }
  writer.u32(fragmentStart, "fragmentStart");
  writer.u16(fragmentCount, "fragmentCount");
  writer.u16(fragmentSize, "fragmentSize");
  writer.u32(sampleSize, "sampleSize");
  writeInlineQos(writer, fragment.inlineQos);
  writer.octets(fragment.payload);
}

function writeChangeNumber(writer: ByteWriter, writerSn: bigint): void {
  if (writerSn < 1n) throw new RtpsBuildError("writerSn", `${writerSn} is not positive`);
  writer.i64(writerSn, "writerSn");
}

function writeInlineQos(writer: ByteWriter, inlineQos: ParameterList | undefined): void {
  if (inlineQos === undefined) return;
  if (inlineQos.littleEndian !== writer.littleEndian) {
    throw new RtpsBuildError("inlineQos", "its byte order is not the submessage's");
  }
  writer.octets(inlineQos.bytes);
}
