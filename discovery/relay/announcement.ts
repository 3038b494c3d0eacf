import {
  type Data,
  discoverySamples,
  ENTITY_ID,
  type GuidPrefix,
  type Header,
  isRtps,
  keyGuid,
  PARAMETER_ID,
  type ParameterList,
  type Placed,
  parseMessage,
  type ReadParticipantData,
  RtpsParseError,
  readParameters,
  readParticipantData,
  type Submessage,
  statusInfo,
} from "rtps-wire";

/*
 * What a datagram says of participants. Whoever can send can write anything: a datagram speaks for the participant of its
 * header and for no other, in one voice, so that no vendor's reader understands of it what we have not.
 */

/** A participant says that it is there. */
export interface Announcement {
  readonly kind: "announcement";
  readonly header: Header;
  readonly guidPrefix: GuidPrefix;
  readonly writerSn: bigint;
  /** What is announced: a view over the datagram. */
  readonly payload: Uint8Array;
  /** The header and the submessages that make the announcement, each octet as it came: a copy. */
  readonly copy: () => Uint8Array;
  /** @throws RtpsParseError when the payload is not what a participant announces. */
  readonly read: () => ReadParticipantData;
}

/** A participant says that it leaves. */
export interface Departure {
  readonly kind: "departure";
  readonly header: Header;
  readonly guidPrefix: GuidPrefix;
  readonly writerSn: bigint;
  readonly copy: () => Uint8Array;
}

/** Nothing that is passed on, and why. */
export interface Disregarded {
  readonly kind: "disregarded";
  /** Other traffic of participants is no fault; the others are. */
  readonly reason: "other-traffic" | "malformed" | "contradictory";
}

const OTHER_TRAFFIC: Disregarded = { kind: "disregarded", reason: "other-traffic" };
const MALFORMED: Disregarded = { kind: "disregarded", reason: "malformed" };
const CONTRADICTORY: Disregarded = { kind: "disregarded", reason: "contradictory" };

/** Parameters that say who a participant is and whom it may meet: of two, one vendor takes the first, one the last. */
const SAID_ONCE: ReadonlySet<number> = new Set([
  PARAMETER_ID.participantGuid,
  PARAMETER_ID.domainId,
  PARAMETER_ID.domainTag,
  PARAMETER_ID.participantLeaseDuration,
  PARAMETER_ID.keyHash,
  PARAMETER_ID.statusInfo,
]);
/** A parameter is the same with and without the mark that it must be understood; the domain tag's id has it. */
const MUST_UNDERSTAND = 0x4000;

function saysTwice(list: ParameterList): boolean {
  const seen = new Set<number>();
  for (const cursor = list.cursor(); cursor.next(); ) {
    const id = cursor.id === PARAMETER_ID.domainTag ? cursor.id : cursor.id & ~MUST_UNDERSTAND;
    if (!SAID_ONCE.has(id)) continue;
    if (seen.has(id)) return true;
    seen.add(id);
  }
  return false;
}

/** Reads a datagram as far as it is about a participant. Never throws; the datagram must stay as it is for as long as views are used. */
export function readDatagram(datagram: Uint8Array): Announcement | Departure | Disregarded {
  if (!isRtps(datagram)) return OTHER_TRAFFIC;
  const { header, submessages, fault } = parseMessage(datagram);
  const samples = discoverySamples({ header, submessages }).filter(({ topic }) => topic === "participant");
  const [sample, second] = samples;
  if (sample === undefined) return fault === undefined ? OTHER_TRAFFIC : MALFORMED;
  const { data, writer } = sample;
  if (second !== undefined || writer.prefix !== header.guidPrefix) return CONTRADICTORY;
  if (data.readerId !== ENTITY_ID.unknown && data.readerId !== ENTITY_ID.spdpReader) return CONTRADICTORY;
  if (data.nonStandardPayload) return CONTRADICTORY;
  try {
    return readSample(datagram, header, submessages, data);
  } catch (error) {
    if (!(error instanceof RtpsParseError)) throw error;
    return MALFORMED;
  }
}

function readSample(
  datagram: Uint8Array,
  header: Header,
  submessages: readonly Submessage[],
  data: Data & Placed,
): Announcement | Departure | Disregarded {
  const { inlineQos, payload, payloadKind, writerSn } = data;
  const { guidPrefix } = header;
  if (inlineQos !== undefined && saysTwice(inlineQos)) return CONTRADICTORY;
  const status = inlineQos?.find(PARAMETER_ID.statusInfo)?.value;
  const key = keyGuid(data);
  if (key !== undefined && (key.prefix !== guidPrefix || key.entityId !== ENTITY_ID.participant)) return CONTRADICTORY;
  const copy = (): Uint8Array => cut(datagram, submessages, data);
  if (status?.some((octet) => octet !== 0)) {
    const { disposed, unregistered } = statusInfo(data);
    if (!disposed && !unregistered) return CONTRADICTORY;
    // A payload that is a sample beside "it is gone" could be taken for either.
    if (key === undefined || payloadKind === "data") return CONTRADICTORY;
    if (payloadKind === "key" && !isKeyOf(payload, guidPrefix)) return CONTRADICTORY;
    return { kind: "departure", header, guidPrefix, writerSn, copy };
  }
  if (payloadKind !== "data" || saysTwice(readParameters(payload))) return CONTRADICTORY;
  return {
    kind: "announcement",
    header,
    guidPrefix,
    writerSn,
    payload,
    copy,
    read: () => readParticipantData(payload),
  };
}

function isKeyOf(payload: Uint8Array, guidPrefix: GuidPrefix): boolean {
  if (saysTwice(readParameters(payload))) return false;
  const { guid } = readParticipantData(payload);
  return guid.prefix === guidPrefix && guid.entityId === ENTITY_ID.participant;
}

const HEADER_LENGTH = 20;

/**
 * The message with nothing but the DATA and its timestamp: what else lies in the datagram could be of other participants,
 * and is for the relay alone.
 */
function cut(datagram: Uint8Array, submessages: readonly Submessage[], data: Placed): Uint8Array {
  const timestamp = submessages.findLast(({ kind, end }) => kind === "info-ts" && end <= data.offset);
  const from = timestamp?.offset ?? data.offset;
  const between = timestamp?.end ?? data.offset;
  const copy = new Uint8Array(HEADER_LENGTH + (between - from) + (data.end - data.offset));
  copy.set(datagram.subarray(0, HEADER_LENGTH));
  copy.set(datagram.subarray(from, between), HEADER_LENGTH);
  copy.set(datagram.subarray(data.offset, data.end), HEADER_LENGTH + between - from);
  return copy;
}
