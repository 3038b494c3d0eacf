import type { Protocol } from "../api/routes.ts";
import { familyOf, type Ip } from "../net/ip.ts";
import { addressBytes } from "./address-bytes.ts";
import { KernelNotFoundError } from "./kernel-error.ts";
import { type Attributes, type MessageWriter, parseAttributes } from "./netlink-message.ts";
import type { NetlinkSocket } from "./netlink-socket.ts";

/*
 * Connections that the kernel tracks in a network namespace, by netlink. Message and attribute numbers:
 * linux/netfilter/nfnetlink_conntrack.h. Numbers are in network order.
 */

const NFNL_SUBSYS_CTNETLINK = 1 << 8;
const GET = NFNL_SUBSYS_CTNETLINK | 1;
const DELETE = NFNL_SUBSYS_CTNETLINK | 2;
const NFGENMSG_BYTES = 4;
const CTA = { original: 1, mark: 8, markMask: 21 } as const;
const TUPLE = { ip: 1, proto: 2 } as const;
const TUPLE_IP = { source4: 1, destination4: 2, source6: 3, destination6: 4 } as const;
const TUPLE_PROTO = { number: 1, sourcePort: 2, destinationPort: 3 } as const;
const AF = { 4: 2, 6: 10 } as const;
const IPPROTO: Readonly<Record<Protocol, number>> = { TCP: 6, UDP: 17, SCTP: 132 };

/** A connection as its first packet had it. */
export interface TrackedTuple {
  readonly protocol: Protocol;
  readonly source: Ip;
  readonly sourcePort: number;
  readonly destination: Ip;
  readonly destinationPort: number;
}

function u32(value: number): Uint8Array {
  const bytes = new Uint8Array(4);
  new DataView(bytes.buffer).setUint32(0, value);
  return bytes;
}
const u16 = (value: number): Uint8Array => Uint8Array.of(value >> 8, value & 0xff);

function markOf(attributes: Attributes): number {
  const bytes = attributes.bytes(CTA.mark);
  return bytes?.length === 4 ? new DataView(bytes.buffer, bytes.byteOffset, 4).getUint32(0) : 0;
}

/** The mark of one connection; undefined when it is not tracked. Costs one system call. */
export function trackedMark(netfilter: NetlinkSocket, tuple: TrackedTuple): number | undefined {
  const { protocol, source, sourcePort, destination, destinationPort } = tuple;
  const family = familyOf(destination);
  const at = family === 4 ? { source: TUPLE_IP.source4, destination: TUPLE_IP.destination4 } : undefined;
  const ips = at ?? { source: TUPLE_IP.source6, destination: TUPLE_IP.destination6 };
  const request = {
    type: GET,
    flags: 0,
    describe: () => `the tracked connection ${protocol} ${source}:${sourcePort} -> ${destination}:${destinationPort}`,
    write: (writer: MessageWriter) =>
      void writer
        .u8(AF[family])
        .u8(0)
        .u8(0)
        .u8(0)
        .nested(CTA.original, () => {
          writer.nested(TUPLE.ip, () =>
            writer.attribute(ips.source, addressBytes(source)).attribute(ips.destination, addressBytes(destination)),
          );
          writer.nested(TUPLE.proto, () =>
            writer
              .attribute(TUPLE_PROTO.number, Uint8Array.of(IPPROTO[protocol]))
              .attribute(TUPLE_PROTO.sourcePort, u16(sourcePort))
              .attribute(TUPLE_PROTO.destinationPort, u16(destinationPort)),
          );
        }),
  };
  try {
    return netfilter.query(request, ({ payload }) => markOf(parseAttributes(payload, NFGENMSG_BYTES)));
  } catch (error) {
    if (error instanceof KernelNotFoundError) return undefined;
    throw error;
  }
}

/** How many connections have which mark, of those with one whose first packet was to one of these addresses. */
export function trackedMarks(netfilter: NetlinkSocket, to: ReadonlySet<Ip>): ReadonlyMap<number, number> {
  const wanted = new Set([...to].map((address) => addressBytes(address).join(".")));
  const counts = new Map<number, number>();
  const request = {
    type: GET,
    flags: 0,
    describe: () => "tracked connections",
    write: (writer: MessageWriter) => void writer.u8(0).u8(0).u8(0).u8(0),
  };
  netfilter.dump(request, ({ payload }): undefined => {
    const connection = parseAttributes(payload, NFGENMSG_BYTES);
    const mark = markOf(connection);
    const ips = mark === 0 ? undefined : connection.nested(CTA.original)?.nested(TUPLE.ip);
    const destination = ips?.bytes(TUPLE_IP.destination4) ?? ips?.bytes(TUPLE_IP.destination6);
    if (destination !== undefined && wanted.has(destination.join("."))) counts.set(mark, (counts.get(mark) ?? 0) + 1);
    return undefined;
  });
  return counts;
}

/** Forgets all connections with one of these marks: their next packets are as if nothing had been before. */
export function forgetTracked(netfilter: NetlinkSocket, marks: readonly number[]): void {
  const requests = marks.map((mark) => ({
    type: DELETE,
    flags: 0,
    describe: () => `tracked connections with mark ${mark}`,
    write: (writer: MessageWriter) =>
      void writer.u8(0).u8(0).u8(0).u8(0).attribute(CTA.mark, u32(mark)).attribute(CTA.markMask, u32(0xffffffff)),
  }));
  const failures = netfilter.requestAll(requests).filter((error) => error !== undefined);
  if (failures.length > 0) throw new AggregateError(failures, "tracked connections cannot be forgotten");
}
