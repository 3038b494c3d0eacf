/*
 * Netlink's framing (linux/netlink.h): messages of a 16-byte header and a payload, attributes of a 4-byte header and a
 * value, both padded to 4 bytes. Numbers are in host order, little-endian on every platform Causeway runs on.
 */

const HEADER_BYTES = 16;
const ATTRIBUTE_HEADER_BYTES = 4;
const NESTED = 0x8000;
/** NLA_TYPE_MASK: without the nested and network-byte-order bits. */
const TYPE_MASK = 0x3fff;

/** The bytes are not what netlink promises: truncated, or a length that leaves its container. */
export class NetlinkDecodeError extends Error {
  constructor(message: string) {
    super(message);
    this.name = "NetlinkDecodeError";
  }
}

export interface NetlinkMessage {
  readonly type: number;
  readonly flags: number;
  readonly sequence: number;
  readonly portId: number;
  /** A view into the parsed buffer, valid as long as that is. */
  readonly payload: Uint8Array;
}

/** Builds messages one after the other in one growing buffer that is reused after `reset`. */
export class MessageWriter {
  #bytes = new Uint8Array(4096);
  #view = new DataView(this.#bytes.buffer);
  #length = 0;
  #messageStart = 0;
  #lastWhole = 0;

  get length(): number {
    return this.#length;
  }

  /** What was written since `reset`: a view, valid until the next write. */
  bytes(): Uint8Array {
    return this.#bytes.subarray(0, this.#length);
  }

  reset(): void {
    this.#length = 0;
    this.#messageStart = 0;
    this.#lastWhole = 0;
  }

  startMessage(type: number, flags: number, sequence: number): void {
    this.#messageStart = this.#length;
    this.u32(0).u16(type).u16(flags).u32(sequence).u32(0);
  }

  endMessage(): void {
    this.#view.setUint32(this.#messageStart, this.#length - this.#messageStart, true);
    this.#pad();
    this.#lastWhole = this.#messageStart;
  }

  /** Takes the message that was started last back out. */
  abandonMessage(): void {
    this.#length = this.#messageStart;
  }

  /** Adds flags to the message that was ended last. */
  addFlags(flags: number): void {
    const offset = this.#lastWhole + 6;
    this.#view.setUint16(offset, this.#view.getUint16(offset, true) | flags, true);
  }

  u8(value: number): this {
    this.#reserve(1);
    this.#view.setUint8(this.#length, value);
    this.#length += 1;
    return this;
  }

  u16(value: number): this {
    this.#reserve(2);
    this.#view.setUint16(this.#length, value, true);
    this.#length += 2;
    return this;
  }

  u32(value: number): this {
    this.#reserve(4);
    this.#view.setUint32(this.#length, value, true);
    this.#length += 4;
    return this;
  }

  raw(bytes: Uint8Array): this {
    this.#reserve(bytes.length);
    this.#bytes.set(bytes, this.#length);
    this.#length += bytes.length;
    return this;
  }

  attribute(type: number, value: Uint8Array): this {
    return this.attributeOf(type, () => this.raw(value));
  }

  attributeU8(type: number, value: number): this {
    return this.attributeOf(type, () => this.u8(value));
  }

  attributeU32(type: number, value: number): this {
    return this.attributeOf(type, () => this.u32(value));
  }

  /** A NUL-terminated string. */
  attributeString(type: number, value: string): this {
    return this.attribute(type, new TextEncoder().encode(`${value}\0`));
  }

  /** An attribute that holds attributes, marked NLA_F_NESTED. */
  nested(type: number, write: () => void): this {
    return this.attributeOf(type | NESTED, write);
  }

  /** An attribute whose value `write` writes piece by piece. */
  attributeOf(type: number, write: () => void): this {
    const start = this.#length;
    this.u16(0).u16(type);
    write();
    const length = this.#length - start;
    if (length > 0xffff) throw new RangeError(`netlink attribute ${type & TYPE_MASK} has ${length} bytes, over 65535`);
    this.#view.setUint16(start, length, true);
    this.#pad();
    return this;
  }

  /** A struct rtnexthop: a length, then fields and attributes. */
  nextHop(flags: number, hops: number, ifindex: number, write: () => void): this {
    const start = this.#length;
    this.u16(0).u8(flags).u8(hops).u32(ifindex);
    write();
    this.#view.setUint16(start, this.#length - start, true);
    return this;
  }

  #pad(): void {
    while (this.#length % 4 !== 0) this.u8(0);
  }

