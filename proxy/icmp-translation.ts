import type { Protocol } from "#shared/api/routes.ts";
import { RETURN_MARK } from "#shared/instance/marks.ts";
import { addressBytes } from "#shared/kernel/address-bytes.ts";
import type { Family, Ip } from "#shared/net/ip.ts";
import type { Flow, Intent, Leg } from "#shared/resolve/intent-types.ts";
import type { Packet } from "#shared/resolve/locate.ts";
import { isPrimary } from "#shared/resolve/primary-network.ts";
import { checksum, updatedChecksum } from "./checksum.ts";
import { addressWidth, type IcmpError, parseIcmpError, pseudoHeader6, type Refusal } from "./icmp-packet.ts";

/*
 * ICMP errors about translated flows (RFC 5508, section 4.2): what an error quotes is translated like the packet it
 * came from, the other way round, and the error goes on to whom that packet belongs.
 */

export type DropReason =
  | Refusal
  /** Its hops are used up. */
  | "hops-exceeded"
  /** It is not sent to the source of what it quotes. */
  | "wrong-receiver"
  /** It is about no flow of this Gateway (or about this host's own traffic). */
  | "no-flow";

export type Translation =
  /** `mark`: how it is to be routed; 0: by the main table, to the target. */
  | { readonly kind: "to-target" | "to-client"; readonly packet: Uint8Array; readonly mark: number }
  | { readonly kind: "dropped"; readonly reason: DropReason };

/** An address and port of the quoted packet, and what they become. */
interface Rewrite {
  readonly side: "source" | "destination";
  readonly address: Ip;
  readonly port: number;
}

interface EndPoint {
  readonly address: Ip;
  readonly port: number;
}

/** The leg that a flow's packets go to, where a packet begins no flow. */
export type LegOf = (packet: Packet) => Leg | undefined;

/** The target that an error about one of its replies (VIP to client) belongs to. */
function targetOf({ family, quote }: IcmpError, legOf: LegOf): EndPoint | undefined {
  const leg = legOf({
    source: quote.destination,
    destination: quote.source,
    sourcePort: quote.destinationPort,
    destinationPort: quote.sourcePort,
    protocol: quote.protocol,
  });
  // What is tracked the kernel translates itself; it has not, so it knows of no such connection.
  const address = leg === undefined || isPrimary(leg) ? undefined : leg.addresses[family];
  return address === undefined ? undefined : { address, port: leg?.port ?? quote.sourcePort };
}

/** The VIP's port for which a flow's leg translates to `port` of the target; undefined when it does not. */
function vipPort(flow: Flow, legPort: number | undefined, port: number): number | undefined {
  const ranges = flow.destinationPorts;
  if (legPort === undefined) {
    return ranges.length === 0 || ranges.some(({ from, to }) => from <= port && port <= to) ? port : undefined;
  }
  const [only] = ranges;
  const single = ranges.length === 1 && only !== undefined && only.from === only.to;
  return legPort === port ? (single ? only.from : port) : undefined;
}

/** The VIP and port for which a target's port answers: intents give each of them one. */
function vipOf(
  intent: Intent,
  family: Family,
  target: Ip,
  protocol: Protocol,
  targetPort: number,
): EndPoint | undefined {
  for (const flow of intent.flows) {
    const [address] = flow.vips;
    const table = flow.table === undefined ? undefined : intent.tables.get(flow.table);
    if (flow.family !== family || address === undefined || !flow.protocols.includes(protocol)) continue;
    for (const id of [...(table?.legs ?? []), ...flow.draining]) {
      const leg = intent.legs.get(id);
      const port =
        leg?.addresses[family] === target && !isPrimary(leg) ? vipPort(flow, leg.port, targetPort) : undefined;
      if (port !== undefined) return { address, port };
    }
  }
  return undefined;
}

/** Offset of the transport checksum that is of the Internet kind; SCTP's CRC covers no address, and nobody checks a quote's. */
const CHECKSUM_OFFSET: Readonly<Record<Protocol, number | undefined>> = { TCP: 16, UDP: 6, SCTP: undefined };

