import {
  addressBytes,
  anyPrefix,
  canonicalAddress,
  canonicalPrefix,
  type Family,
  formatAddress,
  prefixBytes,
} from "./address-bytes.ts";
import { type Action, applyPlan, type FailedChange, type Plan } from "./apply-plan.ts";
import { KernelInvalidError, KernelNotFoundError } from "./kernel-error.ts";
import {
  type Attributes,
  type MessageWriter,
  NetlinkDecodeError,
  type NetlinkMessage,
  parseAttributes,
  parseNextHops,
  readU8,
  readU16,
  readU32,
} from "./netlink-message.ts";
import { type NetlinkRequest, type NetlinkSocket, NLM_F_CREATE, NLM_F_EXCL, NLM_F_REPLACE } from "./netlink-socket.ts";

const RTM_NEWROUTE = 24;
const RTM_DELROUTE = 25;
const RTM_GETROUTE = 26;
export const RTMSG_BYTES = 12;
const RTM_F_CLONED = 0x200;
const RTNH_F_ONLINK = 4;
const RTAX_MTU = 2;
const AF_INET = 2;
const AF_INET6 = 10;
/** IPv6's metric where none is given. */
const IPV6_DEFAULT_METRIC = 1024;
const LOOPBACK_IFINDEX = 1;
const SCOPE = { universe: 0, link: 253, host: 254, nowhere: 255 };

export const RTA = {
  destination: 1,
  source: 2,
  iif: 3,
  oif: 4,
  gateway: 5,
  metric: 6,
  preferredSource: 7,
  metrics: 8,
  multipath: 9,
  table: 15,
  mark: 16,
  via: 18,
};

export const ROUTE_TYPES = [
  "unspec",
  "unicast",
  "local",
  "broadcast",
  "anycast",
  "multicast",
  "blackhole",
  "unreachable",
  "prohibit",
  "throw",
  "nat",
  "xresolve",
] as const;
export type RouteType = (typeof ROUTE_TYPES)[number];

/** A way to go: through a gateway, straight out of a device, or both named. */
interface NextHop {
  /** Of either family: an IPv4 route may go through an IPv6 gateway (RFC 8950). */
  readonly gateway?: string | undefined;
  readonly ifindex?: number | undefined;
  /** Take the gateway as a neighbour on the device although no connected prefix covers it. */
  readonly onlink?: boolean;
  /** 1 (default) to 256: its share among several next hops. */
  readonly weight?: number;
}

export interface Route {
  /** "addr/len"; "0.0.0.0/0" and "::/0" are the default routes. */
  readonly destination: string;
  /** 1 to 2^32-1; 254 is main, 255 local. */
  readonly table: number;
  /** Default "unicast". */
  readonly type?: RouteType;
  /** One for a plain route, several for ECMP, none for blackhole, unreachable, prohibit and throw. */
  readonly nextHops: readonly NextHop[];
  /** Lower wins. Default 0 for IPv4 and, as in the kernel, 1024 for IPv6. */
  readonly metric?: number | undefined;
  /** Who made the route (rtm_protocol). Default 4, "static". */
  readonly protocol?: number | undefined;
  readonly preferredSource?: string | undefined;
  /** IPv6 only: the route holds for packets from this prefix. */
  readonly source?: string | undefined;
  readonly mtu?: number | undefined;
}

/** A route with every default filled in and every address in canonical form: equal routes have equal `routeText`. */
export interface CanonicalRoute {
  readonly family: Family;
  readonly destination: string;
  readonly table: number;
  readonly type: RouteType;
  readonly nextHops: readonly CanonicalNextHop[];
  readonly metric: number;
  readonly protocol: number;
  readonly preferredSource: string | undefined;
  readonly source: string | undefined;
  readonly mtu: number | undefined;
}

interface CanonicalNextHop {
  readonly gateway: string | undefined;
  readonly ifindex: number | undefined;
  readonly onlink: boolean;
  readonly weight: number;
}

/** IPv6's ECMP groups are of routes through gateways; such a route and another may share one key. */
export function isGatewayRoute(route: Route): boolean {
  return route.nextHops.some(({ gateway }) => gateway !== undefined);
}

