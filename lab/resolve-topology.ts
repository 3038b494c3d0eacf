import {
  bigIntToIp,
  type Cidr,
  cidrContains,
  cidrSpan,
  type Family,
  familyOf,
  type Ip,
  ipToBigInt,
} from "#shared/net/ip.ts";
import { derivedRoutes } from "./derived-routes.ts";
import type { Member, Topology, TopologyNetwork, TopologyNode } from "./topology.ts";
import { parseTopology } from "./topology.ts";

/** One interface of a node. `ipv4` and `ipv6` carry the segment's prefix length in the segment. */
export interface Attachment {
  readonly node: string;
  readonly interface: string;
  readonly ipv4?: Ip;
  readonly ipv6?: Ip;
  /** Locally administered, derived from the position in the topology: the same on every run. */
  readonly mac: string;
  readonly segment: string;
}

/** One layer 2 segment: a bridge, a veth pair, or a VXLAN over hosts. */
export interface Segment {
  readonly name: string;
  readonly network: string;
  readonly nad: string;
  /** What Pods have as their own network, not as an attachment. */
  readonly primary: boolean;
  readonly mtu: number;
  readonly ipv4?: Cidr;
  readonly ipv6?: Cidr;
  readonly link?: { readonly delayMs: number; readonly lossPercent: number };
  readonly attachments: readonly Attachment[];
  /** For VXLAN: the hosts, each with its underlay address and its members. */
  readonly vxlan?: Vxlan;
}

export interface Vxlan {
  readonly vni: number;
  readonly underlayMtu: number;
  readonly underlayLength: number;
  readonly hosts: readonly {
    readonly name: string;
    readonly address: Ip;
    readonly mac: string;
    readonly members: readonly string[];
  }[];
}

export interface Route {
  /** Destination; 0.0.0.0/0 and ::/0 are the defaults. */
  readonly to: Cidr;
  readonly via: readonly Ip[];
}

export interface ResolvedNode {
  readonly name: string;
  readonly spec: TopologyNode;
  readonly attachments: readonly Attachment[];
  readonly routes: readonly Route[];
}

/** A topology with every address, MAC and derived route filled in; a pure function of the file. */
export interface ResolvedTopology {
  readonly name: string;
  readonly spec: Topology;
  readonly nodes: readonly ResolvedNode[];
  readonly segments: readonly Segment[];
  /** Namespaces that only carry VXLAN devices. */
  readonly vxlanHosts: readonly string[];
}

interface Problem {
  readonly path: readonly PropertyKey[];
  readonly message: string;
}
interface SegmentSource {
  readonly name: string;
  readonly network: string;
  readonly spec: TopologyNetwork;
  readonly ipv4?: Cidr;
  readonly ipv6?: Cidr;
  readonly members: readonly { readonly member: Member; readonly path: readonly PropertyKey[] }[];
  readonly path: readonly PropertyKey[];
}

/** Parses and resolves a topology file. @throws TopologyError with every problem, each with line, path and what to do. */
export function loadTopology(text: string, file: string): ResolvedTopology {
  let resolved: ResolvedTopology | undefined;
  parseTopology(text, file, (topology) => {
    const problems: Problem[] = [];
    resolved = resolveTopology(topology, problems);
    return problems;
  });
  if (resolved === undefined) throw new Error("a valid topology was not resolved");
  return resolved;
}

function resolveTopology(topology: Topology, problems: Problem[]): ResolvedTopology {
  const sources = Object.entries(topology.networks).flatMap(([name, spec]) =>
    segmentSources(name, spec, topology, problems),
  );
  checkReferences(topology, sources, problems);
  const segments = sources.map((source, index) => resolveSegment(source, index, problems));
  checkInterfaces(segments, sources, problems);
  const nodes = Object.entries(topology.nodes).map(([name, spec]): ResolvedNode => {
    const attachments = segments.flatMap((segment) => segment.attachments.filter(({ node }) => node === name));
    return {
      name,
      spec,
      attachments,
      routes: [...derivedRoutes(name, spec, topology, segments), ...spec.routes.map((route) => ({ ...route }))],
    };
  });
  checkRoutes(topology, problems);
  const vxlanHosts = segments.flatMap(({ vxlan }) => vxlan?.hosts.map(({ name }) => name) ?? []);
  checkHosts(topology, vxlanHosts, problems);
  return { name: topology.name, spec: topology, nodes, segments, vxlanHosts };
}