/** Rewrites the quoted packet in place, with its checksums as far as the quote reaches. */
function rewriteQuote({ family, message, quote }: IcmpError, { side, address, port }: Rewrite): void {
  const width = addressWidth(family);
  const view = new DataView(message.buffer, message.byteOffset, message.byteLength);
  const isSource = side === "source";
  const addressAt = quote.header + (family === 4 ? 12 : 8) + (isSource ? 0 : width);
  const portAt = quote.transport + (isSource ? 0 : 2);
  const oldAddress = message.slice(addressAt, addressAt + width);
  const newAddress = addressBytes(address);
  const oldPort = message.slice(portAt, portAt + 2);
  const newPort = Uint8Array.of(port >> 8, port & 0xff);
  message.set(newAddress, addressAt);
  message.set(newPort, portAt);
  if (family === 4) {
    const at = quote.header + 10;
    view.setUint16(at, updatedChecksum(view.getUint16(at), oldAddress, newAddress));
  }
  const offset = CHECKSUM_OFFSET[quote.protocol];
  const at = offset === undefined ? message.length : quote.transport + offset;
  if (at + 2 > message.length) return;
  const old = view.getUint16(at);
  // UDP: zero says that there is none (RFC 768); a sum that comes out as zero is written as its complement.
  if (quote.protocol === "UDP" && old === 0) return;
  const sum = updatedChecksum(updatedChecksum(old, oldAddress, newAddress), oldPort, newPort);
  view.setUint16(at, quote.protocol === "UDP" && sum === 0 ? 0xffff : sum);
}

/** A new IP header without options before the message, whose checksum is made anew. */
function assemble(error: IcmpError, source: Ip, destination: Ip): Uint8Array {
  const { family, message, hops, trafficClass } = error;
  const from = addressBytes(source);
  const to = addressBytes(destination);
  const header = new Uint8Array(family === 4 ? 20 : 40);
  const view = new DataView(header.buffer);
  message.fill(0, 2, 4);
  const messageView = new DataView(message.buffer, message.byteOffset, message.byteLength);
  if (family === 4) {
    view.setUint8(0, 0x45);
    view.setUint8(1, trafficClass);
    view.setUint16(2, header.length + message.length);
    view.setUint8(8, hops - 1);
    view.setUint8(9, 1);
    header.set(from, 12);
    header.set(to, 16);
    view.setUint16(10, checksum(header));
    messageView.setUint16(2, checksum(message));
  } else {
    view.setUint8(0, 0x60);
    view.setUint16(4, message.length);
    view.setUint8(6, 58);
    view.setUint8(7, hops - 1);
    header.set(from, 8);
    header.set(to, 24);
    messageView.setUint16(2, checksum(pseudoHeader6(from, to, message.length, 58), message));
  }
  const packet = new Uint8Array(header.length + message.length);
  packet.set(header);
  packet.set(message, header.length);
  return packet;
}

/**
 * Translates an ICMP error that was delivered to this instance. Pure, and total: any bytes give an answer.
 * @param packet from its IP header on.
 */
export function translateIcmpError(intent: Intent, packet: Uint8Array, legOf: LegOf): Translation {
  const error = parseIcmpError(packet);
  if (typeof error === "string") return { kind: "dropped", reason: error };
  const { family, quote } = error;
  if (quote.source !== error.destination) return { kind: "dropped", reason: "wrong-receiver" };
  if (error.hops < 2) return { kind: "dropped", reason: "hops-exceeded" };
  if (intent.vips.includes(error.destination)) {
    const target = targetOf(error, legOf);
    if (target === undefined) return { kind: "dropped", reason: "no-flow" };
    rewriteQuote(error, { side: "source", ...target });
    return { kind: "to-target", packet: assemble(error, error.source, target.address), mark: 0 };
  }
  const vip = vipOf(intent, family, quote.destination, quote.protocol, quote.destinationPort);
  if (vip === undefined) return { kind: "dropped", reason: "no-flow" };
  rewriteQuote(error, { side: "destination", ...vip });
  // The client knows the VIP only, whoever inside has sent the error.
  return { kind: "to-client", packet: assemble(error, vip.address, error.destination), mark: RETURN_MARK };
}
