import {
  discoverySamples,
  formatGuid,
  fragmentNumbers,
  isRtps,
  keyGuid,
  locatorPlaces,
  type Message,
  parseMessage,
  type ReadEndpointData,
  type ReadParticipantData,
  RtpsParseError,
  readEndpointData,
  readParameters,
  readParticipantData,
  sequenceNumbers,
  statusInfo,
} from "../src/index.ts";

export type Outcome = {
  /** Of the message: its header is no RTPS header, or a submessage is invalid. */
  readonly fault: RtpsParseError | undefined;
  readonly participants: number;
  readonly endpoints: number;
  readonly gone: number;
  readonly refused: number;
};

/** Reads all that can be read of a datagram. Anything but an `RtpsParseError` goes through: it is a bug. */
export function exercise(datagram: Uint8Array): Outcome {
  let message: Message;
  try {
    message = parseMessage(datagram);
  } catch (error) {
    if (!(error instanceof RtpsParseError)) throw error;
    if (isRtps(datagram)) throw new Error("isRtps and parseMessage disagree");
    return { fault: error, participants: 0, endpoints: 0, gone: 0, refused: 0 };
  }
  const counts = { participants: 0, endpoints: 0, gone: 0, refused: 0 };
  let end = 20;
  for (const submessage of message.submessages) {
    if (submessage.offset !== end || submessage.end > datagram.length) throw new Error("submessages leave a hole");
    end = submessage.end;
    if (submessage.kind === "acknack") sequenceNumbers(submessage.missing);
    else if (submessage.kind === "gap") sequenceNumbers(submessage.gapList);
    else if (submessage.kind === "nack-frag") fragmentNumbers(submessage.missing);
    else if (submessage.kind === "data" || submessage.kind === "data-frag") {
      within(datagram, submessage.payload);
      for (const { value } of submessage.inlineQos ?? []) within(datagram, value);
    }
  }
  if (message.fault === undefined && end !== datagram.length) throw new Error("the message was not read to its end");
  for (const { topic, data } of discoverySamples(message)) {
    try {
      statusInfo(data);
      const guid = keyGuid(data);
      if (guid !== undefined) formatGuid(guid);
      if (data.payloadKind === "none") {
        counts.gone++;
        continue;
      }
      for (const { value } of readParameters(data.payload)) within(datagram, value);
      for (const { offset } of locatorPlaces(data)) {
        if (offset + 24 > data.end) throw new Error("a locator's place is outside of its sample");
      }
      if (data.payloadKind === "key") counts.gone++;
      else if (topic === "participant") counts.participants += checked(readParticipantData(data.payload));
      else counts.endpoints += checked(readEndpointData(data.payload));
    } catch (error) {
      if (!(error instanceof RtpsParseError)) throw error;
      if (!(error.offset >= 0 && error.offset <= datagram.length)) throw new Error("an error points past the datagram");
      counts.refused++;
    }
  }
  return { fault: message.fault, ...counts };
}

function checked({ guid }: ReadParticipantData | ReadEndpointData): number {
  if (formatGuid(guid).length !== 33) throw new Error("a GUID has 32 digits");
  return 1;
}

/** A view that leaves its datagram is a read past the end. */
function within(datagram: Uint8Array, view: Uint8Array): void {
  const start = view.byteOffset - datagram.byteOffset;
  if (view.buffer !== datagram.buffer || start < 0 || start + view.length > datagram.length) {
    if (view.length > 0) throw new Error("a view leaves the datagram");
  }
}