function segmentSources(name: string, spec: TopologyNetwork, topology: Topology, problems: Problem[]): SegmentSource[] {
  const path = ["networks", name];
  const at = (members: readonly Member[], prefix: readonly PropertyKey[]) =>
    members.map((member, index) => ({ member, path: [...prefix, "members", index] }));
  const prefixesOf = ({ ipv4, ipv6 }: { ipv4?: Cidr | undefined; ipv6?: Cidr | undefined }) => ({
    ...(ipv4 === undefined ? {} : { ipv4 }),
    ...(ipv6 === undefined ? {} : { ipv6 }),
  });
  switch (spec.type) {
    case "bridge":
      return [{ name, network: name, spec, ...prefixesOf(spec), members: at(spec.members, path), path }];
    case "vxlan": {
      const members = Object.entries(spec.hosts).flatMap(([host, on]) => at(on.members, [...path, "hosts", host]));
      return [{ name, network: name, spec, ...prefixesOf(spec), members, path }];
    }
    case "routed": {
      if (topology.nodes[spec.router]?.role !== "host") {
        problems.push({
          path: [...path, "router"],
          message: `must name a node of role host; add \`${spec.router}: {role: host}\` to nodes`,
        });
      }
      return Object.entries(spec.segments).map(([segment, on]) => {
        const own = [...path, "segments", segment];
        const router = { member: { node: spec.router, interface: segment.slice(0, 15) }, path: [...path, "router"] };
        return {
          name: `${name}-${segment}`,
          network: name,
          spec,
          ...prefixesOf(on),
          members: [router, ...at(on.members, own)],
          path: own,
        };
      });
    }
  }
}

function checkReferences(topology: Topology, sources: readonly SegmentSource[], problems: Problem[]): void {
  for (const source of sources) {
    if (source.ipv4 === undefined && source.ipv6 === undefined) {
      problems.push({ path: source.path, message: "has neither ipv4 nor ipv6; give it a prefix" });
    }
    for (const { member, path } of source.members) {
      if (topology.nodes[member.node] === undefined) {
        problems.push({
          path,
          message: `names no node: ${JSON.stringify(member.node)}; nodes are ${Object.keys(topology.nodes).join(", ")}`,
        });
      }
    }
  }
  const roles = Object.values(topology.nodes).map(({ role }) => role);
  if (roles.includes("router") && topology.bgp === undefined) {
    problems.push({ path: [], message: "has a router but no `bgp`; add bgp.pools" });
  }
  for (const name of Object.keys(topology.nodes)) {
    if (!sources.some(({ members }) => members.some(({ member }) => member.node === name))) {
      problems.push({ path: ["nodes", name], message: "is a member of no network; add it to one, or remove it" });
    }
  }
}

function resolveSegment(source: SegmentSource, index: number, problems: Problem[]): Segment {
  const { spec } = source;
  const fours = assign(source, 4, problems, new Map());
  const hostNumbers = new Map<number, bigint>();
  if (source.ipv4 !== undefined) {
    const { first } = cidrSpan(source.ipv4);
    for (const [position, address] of fours) hostNumbers.set(position, ipToBigInt(address) - first);
  }
  const sixes = assign(source, 6, problems, hostNumbers);
  const attachments = source.members.map(({ member }, position): Attachment => {
    const ipv4 = fours.get(position);
    const ipv6 = sixes.get(position);
    return {
      node: member.node,
      interface: member.interface ?? spec.interface,
      ...(ipv4 === undefined ? {} : { ipv4 }),
      ...(ipv6 === undefined ? {} : { ipv6 }),
      mac: mac(0, index, position + 1),
      segment: source.name,
    };
  });
  return {
    name: source.name,
    network: source.network,
    nad: spec.nad ?? source.network,
    primary: spec.primary,
    mtu: spec.mtu,
    ...(source.ipv4 === undefined ? {} : { ipv4: source.ipv4 }),
    ...(source.ipv6 === undefined ? {} : { ipv6: source.ipv6 }),
    ...(spec.link === undefined ? {} : { link: spec.link }),
    attachments,
    ...(spec.type === "vxlan" ? { vxlan: resolveVxlan(spec, index, source.path, problems) } : {}),
  };
}

function mac(kind: number, segment: number, position: number): string {
  return [0x02, 0xc0, kind, segment, position >> 8, position & 0xff]
    .map((byte) => byte.toString(16).padStart(2, "0"))
    .join(":");
}

