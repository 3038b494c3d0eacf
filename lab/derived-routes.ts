import { cidr, type Family, type Ip } from "#shared/net/ip.ts";
import type { Route, Segment } from "./resolve-topology.ts";
import type { Topology, TopologyNode } from "./topology.ts";

const DEFAULTS = { 4: cidr("0.0.0.0/0"), 6: cidr("::/0") } as const;

/** Addresses of the members of a segment that have one of the roles. */
function addressesOf(
  segment: Segment,
  topology: Topology,
  roles: readonly TopologyNode["role"][],
  family: Family,
): Ip[] {
  return segment.attachments.flatMap((attachment) => {
    const address = family === 4 ? attachment.ipv4 : attachment.ipv6;
    const role = topology.nodes[attachment.node]?.role;
    return role !== undefined && roles.includes(role) && address !== undefined ? [address] : [];
  });
}

/**
 * Routes that follow from a node's role: a client's default is its router; on a routed network gateways reach the other
 * segments through the router, whose default is spread over the gateways, and everybody else's default is the router.
 */
export function derivedRoutes(
  name: string,
  spec: TopologyNode,
  topology: Topology,
  segments: readonly Segment[],
): Route[] {
  const routes: Route[] = [];
  for (const segment of segments.filter(({ attachments }) => attachments.some(({ node }) => node === name))) {
    const network = topology.networks[segment.network];
    for (const family of [4, 6] as const) {
      if (network?.type === "routed") {
        routes.push(...routedRoutes(name, spec, topology, segments, segment, network.router, family));
      } else if (spec.role === "client") {
        const via = addressesOf(segment, topology, ["router"], family);
        if (via.length > 0) routes.push({ to: DEFAULTS[family], via });
      }
    }
  }
  return routes;
}

function routedRoutes(
  name: string,
  spec: TopologyNode,
  topology: Topology,
  segments: readonly Segment[],
  segment: Segment,
  router: string,
  family: Family,
): Route[] {
  if (name === router) {
    const via = addressesOf(segment, topology, ["gateway"], family);
    return via.length === 0 ? [] : [{ to: DEFAULTS[family], via }];
  }
  const hop = segment.attachments.find(({ node }) => node === router);
  const via = family === 4 ? hop?.ipv4 : hop?.ipv6;
  if (via === undefined) return [];
  if (spec.role !== "gateway") return [{ to: DEFAULTS[family], via: [via] }];
  return segments
    .filter((other) => other.network === segment.network && other.name !== segment.name)
    .flatMap((other) => {
      const to = family === 4 ? other.ipv4 : other.ipv6;
      return to === undefined ? [] : [{ to, via: [via] }];
    });
}
