/** Session states as they are numbered on the wire (RFC 5880, section 4.1). */
export const BFD_STATES = ["AdminDown", "Down", "Init", "Up"] as const;
export type BfdState = (typeof BFD_STATES)[number];

/** Why a session last left Up (RFC 5880, section 4.1), as far as this implementation says it. */
export const BFD_DIAGNOSTIC = { none: 0, detectionTimeExpired: 1, neighbourSignalledDown: 3, adminDown: 7 } as const;

/** A BFD Control packet without authentication. Intervals are microseconds, as on the wire. */
export interface BfdPacket {
  /** 0 to 31; codes past 8 are reserved and pass unread. */
  readonly diagnostic: number;
  readonly state: BfdState;
  readonly poll: boolean;
  readonly final: boolean;
  readonly controlPlaneIndependent: boolean;
  readonly demand: boolean;
  readonly detectMultiplier: number;
  readonly myDiscriminator: number;
  /** 0 while the sender has not heard of us. */
  readonly yourDiscriminator: number;
  readonly desiredMinTxUs: number;
  /** 0: do not send periodically. */
  readonly requiredMinRxUs: number;
  readonly requiredMinEchoRxUs: number;
}

/** A datagram that section 6.8.6 says to discard; `rule` is the check that it failed. */
export class BfdPacketError extends Error {
  override readonly name = "BfdPacketError";
  readonly rule:
    | "length"
    | "version"
    | "authentication"
    | "multiplier"
    | "multipoint"
    | "discriminator"
    | "your-discriminator"
    | "poll-and-final";
  constructor(rule: BfdPacketError["rule"], detail: string) {
    super(`BFD packet: ${detail}`);
    this.rule = rule;
  }
}

const VERSION = 1;
/** The mandatory section. */
const BFD_PACKET_BYTES = 24;
const POLL = 0x20;
const FINAL = 0x10;
const INDEPENDENT = 0x08;
const AUTHENTICATION = 0x04;
const DEMAND = 0x02;
const MULTIPOINT = 0x01;

export function encodeBfdPacket(packet: BfdPacket): Uint8Array {
  const bytes = new Uint8Array(BFD_PACKET_BYTES);
  const view = new DataView(bytes.buffer);
  view.setUint8(0, (VERSION << 5) | packet.diagnostic);
  const flags =
    (packet.poll ? POLL : 0) |
    (packet.final ? FINAL : 0) |
    (packet.controlPlaneIndependent ? INDEPENDENT : 0) |
    (packet.demand ? DEMAND : 0);
  view.setUint8(1, (BFD_STATES.indexOf(packet.state) << 6) | flags);
  view.setUint8(2, packet.detectMultiplier);
  view.setUint8(3, BFD_PACKET_BYTES);
  view.setUint32(4, packet.myDiscriminator);
  view.setUint32(8, packet.yourDiscriminator);
  view.setUint32(12, packet.desiredMinTxUs);
  view.setUint32(16, packet.requiredMinRxUs);
  view.setUint32(20, packet.requiredMinEchoRxUs);
  return bytes;
}

/**
 * Reads a datagram by the rules of section 6.8.6 that need no session.
 * @throws BfdPacketError when it is to be discarded.
 */
export function parseBfdPacket(bytes: Uint8Array): BfdPacket {
  if (bytes.length < BFD_PACKET_BYTES) {
    throw new BfdPacketError("length", `has ${bytes.length} bytes where ${BFD_PACKET_BYTES} are the least`);
  }
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const [first, flags, length] = [view.getUint8(0), view.getUint8(1), view.getUint8(3)];
  if (first >> 5 !== VERSION) throw new BfdPacketError("version", `version ${first >> 5} is not ${VERSION}`);
  if (length < BFD_PACKET_BYTES || length > bytes.length) {
    throw new BfdPacketError("length", `says it has ${length} bytes, in a datagram of ${bytes.length}`);
  }
  if ((flags & AUTHENTICATION) !== 0) throw new BfdPacketError("authentication", "is authenticated; no key is in use");
  if ((flags & MULTIPOINT) !== 0) throw new BfdPacketError("multipoint", "the multipoint bit is set");
  if ((flags & POLL) !== 0 && (flags & FINAL) !== 0) {
    throw new BfdPacketError("poll-and-final", "both Poll and Final are set");
  }
  const detectMultiplier = view.getUint8(2);
  if (detectMultiplier === 0) throw new BfdPacketError("multiplier", "the detection multiplier is 0");
  const myDiscriminator = view.getUint32(4);
  if (myDiscriminator === 0) throw new BfdPacketError("discriminator", "the sender's discriminator is 0");
  const state = BFD_STATES[flags >> 6] ?? "AdminDown";
  const yourDiscriminator = view.getUint32(8);
  if (yourDiscriminator === 0 && (state === "Init" || state === "Up")) {
    throw new BfdPacketError("your-discriminator", `state ${state} without our discriminator`);
  }
  return {
    diagnostic: first & 0x1f,
    state,
    poll: (flags & POLL) !== 0,
    final: (flags & FINAL) !== 0,
    controlPlaneIndependent: (flags & INDEPENDENT) !== 0,
    demand: (flags & DEMAND) !== 0,
    detectMultiplier,
    myDiscriminator,
    yourDiscriminator,
    desiredMinTxUs: view.getUint32(12),
    requiredMinRxUs: view.getUint32(16),
    requiredMinEchoRxUs: view.getUint32(20),
  };
}
