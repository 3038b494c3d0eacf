import type { EntityId, GuidPrefix } from "./guid.ts";
import type { FragmentNumberSet, SequenceNumberSet } from "./number-set.ts";
import type { ParameterList } from "./parameter-list.ts";
import type { Timestamp } from "./time.ts";

/** RTPS 9.4.5.1.1: the octet that a submessage begins with. */
export const SUBMESSAGE_ID = {
  headerExtension: 0x00,
  pad: 0x01,
  acknack: 0x06,
  heartbeat: 0x07,
  gap: 0x08,
  infoTs: 0x09,
  infoSrc: 0x0c,
  infoDst: 0x0e,
  nackFrag: 0x12,
  heartbeatFrag: 0x13,
  data: 0x15,
  dataFrag: 0x16,
} as const;

export type ProtocolVersion = { readonly major: number; readonly minor: number };

/** RTPS 9.4.4: who speaks. `vendorId` such as 0x0110: see `vendorName`. */
export type Header = {
  readonly version: ProtocolVersion;
  readonly vendorId: number;
  readonly guidPrefix: GuidPrefix;
};

/** A change, or the news that an instance is gone. */
export type Data = {
  readonly kind: "data";
  readonly readerId: EntityId;
  readonly writerId: EntityId;
  readonly writerSn: bigint;
  /** Present when the Q flag says so; its byte order is the submessage's. */
  readonly inlineQos?: ParameterList;
  /** Whether the payload is a sample, the key of one, or not there. */
  readonly payloadKind: "none" | "data" | "key";
  /** With its 4 octets of encapsulation; empty for `none`. */
  readonly payload: Uint8Array;
  /** The N flag: the payload is transformed, by encryption perhaps. */
  readonly nonStandardPayload: boolean;
};

/** Consecutive fragments of a change that was too large for one submessage. They count from 1. */
export type DataFrag = {
  readonly kind: "data-frag";
  readonly readerId: EntityId;
  readonly writerId: EntityId;
  readonly writerSn: bigint;
  readonly fragmentStart: number;
  readonly fragmentCount: number;
  /** Octets of each fragment but the last. */
  readonly fragmentSize: number;
  /** Octets of the whole payload. */
  readonly sampleSize: number;
  readonly inlineQos?: ParameterList;
  readonly payloadKind: "data" | "key";
  readonly payload: Uint8Array;
  readonly nonStandardPayload: boolean;
};

/** Which sequence numbers a writer has. */
export type Heartbeat = {
  readonly kind: "heartbeat";
  readonly readerId: EntityId;
  readonly writerId: EntityId;
  readonly firstSn: bigint;
  /** Less than `firstSn` by one: nothing is there. */
  readonly lastSn: bigint;
  readonly count: number;
  /** No answer is asked for. */
  readonly final: boolean;
  readonly liveliness: boolean;
};

export type HeartbeatFrag = {
  readonly kind: "heartbeat-frag";
  readonly readerId: EntityId;
  readonly writerId: EntityId;
  readonly writerSn: bigint;
  readonly lastFragment: number;
  readonly count: number;
};

/** All below `missing.base` is received; what the set holds is asked for again. */
export type AckNack = {
  readonly kind: "acknack";
  readonly readerId: EntityId;
  readonly writerId: EntityId;
  readonly missing: SequenceNumberSet;
  readonly count: number;
  readonly final: boolean;
};

export type NackFrag = {
  readonly kind: "nack-frag";
  readonly readerId: EntityId;
  readonly writerId: EntityId;
  readonly writerSn: bigint;
  readonly missing: FragmentNumberSet;
  readonly count: number;
};

/** From `gapStart` up to `gapList.base`, and what the set holds, will not come. */
export type Gap = {
  readonly kind: "gap";
  readonly readerId: EntityId;
  readonly writerId: EntityId;
  readonly gapStart: bigint;
  readonly gapList: SequenceNumberSet;
};

/** When what follows was written; without a timestamp, earlier ones hold no longer. */
export type InfoTimestamp = { readonly kind: "info-ts"; readonly timestamp?: Timestamp };

/** Who what follows is for; twelve zeros: everybody. */
export type InfoDestination = { readonly kind: "info-dst"; readonly guidPrefix: GuidPrefix };

/** Who what follows comes from. */
export type InfoSource = { readonly kind: "info-src" } & Header;

export type Pad = { readonly kind: "pad" };

/** Any other submessage, of a vendor or of DDS Security: its content as it is. */
export type UnknownSubmessage = {
  readonly kind: "unknown";
  readonly id: number;
  /** All flags but bit 0, the byte order. */
  readonly otherFlags: number;
  readonly content: Uint8Array;
};

export type SubmessageContent =
  | Data
  | DataFrag
  | Heartbeat
  | HeartbeatFrag
  | AckNack
  | NackFrag
  | Gap
  | InfoTimestamp
  | InfoDestination
  | InfoSource
  | Pad
  | UnknownSubmessage;

/** Where a submessage lies in its datagram, [offset, end), its own header included. */
export type Placed = { readonly offset: number; readonly end: number; readonly littleEndian: boolean };

export type Submessage = SubmessageContent & Placed;