export function canonicalRoute(route: Route): CanonicalRoute {
  const destination = canonicalPrefix(route.destination);
  const family = destination.includes(":") ? 6 : 4;
  const type = route.type ?? "unicast";
  const bare = isBare(type);
  const metric = route.metric ?? 0;
  return {
    family,
    destination,
    table: route.table,
    type,
    nextHops: bare ? [] : canonicalNextHops(route.nextHops),
    metric: family === 6 && metric === 0 ? IPV6_DEFAULT_METRIC : metric,
    protocol: route.protocol ?? 4,
    preferredSource: route.preferredSource === undefined ? undefined : canonicalAddress(route.preferredSource),
    source: route.source === undefined ? undefined : canonicalPrefix(route.source),
    mtu: route.mtu,
  };
}

/** The order of next hops decides nothing in the kernel (but which one comes first), so it does not make routes differ. */
function canonicalNextHops(nextHops: readonly NextHop[]): CanonicalNextHop[] {
  const hops = nextHops.map((hop) => ({
    gateway: hop.gateway === undefined ? undefined : canonicalAddress(hop.gateway),
    ifindex: hop.ifindex,
    onlink: hop.onlink ?? false,
    weight: nextHops.length === 1 ? 1 : (hop.weight ?? 1), // the weight of a single next hop is not kept
  }));
  const keyed = hops.map((hop) => ({ hop, key: nextHopText(hop) }));
  return keyed.sort((a, b) => (a.key < b.key ? -1 : a.key > b.key ? 1 : 0)).map(({ hop }) => hop);
}

function isBare(type: RouteType): boolean {
  return type === "blackhole" || type === "unreachable" || type === "prohibit" || type === "throw";
}

function nextHopText({ gateway, ifindex, onlink, weight }: CanonicalNextHop): string {
  const parts = [gateway && `via ${gateway}`, ifindex && `dev ${ifindex}`, onlink && "onlink", `weight ${weight}`];
  return parts.filter(Boolean).join(" ");
}

/** Where a route sits in the kernel: `replace` exchanges what is there. */
export function routeKey(route: CanonicalRoute): string {
  const source = route.source === undefined ? "" : ` from ${route.source}`;
  return `${route.destination}${source} table ${route.table} metric ${route.metric}`;
}

/** The whole route in words, for comparing and for people. */
export function routeText(route: CanonicalRoute): string {
  const hops = route.nextHops.map((hop) => ` ${nextHopText(hop)}`).join(" nexthop");
  const source = route.preferredSource === undefined ? "" : ` src ${route.preferredSource}`;
  const mtu = route.mtu === undefined ? "" : ` mtu ${route.mtu}`;
  return `${route.type} ${routeKey(route)} proto ${route.protocol}${hops}${source}${mtu}`;
}

/**
 * The routes of a table, of a protocol, of a family, or all. An IPv6 ECMP route that an old kernel lists as several routes
 * comes as one. A table that does not exist is empty.
 */
export function listRoutes(
  socket: NetlinkSocket,
  filter: { readonly table?: number; readonly protocol?: number; readonly family?: Family } = {},
): CanonicalRoute[] {
  const families: readonly Family[] = filter.family === undefined ? [4, 6] : [filter.family];
  return families.flatMap((family) => {
    const request: NetlinkRequest = {
      type: RTM_GETROUTE,
      flags: 0,
      describe: () => `routes${filter.table === undefined ? "" : ` of table ${filter.table}`}`,
      write: (writer) => {
        writer
          .u8(family === 4 ? AF_INET : AF_INET6)
          .u8(0)
          .u8(0)
          .u8(0)
          .u8(0)
          .u8(filter.protocol ?? 0)
          .u8(0)
          .u8(0)
          .u32(0);
        if (filter.table !== undefined) writer.attributeU32(RTA.table, filter.table);
      },
    };
    try {
      const routes = socket.dump(request, (message) => {
        const route = parseRoute(message);
        if (filter.table !== undefined && route?.table !== filter.table) return undefined;
        return filter.protocol === undefined || route?.protocol === filter.protocol ? route : undefined;
      });
      return family === 6 ? mergeSiblings(routes) : routes;
    } catch (error) {
      if (error instanceof KernelNotFoundError && filter.table !== undefined) return [];
      throw error;
    }
  });
}

