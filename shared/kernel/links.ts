import {
  type MessageWriter,
  NetlinkDecodeError,
  type NetlinkMessage,
  parseAttributes,
  readU32,
} from "./netlink-message.ts";
import type { NetlinkSocket } from "./netlink-socket.ts";

const RTM_NEWLINK = 16;
const RTM_GETLINK = 18;
const IFINFOMSG_BYTES = 16;
const IFF_UP = 1;
const IFLA = {
  address: 1,
  name: 3,
  mtu: 4,
  link: 5,
  master: 10,
  linkInfo: 18,
  afSpec: 26,
  extMask: 29,
  carrier: 33,
  netnsId: 37,
};
const AF_INET = 2;
const IFLA_INET_CONF = 1;
/** Places in IFLA_INET_CONF, from 1 (IPV4_DEVCONF_* in linux/ip.h). */
const IPV4_CONF = {
  send_redirects: 6,
  rp_filter: 8,
  arp_announce: 18,
  arp_ignore: 19,
  arp_notify: 22,
  accept_local: 23,
} as const;
type Ipv4Conf = Readonly<Record<keyof typeof IPV4_CONF, number>>;
const IFLA_INFO_KIND = 1;
/** Leaves the counters out: they are most of a link's message. */
const RTEXT_FILTER_SKIP_STATS = 8;

export interface Link {
  readonly ifindex: number;
  readonly name: string;
  /** "veth", "bridge", "vxlan" …; undefined for physical devices and the loopback. */
  readonly kind: string | undefined;
  /** Administratively up. */
  readonly up: boolean;
  /** Has a carrier. False while the device is down. */
  readonly carrier: boolean;
  readonly mtu: number;
  /** "02:00:00:00:00:01"; undefined where the device has none. */
  readonly mac: string | undefined;
  /** The bridge or bond it belongs to. */
  readonly masterIfindex: number | undefined;
  /** The other end of a veth, or the parent of a VLAN or macvlan. */
  readonly linkIfindex: number | undefined;
  /** In which namespace `linkIfindex` is, when not in this one: the kernel's local id of that namespace. */
  readonly linkNetnsId: number | undefined;
  /** Settings in net/ipv4/conf: a listing of links brings them along, a file takes 20 µs each. */
  readonly ipv4Conf: Ipv4Conf | undefined;
}

export function listLinks(socket: NetlinkSocket): Link[] {
  return socket.dump(linkRequest("links", 0, undefined), parseLink);
}

/** One link by ifindex or name. Throws KernelNotFoundError. */
export function getLink(socket: NetlinkSocket, device: number | string): Link {
  const request =
    typeof device === "number"
      ? linkRequest(`link ${device}`, device, undefined)
      : linkRequest(`link ${device}`, 0, device);
  return socket.query(request, parseLink);
}

function linkRequest(object: string, ifindex: number, name: string | undefined) {
  return {
    type: RTM_GETLINK,
    flags: 0,
    describe: () => object,
    write: (writer: MessageWriter) => {
      writer.u32(0).u32(ifindex).u32(0).u32(0).attributeU32(IFLA.extMask, RTEXT_FILTER_SKIP_STATS);
      if (name !== undefined) writer.attributeString(IFLA.name, name);
    },
  };
}

function parseLink({ type, payload }: NetlinkMessage): Link {
  if (type !== RTM_NEWLINK) throw new NetlinkDecodeError(`link request answered with message type ${type}`);
  const attributes = parseAttributes(payload, IFINFOMSG_BYTES);
  const mac = attributes.bytes(IFLA.address);
  return {
    ifindex: readU32(payload, 4),
    name: attributes.string(IFLA.name) ?? "",
    kind: attributes.nested(IFLA.linkInfo)?.string(IFLA_INFO_KIND),
    up: (readU32(payload, 8) & IFF_UP) !== 0,
    carrier: attributes.u8(IFLA.carrier) === 1,
    mtu: attributes.u32(IFLA.mtu) ?? 0,
    mac: mac?.length ? Array.from(mac, (byte) => byte.toString(16).padStart(2, "0")).join(":") : undefined,
    masterIfindex: attributes.u32(IFLA.master),
    linkIfindex: attributes.u32(IFLA.link),
    linkNetnsId: attributes.i32(IFLA.netnsId),
    ipv4Conf: parseIpv4Conf(attributes.nested(IFLA.afSpec)?.nested(AF_INET)?.bytes(IFLA_INET_CONF)),
  };
}

function parseIpv4Conf(values: Uint8Array | undefined): Ipv4Conf | undefined {
  if (values === undefined) return undefined;
  const at = (name: keyof typeof IPV4_CONF): number => readU32(values, (IPV4_CONF[name] - 1) * 4);
  return {
    send_redirects: at("send_redirects"),
    rp_filter: at("rp_filter"),
    arp_announce: at("arp_announce"),
    arp_ignore: at("arp_ignore"),
    arp_notify: at("arp_notify"),
    accept_local: at("accept_local"),
  };
}

/** The value of a sysctl such as "net/ipv4/conf/eth0/rp_filter" as far as a listing of links knows it. */
export function listedSysctl(links: Iterable<Link>, key: string): string | undefined {
  const [, name, setting] = /^net\/ipv4\/conf\/([^/]+)\/([a-z_]+)$/.exec(key) ?? [];
  for (const { ipv4Conf, name: device } of links) {
    if (device !== name || ipv4Conf === undefined) continue;
    const value = Object.entries(ipv4Conf).find(([known]) => known === setting)?.[1];
    return value === undefined ? undefined : String(value);
  }
  return undefined;
}