  #reserve(count: number): void {
    if (this.#length + count <= this.#bytes.length) return;
    const grown = new Uint8Array(Math.max(this.#bytes.length * 2, this.#length + count));
    grown.set(this.#bytes.subarray(0, this.#length));
    this.#bytes = grown;
    this.#view = new DataView(grown.buffer);
  }
}

/** A view of the attributes in a payload; a type that occurs twice counts once, the last one, as in the kernel. */
export class Attributes {
  readonly #values: ReadonlyMap<number, Uint8Array>;

  constructor(values: ReadonlyMap<number, Uint8Array>) {
    this.#values = values;
  }

  types(): IterableIterator<number> {
    return this.#values.keys();
  }

  bytes(type: number): Uint8Array | undefined {
    return this.#values.get(type);
  }

  u8(type: number): number | undefined {
    const value = this.#values.get(type);
    return value && readU8(value, 0);
  }

  u32(type: number): number | undefined {
    const value = this.#values.get(type);
    return value && readU32(value, 0);
  }

  i32(type: number): number | undefined {
    const value = this.u32(type);
    return value === undefined ? undefined : value | 0;
  }

  /** Up to the first NUL. */
  string(type: number): string | undefined {
    const value = this.#values.get(type);
    if (!value) return undefined;
    const end = value.indexOf(0);
    return new TextDecoder().decode(end < 0 ? value : value.subarray(0, end));
  }

  nested(type: number): Attributes | undefined {
    const value = this.#values.get(type);
    return value && parseAttributes(value, 0);
  }
}

/** The messages of one datagram. Throws NetlinkDecodeError, and nothing else, on any bytes. */
export function parseMessages(bytes: Uint8Array): NetlinkMessage[] {
  const messages: NetlinkMessage[] = [];
  let offset = 0;
  while (offset < bytes.length) {
    const length = readU32(bytes, offset);
    if (length < HEADER_BYTES || length > bytes.length - offset) {
      throw new NetlinkDecodeError(`message at ${offset} claims ${length} of ${bytes.length - offset} bytes`);
    }
    messages.push({
      type: readU16(bytes, offset + 4),
      flags: readU16(bytes, offset + 6),
      sequence: readU32(bytes, offset + 8),
      portId: readU32(bytes, offset + 12),
      payload: bytes.subarray(offset + HEADER_BYTES, offset + length),
    });
    offset += align(length);
  }
  return messages;
}

/** The attributes that follow a fixed structure of `offset` bytes. Throws NetlinkDecodeError only. */
export function parseAttributes(payload: Uint8Array, offset: number): Attributes {
  const values = new Map<number, Uint8Array>();
  let at = offset;
  if (at > payload.length) throw new NetlinkDecodeError(`payload of ${payload.length} bytes is shorter than ${offset}`);
  while (payload.length - at >= ATTRIBUTE_HEADER_BYTES) {
    const length = readU16(payload, at);
    if (length < ATTRIBUTE_HEADER_BYTES || length > payload.length - at) {
      throw new NetlinkDecodeError(`attribute at ${at} claims ${length} of ${payload.length - at} bytes`);
    }
    values.set(readU16(payload, at + 2) & TYPE_MASK, payload.subarray(at + ATTRIBUTE_HEADER_BYTES, at + length));
    at += align(length);
  }
  return new Attributes(values);
}

export interface NextHopRecord {
  readonly flags: number;
  readonly hops: number;
  readonly ifindex: number;
  readonly attributes: Attributes;
}

/** The struct rtnexthop records of an RTA_MULTIPATH. Throws NetlinkDecodeError only. */
export function parseNextHops(bytes: Uint8Array): NextHopRecord[] {
  const hops: NextHopRecord[] = [];
  let at = 0;
  while (bytes.length - at >= 8) {
    const length = readU16(bytes, at);
    if (length < 8 || length > bytes.length - at) {
      throw new NetlinkDecodeError(`next hop at ${at} claims ${length} of ${bytes.length - at} bytes`);
    }
    hops.push({
      flags: readU8(bytes, at + 2),
      hops: readU8(bytes, at + 3),
      ifindex: readU32(bytes, at + 4),
      attributes: parseAttributes(bytes.subarray(at, at + length), 8),
    });
    at += align(length);
  }
  return hops;
}

export function readU8(bytes: Uint8Array, offset: number): number {
  const value = bytes[offset];
  if (value === undefined) throw new NetlinkDecodeError(`no byte at ${offset} of ${bytes.length}`);
  return value;
}

export function readU16(bytes: Uint8Array, offset: number): number {
  return readU8(bytes, offset) | (readU8(bytes, offset + 1) << 8);
}

export function readU32(bytes: Uint8Array, offset: number): number {
  return (readU16(bytes, offset) | (readU16(bytes, offset + 2) << 16)) >>> 0;
}

function align(length: number): number {
  return (length + 3) & ~3;
}
