import type { Protocol } from "#shared/api/routes.ts";
import { formatAddress } from "#shared/kernel/address-bytes.ts";
import { type Family, type Ip, parseIp } from "#shared/net/ip.ts";
import { checksum } from "./checksum.ts";

/*
 * An ICMP error and the packet it quotes, taken apart: RFC 792, RFC 4443 section 3. Offsets are checked once, here;
 * nothing is read that the packet does not hold.
 */

const ICMP = { 4: 1, 6: 58 } as const;
const ERROR_TYPES = { 4: [3, 11, 12], 6: [1, 2, 3, 4] } as const;
const ICMP_HEADER = 8;
/** Routers quote up to 576 bytes in all (RFC 1812, 4.3.2.3) or up to 1280 (RFC 4443, 2.4): what is longer is not theirs. */
const MAX_BYTES = 1280;
const PROTOCOLS: ReadonlyMap<number, Protocol> = new Map([
  [6, "TCP"],
  [17, "UDP"],
  [132, "SCTP"],
]);
const HOP_BY_HOP = 0;
const FRAGMENT = 44;
const DESTINATION_OPTIONS = 60;
const MAX_EXTENSIONS = 8;

/** Where things stand in the bytes of the ICMP message, that is without the outer IP header. */
interface Quote {
  /** The quoted IP header. */
  readonly header: number;
  /** The quoted transport header; its first four bytes are there. */
  readonly transport: number;
  readonly protocol: Protocol;
  readonly source: Ip;
  readonly destination: Ip;
  readonly sourcePort: number;
  readonly destinationPort: number;
}

export interface IcmpError {
  readonly family: Family;
  readonly source: Ip;
  readonly destination: Ip;
  /** TTL or hop limit with which it arrived. */
  readonly hops: number;
  /** DSCP and ECN; 0 for IPv6, whose raw sockets do not tell. */
  readonly trafficClass: number;
  /** From the ICMP header on: a copy, free to be written. */
  readonly message: Uint8Array;
  readonly quote: Quote;
}

/** Why an ICMP message is not one to translate. */
export type Refusal = "malformed" | "bad-checksum" | "not-an-error" | "too-long" | "quote-too-short" | "other-protocol";

export function addressWidth(family: Family): 4 | 16 {
  return family === 4 ? 4 : 16;
}

/** What ICMPv6 and transport checksums cover besides the payload (RFC 8200, section 8.1). */
export function pseudoHeader6(source: Uint8Array, destination: Uint8Array, length: number, next: number): Uint8Array {
  const bytes = new Uint8Array(40);
  bytes.set(source, 0);
  bytes.set(destination, 16);
  new DataView(bytes.buffer).setUint32(32, length);
  bytes[39] = next;
  return bytes;
}

interface Outer {
  readonly family: Family;
  readonly headerBytes: number;
  readonly totalBytes: number;
}

function outerHeader(packet: Uint8Array): Outer | undefined {
  const view = new DataView(packet.buffer, packet.byteOffset, packet.byteLength);
  if (packet.length < 20) return undefined;
  const version = view.getUint8(0) >> 4;
  if (version === 4) {
    const headerBytes = (view.getUint8(0) & 0xf) * 4;
    const totalBytes = view.getUint16(2);
    const whole = headerBytes >= 20 && totalBytes >= headerBytes && totalBytes <= packet.length;
    // A fragment that was not put together holds no whole message.
    const fits = whole && view.getUint8(9) === ICMP[4] && (view.getUint16(6) & 0x3fff) === 0;
    return fits ? { family: 4, headerBytes, totalBytes } : undefined;
  }
  if (version !== 6 || packet.length < 40 || view.getUint8(6) !== ICMP[6]) return undefined;
  const totalBytes = 40 + view.getUint16(4);
  return totalBytes <= packet.length ? { family: 6, headerBytes: 40, totalBytes } : undefined;
}

