import ipaddr from "ipaddr.js";

/*
 * Packets built from scratch, with a checksum of its own: what the translator makes is compared with them.
 */

export interface Endpoints {
  readonly protocol: 6 | 17 | 132;
  readonly source: string;
  readonly sourcePort: number;
  readonly destination: string;
  readonly destinationPort: number;
  readonly payload?: Uint8Array;
  /** IPv4 header options, a multiple of four bytes; IPv6: whole extension headers, whose first is a destination option. */
  readonly options?: Uint8Array;
  readonly withoutChecksum?: boolean;
  /** ACK by default. */
  readonly tcpFlags?: number;
}

const bytesOf = (address: string): number[] => ipaddr.parse(address).toByteArray();
const u16 = (value: number): number[] => [(value >> 8) & 0xff, value & 0xff];

/** RFC 1071 by way of arithmetic modulo 0xffff. */
export function internetSum(bytes: readonly number[] | Uint8Array): number {
  let sum = 0n;
  const even = bytes.length % 2 === 0 ? [...bytes] : [...bytes, 0];
  for (const byte of even) sum = (sum << 8n) | BigInt(byte);
  const rest = Number(sum % 0xffffn);
  return sum !== 0n && rest === 0 ? 0xffff : rest;
}

const complement = (sum: number): number => ~sum & 0xffff;

function pseudo(source: string, destination: string, length: number, next: number): number[] {
  return [...bytesOf(source), ...bytesOf(destination), 0, 0, ...u16(length), 0, 0, 0, next];
}

/** A whole IP packet. */
export function ipPacket(
  source: string,
  destination: string,
  protocol: number,
  body: readonly number[] | Uint8Array,
  { hops = 64, options = new Uint8Array(0) }: { hops?: number; options?: Uint8Array } = {},
): Uint8Array {
  if (source.includes(":")) {
    const next = options.length > 0 ? 60 : protocol;
    const length = u16(options.length + body.length);
    return Uint8Array.from([
      0x60,
      0,
      0,
      0,
      ...length,
      next,
      hops,
      ...bytesOf(source),
      ...bytesOf(destination),
      ...options,
      ...body,
    ]);
  }
  const header = [
    ...[0x45 + options.length / 4, 0, ...u16(20 + options.length + body.length), 0, 0, 0, 0, hops, protocol, 0, 0],
    ...[...bytesOf(source), ...bytesOf(destination), ...options],
  ];
  header.splice(10, 2, ...u16(complement(internetSum(header))));
  return Uint8Array.from([...header, ...body]);
}

/** A TCP, UDP or SCTP packet with its right checksums (SCTP's CRC is left zero). */
export function transportPacket(flow: Endpoints, hops = 64): Uint8Array {
  const payload = flow.payload ?? new Uint8Array(0);
  const ports = [...u16(flow.sourcePort), ...u16(flow.destinationPort)];
  const headers: Record<Endpoints["protocol"], number[]> = {
    6: [...ports, 1, 2, 3, 4, 5, 6, 7, 8, 0x50, flow.tcpFlags ?? 0x10, 1, 0, 0, 0, 0, 0],
    17: [...ports, ...u16(8 + payload.length), 0, 0],
    132: [...ports, 9, 9, 9, 9, 0, 0, 0, 0],
  };
  const body = [...headers[flow.protocol], ...payload];
  if (flow.protocol !== 132 && !flow.withoutChecksum) {
    const v4 = [...bytesOf(flow.source), ...bytesOf(flow.destination), 0, flow.protocol, ...u16(body.length)];
    const covered = flow.source.includes(":") ? pseudo(flow.source, flow.destination, body.length, flow.protocol) : v4;
    const sum = complement(internetSum([...covered, ...body]));
    body.splice(flow.protocol === 6 ? 16 : 6, 2, ...u16(flow.protocol === 17 && sum === 0 ? 0xffff : sum));
  }
  const options = flow.options === undefined ? {} : { options: flow.options };
  return ipPacket(flow.source, flow.destination, flow.protocol, body, { hops, ...options });
}

export interface ErrorOptions {
  readonly type: number;
  readonly code?: number;
  /** Bytes 4 to 7. */
  readonly rest?: readonly number[];
  readonly hops?: number;
  readonly options?: Uint8Array;
}

/** An ICMP error with its right checksum, about the packet whose first bytes are `quote`. */
export function icmpError(source: string, destination: string, quote: Uint8Array, options: ErrorOptions): Uint8Array {
  const { type, code = 0, rest = [0, 0, 0, 0] } = options;
  const message = [type, code, 0, 0, ...rest, ...quote];
  const six = source.includes(":");
  const covered = six ? pseudo(source, destination, message.length, 58) : [];
  message.splice(2, 2, ...u16(complement(internetSum([...covered, ...message]))));
  return ipPacket(source, destination, six ? 58 : 1, message, options);
}

/** A question for the link-layer address of `target` (RFC 4861, section 4.3), sent to it. */
export function neighbourSolicitation(source: string, mac: string, target: string): Uint8Array {
  const option = [1, 1, ...mac.split(":").map((byte) => Number.parseInt(byte, 16))];
  return icmpError(source, target, Uint8Array.from([...bytesOf(target), ...option]), { type: 135, hops: 255 });
}