function resolveVxlan(
  spec: Extract<TopologyNetwork, { type: "vxlan" }>,
  index: number,
  path: readonly PropertyKey[],
  problems: Problem[],
): Vxlan {
  const underlay = cidrSpan(spec.underlay.ipv4);
  const names = Object.keys(spec.hosts);
  if (names.length < 2)
    problems.push({ path: [...path, "hosts"], message: "has fewer than two hosts; use type bridge for one" });
  if (underlay.first + BigInt(names.length) >= underlay.last) {
    problems.push({ path: [...path, "underlay", "ipv4"], message: `is too small for ${names.length} hosts` });
  }
  if (spec.mtu + 50 > spec.underlay.mtu) {
    problems.push({
      path: [...path, "mtu"],
      message: `plus 50 bytes of VXLAN exceeds underlay.mtu ${spec.underlay.mtu}; lower it to ${spec.underlay.mtu - 50}`,
    });
  }
  return {
    vni: spec.vni,
    underlayMtu: spec.underlay.mtu,
    underlayLength: underlay.length,
    hosts: names.map((name, position) => ({
      name,
      address: bigIntToIp(underlay.first + BigInt(position + 1), 4),
      mac: mac(1, index, position + 1),
      members: spec.hosts[name]?.members.map(({ node }) => node) ?? [],
    })),
  };
}

/** Gives every member an address of the family: asked-for ones first, then the preferred or the lowest free host number. */
function assign(
  source: SegmentSource,
  family: Family,
  problems: Problem[],
  preferred: ReadonlyMap<number, bigint>,
): Map<number, Ip> {
  const key = family === 4 ? "ipv4" : "ipv6";
  const prefix = source[key];
  const given = new Map<number, Ip>();
  const taken = new Set<Ip>();
  for (const [position, { member, path }] of source.members.entries()) {
    const asked = member[key];
    if (asked === undefined) continue;
    if (prefix === undefined || !cidrContains(prefix, asked)) {
      problems.push({
        path: [...path, key],
        message: `${asked} is outside the segment's ${key} prefix ${prefix ?? "(none)"}`,
      });
    } else if (taken.has(asked)) {
      problems.push({ path: [...path, key], message: `${asked} is already another member's; choose a free one` });
    } else {
      taken.add(asked);
      given.set(position, asked);
    }
  }
  if (prefix === undefined) return given;
  const { first, last } = cidrSpan(prefix);
  // The last IPv4 address of a prefix is its broadcast address.
  const end = family === 4 ? last - 1n : last;
  let next = 1n;
  for (const position of source.members.keys()) {
    if (given.has(position)) continue;
    const wish = preferred.get(position);
    let value = wish === undefined ? undefined : first + wish;
    if (value === undefined || value > end || taken.has(bigIntToIp(value, family))) {
      while (first + next <= end && taken.has(bigIntToIp(first + next, family))) next += 1n;
      value = first + next;
    }
    if (value > end) {
      problems.push({
        path: [...source.path, key],
        message: `${prefix} is too small for ${source.members.length} members`,
      });
      return given;
    }
    const address = bigIntToIp(value, family);
    taken.add(address);
    given.set(position, address);
  }
  return given;
}

function checkInterfaces(segments: readonly Segment[], sources: readonly SegmentSource[], problems: Problem[]): void {
  const seen = new Set<string>();
  for (const [index, segment] of segments.entries()) {
    for (const [position, attachment] of segment.attachments.entries()) {
      const key = `${attachment.node} ${attachment.interface}`;
      if (seen.has(key)) {
        problems.push({
          path: sources[index]?.members[position]?.path ?? [],
          message: `node ${attachment.node} already has an interface ${attachment.interface}; give this member another \`interface\``,
        });
      }
      seen.add(key);
    }
  }
}

function checkRoutes(topology: Topology, problems: Problem[]): void {
  for (const [name, node] of Object.entries(topology.nodes)) {
    for (const [index, { to, via }] of node.routes.entries()) {
      if (via.some((hop) => familyOf(hop) !== familyOf(to))) {
        problems.push({
          path: ["nodes", name, "routes", index, "via"],
          message: `must be of the family of \`to\` ${to}`,
        });
      }
    }
  }
}

function checkHosts(topology: Topology, hosts: readonly string[], problems: Problem[]): void {
  for (const [index, host] of hosts.entries()) {
    if (topology.nodes[host] !== undefined || hosts.indexOf(host) !== index) {
      problems.push({
        path: ["networks"],
        message: `the VXLAN host ${host} has the name of another node or host; rename it`,
      });
    }
  }
}