function addressAt(bytes: Uint8Array, offset: number, family: Family): Ip | undefined {
  return parseIp(formatAddress(bytes.subarray(offset, offset + addressWidth(family))));
}

/** Offset and number of the transport header in a quoted IPv6 packet; undefined when the quote ends before it. */
function transport6(message: Uint8Array, header: number): { offset: number; next: number } | undefined {
  let next = message[header + 6] ?? 0;
  let offset = header + 40;
  for (let count = 0; count < MAX_EXTENSIONS; count++) {
    if (next !== HOP_BY_HOP && next !== FRAGMENT && next !== DESTINATION_OPTIONS) return { offset, next };
    if (offset + 8 > message.length) return undefined;
    // A later fragment has no transport header.
    if (next === FRAGMENT && (((message[offset + 2] ?? 0) << 8) | (message[offset + 3] ?? 0)) >> 3 !== 0)
      return undefined;
    const bytes = next === FRAGMENT ? 8 : ((message[offset + 1] ?? 0) + 1) * 8;
    next = message[offset] ?? 0;
    offset += bytes;
  }
  return undefined;
}

function transport4(message: Uint8Array, header: number): { offset: number; next: number } | undefined {
  const bytes = ((message[header] ?? 0) & 0xf) * 4;
  const fragment = (((message[header + 6] ?? 0) << 8) | (message[header + 7] ?? 0)) & 0x1fff;
  return bytes < 20 || fragment !== 0 ? undefined : { offset: header + bytes, next: message[header + 9] ?? 0 };
}

function parseQuote(message: Uint8Array, family: Family): Quote | Refusal {
  const header = ICMP_HEADER;
  if (message.length < header + (family === 4 ? 20 : 40)) return "quote-too-short";
  if ((message[header] ?? 0) >> 4 !== family) return "malformed";
  const found = family === 4 ? transport4(message, header) : transport6(message, header);
  if (found === undefined || found.offset + 4 > message.length) return "quote-too-short";
  const protocol = PROTOCOLS.get(found.next);
  if (protocol === undefined) return "other-protocol";
  const addresses = header + (family === 4 ? 12 : 8);
  const source = addressAt(message, addresses, family);
  const destination = addressAt(message, addresses + addressWidth(family), family);
  if (source === undefined || destination === undefined) return "malformed";
  const view = new DataView(message.buffer, message.byteOffset, message.byteLength);
  return {
    header,
    transport: found.offset,
    protocol,
    source,
    destination,
    sourcePort: view.getUint16(found.offset),
    destinationPort: view.getUint16(found.offset + 2),
  };
}

/** Takes a whole IP packet apart; never throws, whatever the bytes. */
export function parseIcmpError(packet: Uint8Array): IcmpError | Refusal {
  const outer = outerHeader(packet);
  if (outer === undefined) return "malformed";
  const { family, headerBytes, totalBytes } = outer;
  if (totalBytes > MAX_BYTES) return "too-long";
  const message = packet.slice(headerBytes, totalBytes);
  if (message.length < ICMP_HEADER) return "malformed";
  if (!ERROR_TYPES[family].some((type) => type === message[0])) return "not-an-error";
  const at = family === 4 ? 12 : 8;
  const width = addressWidth(family);
  const pseudo = pseudoHeader6(packet.subarray(8, 24), packet.subarray(24, 40), message.length, ICMP[6]);
  // The kernel hands raw IPv4 sockets messages before it checks them.
  if (checksum(...(family === 6 ? [pseudo] : []), message) !== 0) return "bad-checksum";
  const source = addressAt(packet, at, family);
  const destination = addressAt(packet, at + width, family);
  if (source === undefined || destination === undefined) return "malformed";
  const quote = parseQuote(message, family);
  if (typeof quote === "string") return quote;
  const hops = packet[family === 4 ? 8 : 7] ?? 0;
  const trafficClass = family === 4 ? (packet[1] ?? 0) : 0;
  return { family, source, destination, hops, trafficClass, message, quote };
}