/** Kernels before 4.11 list each next hop of an IPv6 ECMP route as a route. */
function mergeSiblings(routes: readonly CanonicalRoute[]): CanonicalRoute[] {
  const merged = new Map<string, CanonicalRoute>();
  for (const route of routes) {
    const key = isGatewayRoute(route) ? `${routeKey(route)} ${route.type} ${route.protocol}` : routeText(route);
    const sibling = merged.get(key);
    merged.set(key, sibling ? canonicalRoute({ ...route, nextHops: [...sibling.nextHops, ...route.nextHops] }) : route);
  }
  return [...merged.values()];
}

/** Throws KernelExistsError when a route with the same destination, table and metric is there. */
export function addRoute(socket: NetlinkSocket, route: Route): void {
  socket.request(routeRequest("add", route));
}

/** Adds the route, or exchanges the one with the same destination, table and metric without a gap. */
export function replaceRoute(socket: NetlinkSocket, route: Route): void {
  socket.request(routeRequest("replace", route));
}

export function deleteRoute(socket: NetlinkSocket, route: Route): void {
  socket.request(routeRequest("delete", route));
}

export function applyRoutes(socket: NetlinkSocket, plan: Plan<Route>): FailedChange<Route>[] {
  return applyPlan(socket, plan, routeRequest);
}

function routeRequest(action: Action, route: Route): NetlinkRequest {
  const flags = { add: NLM_F_CREATE | NLM_F_EXCL, replace: NLM_F_CREATE | NLM_F_REPLACE, delete: 0 }[action];
  return {
    type: action === "delete" ? RTM_DELROUTE : RTM_NEWROUTE,
    flags,
    describe: () => describeRoute(route),
    write: (writer) => writeRoute(writer, action, canonicalRoute(route)),
  };
}

/** Works for routes that `canonicalRoute` refuses. */
function describeRoute(route: Route): string {
  const hops = route.nextHops.map((hop) => `via ${hop.gateway ?? "link"} device ${hop.ifindex ?? "any"}`).join(", ");
  return `${route.type ?? "unicast"} route ${route.destination} table ${route.table}${hops && ` ${hops}`}`;
}

function writeRoute(writer: MessageWriter, action: Action, route: CanonicalRoute): void {
  const { family, type, table, nextHops } = route;
  if (!Number.isInteger(table) || table < 1 || table > 0xffffffff) {
    throw new KernelInvalidError(`table ${table}`, "EINVAL", "must be 1 to 4294967295");
  }
  const destination = prefixBytes(route.destination);
  const source = route.source === undefined ? undefined : prefixBytes(route.source);
  const [only] = nextHops;
  const single = nextHops.length === 1 ? only : undefined;
  writer
    .u8(family === 4 ? AF_INET : AF_INET6)
    .u8(destination.length)
    .u8(source?.length ?? 0)
    .u8(0);
  writer
    .u8(0)
    .u8(route.protocol)
    .u8(action === "delete" ? SCOPE.nowhere : scopeOf(route));
  writer.u8(ROUTE_TYPES.indexOf(type)).u32(single?.onlink ? RTNH_F_ONLINK : 0);
  writer.attributeU32(RTA.table, table);
  if (destination.length > 0) writer.attribute(RTA.destination, destination.bytes);
  if (source) writer.attribute(RTA.source, source.bytes);
  if (route.metric !== 0) writer.attributeU32(RTA.metric, route.metric);
  if (route.preferredSource !== undefined) writer.attribute(RTA.preferredSource, addressBytes(route.preferredSource));
  if (route.mtu !== undefined) {
    const { mtu } = route;
    writer.nested(RTA.metrics, () => writer.attributeU32(RTAX_MTU, mtu));
  }
  if (single) {
    writeGateway(writer, family, single.gateway);
    if (single.ifindex !== undefined) writer.attributeU32(RTA.oif, single.ifindex);
  } else if (nextHops.length > 1) {
    writer.attributeOf(RTA.multipath, () => {
      for (const hop of nextHops) {
        if (!Number.isInteger(hop.weight) || hop.weight < 1 || hop.weight > 256) {
          throw new KernelInvalidError(`weight ${hop.weight}`, "EINVAL", "must be 1 to 256");
        }
        const flags = hop.onlink ? RTNH_F_ONLINK : 0;
        writer.nextHop(flags, hop.weight - 1, hop.ifindex ?? 0, () => writeGateway(writer, family, hop.gateway));
      }
    });
  } else if (family === 6 && isBare(type) && action === "delete") {
    // IPv6's delete does not compare types: without the loopback it may take a unicast route of the same key.
    writer.attributeU32(RTA.oif, LOOPBACK_IFINDEX);
  }
}

