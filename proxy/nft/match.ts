import type { ByteMatch, PortRangeList, Protocol } from "#shared/api/routes.ts";
import { cidrSpan, type Family } from "#shared/net/ip.ts";
import type { Flow } from "#shared/resolve/intent-types.ts";
import type { FlowClass } from "../moves/flow-moves.ts";

/** Where the fields of a flow stand in a packet, as nftables expressions. */
export interface Fields {
  readonly family: Family;
  readonly source: string;
  readonly destination: string;
  readonly sourcePort: string;
  readonly destinationPort: string;
  readonly protocol: string;
  /**
   * Source, and source then destination, for the flow's hash: as offsets, because `ip saddr` makes nft test each packet's
   * protocol again, where only packets of the family come.
   */
  readonly hashed: { readonly source: string; readonly addresses: string };
  /** Whether expressions are raw offsets: addresses and protocols are then written as plain integers. */
  readonly raw: boolean;
}

const PROTOCOL_NUMBER: Readonly<Record<Protocol, number>> = { TCP: 6, UDP: 17, SCTP: 132 };
export const protocolName = (protocol: Protocol): string => protocol.toLowerCase();
export const protocolNumber = (protocol: Protocol): number => PROTOCOL_NUMBER[protocol];

/** Fields of a packet from a client. */
export function packetFields(family: Family): Fields {
  const ip = family === 4 ? "ip" : "ip6";
  return {
    family,
    source: `${ip} saddr`,
    destination: `${ip} daddr`,
    sourcePort: "th sport",
    destinationPort: "th dport",
    protocol: "meta l4proto",
    hashed:
      family === 4
        ? { source: "@nh,96,32", addresses: "@nh,96,64" }
        : { source: "@nh,64,128", addresses: "@nh,64,128 . @nh,192,128" },
    raw: false,
  };
}

/**
 * Fields of the flow that an ICMP error is about. The error quotes one of our replies (VIP to client), so the flow's
 * source is the quoted destination. Offsets count from the ICMP header (8 bytes), then the quoted header without
 * options (20 or 40 bytes): RFC 792, RFC 4443 section 3.
 */
export function quotedFields(family: Family): Fields {
  return family === 4
    ? {
        family,
        source: "@th,192,32",
        destination: "@th,160,32",
        sourcePort: "@th,240,16",
        destinationPort: "@th,224,16",
        protocol: "@th,136,8",
        hashed: { source: "@th,192,32", addresses: "@th,192,32 . @th,160,32" },
        raw: true,
      }
    : {
        family,
        source: "@th,256,128",
        destination: "@th,128,128",
        sourcePort: "@th,400,16",
        destinationPort: "@th,384,16",
        protocol: "@th,112,8",
        hashed: { source: "@th,256,128", addresses: "@th,256,128 . @th,128,128" },
        raw: true,
      };
}

const hex = (value: bigint): string => `0x${value.toString(16)}`;

/** One nft operand for a list: a single value as it is, several as an anonymous set. */
function anyOf(values: readonly string[]): string {
  const [only] = values;
  return values.length === 1 && only !== undefined ? only : `{ ${values.join(", ")} }`;
}

function ports(expression: string, ranges: PortRangeList): string[] {
  if (ranges.length === 0) return [];
  return [`${expression} ${anyOf(ranges.map(({ from, to }) => (from === to ? `${from}` : `${from}-${to}`)))}`];
}

function bytes({ offset, width, mask, value }: ByteMatch): string {
  const masked = mask === undefined ? "" : ` & ${mask}`;
  return `@th,${offset * 8},${width * 8}${masked} == ${value}`;
}

function sources(fields: Fields, flow: Flow): string[] {
  if (flow.sources.length === 0) return [];
  if (!fields.raw) return [`${fields.source} ${anyOf(flow.sources)}`];
  const spans = flow.sources.map((source) => {
    const { first, last } = cidrSpan(source);
    return first === last ? hex(first) : `${hex(first)}-${hex(last)}`;
  });
  return [`${fields.source} ${anyOf(spans)}`];
}

/** The conditions of a flow but for its VIPs, as one nft rule's left side; "" when nothing is asked. */
export function conditions(fields: Fields, flow: Flow): string {
  const protocols = flow.protocols.map((p) => (fields.raw ? String(protocolNumber(p)) : protocolName(p)));
  return [
    `${fields.protocol} ${anyOf(protocols)}`,
    ...sources(fields, flow),
    ...ports(fields.sourcePort, flow.sourcePorts),
    ...ports(fields.destinationPort, flow.destinationPorts),
    // An error quotes eight bytes of a packet that went the other way: nothing to match bytes on.
    ...(fields.raw ? [] : flow.byteMatches.map(bytes)),
  ].join(" ");
}

/** nft's hash of a flow, `jhash FIELDS mod SIZE seed SEED`. */
export function hashExpression(fields: Fields, flow: Flow, size: number, seed: number): string {
  const { source, addresses } = fields.hashed;
  const tuple = [addresses, fields.sourcePort, fields.destinationPort].join(" . ");
  return `jhash ${flow.hash === "source" ? source : tuple} mod ${size} seed 0x${seed.toString(16)}`;
}

/** How many hashes there are by which kept flows are known: the most that nft's hash can be scaled to. */
export const KEPT_HASHES = 0xffffffff;

/** Added to the seed of the flow's hash, so that nothing is alike in the slot and in what a flow is known by. */
const KEPT_SEED: Readonly<Record<FlowClass, number>> = { connection: 0x9e3779b9, datagram: 0x3c6ef372 };

/** Seed of the hash by which kept flows of a class are known. */
export function keptSeed(flowClass: FlowClass, seed: number): number {
  return (seed + KEPT_SEED[flowClass]) >>> 0;
}

/**
 * What a kept flow is known by: 32 bits of a hash of addresses and ports. Two flows with the same bits share their fate,
 * one pair in 2^32. (nft 1.0.6 cannot write a map's element whose key is longer than 16 bytes, as IPv6's is.)
 */
export function keptExpression(fields: Fields, flowClass: FlowClass, seed: number): string {
  const tuple = [fields.hashed.addresses, fields.sourcePort, fields.destinationPort].join(" . ");
  return `jhash ${tuple} mod ${KEPT_HASHES} seed 0x${keptSeed(flowClass, seed).toString(16)}`;
}
