import { addressBytes, type Family, formatAddress } from "./address-bytes.ts";
import { KernelError } from "./kernel-error.ts";
import { getLink } from "./links.ts";
import { type MessageWriter, parseAttributes, readU8 } from "./netlink-message.ts";
import type { NetlinkSocket } from "./netlink-socket.ts";
import { gatewayOf, ROUTE_TYPES, type RouteType, RTA, RTMSG_BYTES } from "./routes.ts";

const RTM_GETROUTE = 26;
const RTM_F_LOOKUP_TABLE = 0x1000;
const RTAX_MTU = 2;
const NO_ROUTE = new Set(["ENETUNREACH", "EHOSTUNREACH", "EACCES"]);

export interface RouteLookupOptions {
  readonly mark?: number;
  /** The packet's source address. */
  readonly from?: string;
  /** Ask as for a packet that arrived on this device. IPv4 then wants `from` and applies its reverse path filter. */
  readonly iif?: number;
}

export type RouteLookup =
  | {
      readonly reachable: true;
      readonly type: RouteType;
      readonly gateway: string | undefined;
      readonly ifindex: number;
      readonly table: number;
      readonly preferredSource: string | undefined;
      /** Of the path as far as the kernel knows it, otherwise of the device; bytes. */
      readonly mtu: number;
    }
  | {
      readonly reachable: false /** "ENETUNREACH", "EHOSTUNREACH", or "EACCES" for a prohibit route. */;
      readonly code: string;
    };

/** Where the kernel would send a packet. A blackhole route is KernelInvalidError (EINVAL), as the kernel reports it. */
export function lookupRoute(socket: NetlinkSocket, destination: string, options: RouteLookupOptions = {}): RouteLookup {
  const describe = () => `route lookup of ${destination}${options.from === undefined ? "" : ` from ${options.from}`}`;
  const bytes = addressBytes(destination);
  const from = options.from === undefined ? undefined : addressBytes(options.from);
  const family: Family = bytes.length === 4 ? 4 : 6;
  const request = {
    type: RTM_GETROUTE,
    flags: 0,
    describe,
    write: (writer: MessageWriter) => {
      writer
        .u8(family === 4 ? 2 : 10)
        .u8(bytes.length * 8)
        .u8(from ? from.length * 8 : 0)
        .u8(0);
      // IPv6 says the table anyway, and refuses the flag.
      writer.u32(0).u32(family === 4 ? RTM_F_LOOKUP_TABLE : 0);
      writer.attribute(RTA.destination, bytes);
      if (from) writer.attribute(RTA.source, from);
      if (options.mark !== undefined) writer.attributeU32(RTA.mark, options.mark);
      if (options.iif !== undefined) writer.attributeU32(RTA.iif, options.iif);
    },
  };
  try {
    const { pathMtu, ...found } = socket.query(request, ({ payload }) => {
      const attributes = parseAttributes(payload, RTMSG_BYTES);
      const source = attributes.bytes(RTA.preferredSource);
      return {
        reachable: true as const,
        type: ROUTE_TYPES[readU8(payload, 7)] ?? "unspec",
        gateway: gatewayOf(attributes),
        ifindex: attributes.u32(RTA.oif) ?? 0,
        table: attributes.u32(RTA.table) ?? readU8(payload, 4),
        preferredSource: source && formatAddress(source),
        pathMtu: attributes.nested(RTA.metrics)?.u32(RTAX_MTU),
      };
    });
    return { ...found, mtu: pathMtu ?? getLink(socket, found.ifindex).mtu };
  } catch (error) {
    if (error instanceof KernelError && NO_ROUTE.has(error.code)) return { reachable: false, code: error.code };
    throw error;
  }
}