function writeGateway(writer: MessageWriter, family: Family, gateway: string | undefined): void {
  if (gateway === undefined) return;
  const bytes = addressBytes(gateway);
  if (bytes.length === (family === 4 ? 4 : 16)) writer.attribute(RTA.gateway, bytes);
  else if (family === 4) writer.attributeOf(RTA.via, () => writer.u16(AF_INET6).raw(bytes));
  else throw new KernelInvalidError(`gateway ${gateway}`, "EINVAL", "an IPv6 route cannot go through an IPv4 gateway");
}

function scopeOf(route: CanonicalRoute): number {
  if (route.family === 6) return SCOPE.universe;
  if (route.type === "local") return SCOPE.host;
  if (route.type === "unicast" && !isGatewayRoute(route)) return SCOPE.link;
  return SCOPE.universe;
}

function parseRoute({ type, payload }: NetlinkMessage): CanonicalRoute | undefined {
  const familyByte = readU8(payload, 0);
  if (type !== RTM_NEWROUTE || (familyByte !== AF_INET && familyByte !== AF_INET6)) return undefined;
  const flags = readU32(payload, 8);
  if ((flags & RTM_F_CLONED) !== 0) return undefined;
  const attributes = parseAttributes(payload, RTMSG_BYTES);
  const family = familyByte === AF_INET ? 4 : 6;
  const routeType = ROUTE_TYPES[readU8(payload, 7)];
  if (routeType === undefined) throw new NetlinkDecodeError(`unknown route type ${readU8(payload, 7)}`);
  const preferredSource = attributes.bytes(RTA.preferredSource);
  const source = attributes.bytes(RTA.source);
  return canonicalRoute({
    destination: prefixText(attributes.bytes(RTA.destination), readU8(payload, 1), family),
    table: attributes.u32(RTA.table) ?? readU8(payload, 4),
    type: routeType,
    nextHops: parseHops(attributes, flags),
    metric: attributes.u32(RTA.metric) ?? 0,
    protocol: readU8(payload, 5),
    preferredSource: preferredSource && formatAddress(preferredSource),
    source: source && prefixText(source, readU8(payload, 2), family),
    mtu: attributes.nested(RTA.metrics)?.u32(RTAX_MTU),
  });
}

function parseHops(attributes: Attributes, flags: number): NextHop[] {
  const multipath = attributes.bytes(RTA.multipath);
  if (multipath) {
    return parseNextHops(multipath).map((hop) => ({
      gateway: gatewayOf(hop.attributes),
      ifindex: hop.ifindex || undefined,
      onlink: (hop.flags & RTNH_F_ONLINK) !== 0,
      weight: hop.hops + 1,
    }));
  }
  const gateway = gatewayOf(attributes);
  const ifindex = attributes.u32(RTA.oif);
  if (gateway === undefined && ifindex === undefined) return [];
  return [{ gateway, ifindex, onlink: (flags & RTNH_F_ONLINK) !== 0 }];
}

export function gatewayOf(attributes: Attributes): string | undefined {
  const gateway = attributes.bytes(RTA.gateway);
  if (gateway) return formatAddress(gateway);
  const via = attributes.bytes(RTA.via);
  if (!via) return undefined;
  const family = readU16(via, 0);
  if (via.length !== (family === AF_INET ? 6 : 18)) throw new NetlinkDecodeError(`RTA_VIA of ${via.length} bytes`);
  return formatAddress(via.subarray(2));
}

function prefixText(bytes: Uint8Array | undefined, length: number, family: Family): string {
  if (!bytes) return anyPrefix(family);
  return `${formatAddress(bytes)}/${length}`;
}
