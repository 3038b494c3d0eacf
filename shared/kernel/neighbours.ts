import { type Family, formatAddress } from "./address-bytes.ts";
import { type NetlinkMessage, parseAttributes, readU8, readU16, readU32 } from "./netlink-message.ts";
import type { NetlinkRequest, NetlinkSocket } from "./netlink-socket.ts";

const RTM_NEWNEIGH = 28;
const RTM_GETNEIGH = 30;
const NDMSG_BYTES = 12;
const NDA_DST = 1;
const NDA_LLADDR = 2;
const NDA_IFINDEX = 8;

const STATES = [
  [0x01, "incomplete"],
  [0x02, "reachable"],
  [0x04, "stale"],
  [0x08, "delay"],
  [0x10, "probe"],
  [0x20, "failed"],
  [0x40, "noarp"],
  [0x80, "permanent"],
] as const;

type NeighbourState = (typeof STATES)[number][1] | "none";

export interface Neighbour {
  readonly family: Family;
  readonly ifindex: number;
  readonly address: string;
  /** Undefined while unresolved. */
  readonly mac: string | undefined;
  readonly state: NeighbourState;
}

/** The ARP and neighbour-discovery entries, of one device when given. */
export function listNeighbours(socket: NetlinkSocket, filter: { readonly ifindex?: number } = {}): Neighbour[] {
  const request: NetlinkRequest = {
    type: RTM_GETNEIGH,
    flags: 0,
    describe: () => "neighbours",
    write: (writer) => {
      writer.u32(0).u32(0).u32(0); // a strict kernel wants the device as an attribute, not in the header
      if (filter.ifindex !== undefined) writer.attributeU32(NDA_IFINDEX, filter.ifindex);
    },
  };
  return socket.dump(request, (message) => {
    const neighbour = parseNeighbour(message);
    return filter.ifindex === undefined || neighbour?.ifindex === filter.ifindex ? neighbour : undefined;
  });
}

function parseNeighbour({ type, payload }: NetlinkMessage): Neighbour | undefined {
  const family = readU8(payload, 0);
  if (type !== RTM_NEWNEIGH || (family !== 2 && family !== 10)) return undefined;
  const attributes = parseAttributes(payload, NDMSG_BYTES);
  const address = attributes.bytes(NDA_DST);
  if (!address) return undefined;
  const mac = attributes.bytes(NDA_LLADDR);
  const state = readU16(payload, 8);
  return {
    family: family === 2 ? 4 : 6,
    ifindex: readU32(payload, 4),
    address: formatAddress(address),
    mac: mac && Array.from(mac, (byte) => byte.toString(16).padStart(2, "0")).join(":"),
    state: STATES.find(([bit]) => (state & bit) !== 0)?.[1] ?? "none",
  };
}
