import type { ByteMatch, PortRangeList, Protocol } from "../api/routes.ts";
import { flowSlot } from "../balance/flow-hash.ts";
import { cidrContains, familyOf, type Ip } from "../net/ip.ts";
import { type Flow, type Intent, type Leg, REFUSED, type Table } from "./intent-types.ts";

/** A packet from a client, as far as the balancer looks at it. */
export interface Packet {
  readonly source: Ip;
  readonly destination: Ip;
  readonly sourcePort: number;
  readonly destinationPort: number;
  readonly protocol: Protocol;
  /** The transport header and what follows, for byte matches; without it a flow that matches bytes is left out. */
  readonly transport?: Uint8Array;
}

/** Where a packet goes and why. */
export type Location =
  /** The destination is no VIP of this Gateway: the instance's stack takes it. */
  | { readonly kind: "not-a-vip" }
  /** No flow matches: dropped and counted. */
  | { readonly kind: "unmatched" }
  /** The flow has no ready target: dropped and counted. */
  | { readonly kind: "no-target"; readonly flow: Flow }
  /** The slot belongs to a backend that does not resolve: refused. */
  | {
      readonly kind: "refused";
      readonly flow: Flow;
      readonly table: Table;
      readonly hash: number;
      readonly slot: number;
    }
  | {
      readonly kind: "target";
      readonly flow: Flow;
      readonly table: Table;
      readonly hash: number;
      readonly slot: number;
      readonly leg: Leg;
    };

const covers = (ranges: PortRangeList, port: number): boolean =>
  ranges.length === 0 || ranges.some(({ from, to }) => from <= port && port <= to);

function bytesMatch({ offset, width, mask, value }: ByteMatch, transport: Uint8Array | undefined): boolean {
  if (transport === undefined || transport.length < offset + width) return false;
  let word = 0n;
  for (const byte of transport.subarray(offset, offset + width)) word = (word << 8n) | BigInt(byte);
  return (mask === undefined ? word : word & BigInt(mask)) === BigInt(value);
}

function matches(flow: Flow, packet: Packet): boolean {
  return (
    flow.vips.includes(packet.destination) &&
    flow.protocols.includes(packet.protocol) &&
    covers(flow.destinationPorts, packet.destinationPort) &&
    covers(flow.sourcePorts, packet.sourcePort) &&
    (flow.sources.length === 0 || flow.sources.some((source) => cidrContains(source, packet.source))) &&
    flow.byteMatches.every((match) => bytesMatch(match, packet.transport))
  );
}

/** The decision that the kernel's tables make, made from the intent. */
export function locate(intent: Intent, packet: Packet): Location {
  if (!intent.vips.includes(packet.destination) || familyOf(packet.source) !== familyOf(packet.destination)) {
    return { kind: "not-a-vip" };
  }
  const flow = intent.flows.find((candidate) => matches(candidate, packet));
  if (flow === undefined) return { kind: "unmatched" };
  const table = flow.table === undefined ? undefined : intent.tables.get(flow.table);
  if (table === undefined) return { kind: "no-target", flow };
  const { hash, slot } = flowSlot(packet, flow.hash, table.size, intent.hashSeed);
  const owner = table.slots[slot];
  const leg = owner === undefined || owner === REFUSED ? undefined : intent.legs.get(owner);
  return leg === undefined
    ? { kind: "refused", flow, table, hash, slot }
    : { kind: "target", flow, table, hash, slot, leg };
}
