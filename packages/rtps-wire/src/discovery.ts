import { buildMessage } from "./build-message.ts";
import { ENTITY_ID } from "./entity-ids.ts";
import { GUID_PREFIX_UNKNOWN, type Guid, type GuidPrefix } from "./guid.ts";
import { goneInlineQos } from "./instance-state.ts";
import type { Message } from "./parse-message.ts";
import type { Data, Header, Placed } from "./submessage.ts";
import type { Timestamp } from "./time.ts";

/** Whose news: SPDP's participants, or SEDP's writers (publications) and readers (subscriptions). */
export type DiscoveryTopic = "participant" | "publication" | "subscription";

/** A DATA of a discovery topic, with what the submessages before it say about it (RTPS 8.3.4). */
export type DiscoverySample = {
  readonly topic: DiscoveryTopic;
  readonly writer: Guid;
  /** The participant it is for; absent: everybody. */
  readonly destination?: GuidPrefix;
  readonly timestamp?: Timestamp;
  readonly data: Data & Placed;
};

const TOPICS: ReadonlyMap<number, DiscoveryTopic> = new Map([
  [ENTITY_ID.spdpWriter, "participant"],
  [ENTITY_ID.publicationsWriter, "publication"],
  [ENTITY_ID.subscriptionsWriter, "subscription"],
]);

/**
 * The discovery samples of a message, in order. What DDS Security protects is not among them, but for the announcements
 * and disposes of its participants, which are in clear. A DATA_FRAG is not either: it is a part of one.
 */
export function discoverySamples({ header, submessages }: Message): DiscoverySample[] {
  const samples: DiscoverySample[] = [];
  let source: GuidPrefix = header.guidPrefix;
  let destination: GuidPrefix = GUID_PREFIX_UNKNOWN;
  let timestamp: Timestamp | undefined;
  for (const submessage of submessages) {
    switch (submessage.kind) {
      case "info-src":
        // What was said before about the source holds no longer.
        source = submessage.guidPrefix;
        timestamp = undefined;
        break;
      case "info-dst":
        destination = submessage.guidPrefix;
        break;
      case "info-ts":
        timestamp = submessage.timestamp;
        break;
      case "data": {
        const topic = TOPICS.get(submessage.writerId);
        if (topic === undefined) break;
        samples.push({
          topic,
          writer: { prefix: source, entityId: submessage.writerId },
          ...(destination !== GUID_PREFIX_UNKNOWN && { destination }),
          ...(timestamp && { timestamp }),
          data: submessage,
        });
        break;
      }
    }
  }
  return samples;
}

/**
 * A message of 76 octets in the name of `header`'s participant that says that it is gone. `writerSn` is to be above that
 * of its last announcement. Peers of all vendors that were tried forget it at once.
 */
export function buildParticipantDispose(header: Header, writerSn: bigint): Uint8Array<ArrayBuffer> {
  return buildMessage(header, [
    {
      kind: "data",
      readerId: ENTITY_ID.spdpReader,
      writerId: ENTITY_ID.spdpWriter,
      writerSn,
      inlineQos: goneInlineQos({ prefix: header.guidPrefix, entityId: ENTITY_ID.participant }),
      payloadKind: "none",
      payload: new Uint8Array(),
      nonStandardPayload: false,
    },
  ]);
}
