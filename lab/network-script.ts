import { cidrSpan } from "#shared/net/ip.ts";
import type { Attachment, ResolvedNode, ResolvedTopology, Route, Segment, Vxlan } from "./resolve-topology.ts";

/** What builds the lab's networks. */
export interface NetworkScript {
  /** Lines for one `ip -batch` in the supervisor's own namespace: namespaces, bridges, veth pairs. */
  readonly fabric: readonly string[];
  /** One shell script per namespace: addresses, routes, sysctls. */
  readonly nodes: ReadonlyMap<string, string>;
  /** The far end of each member's link, by `NODE INTERFACE`. */
  readonly farEnds: ReadonlyMap<string, FarEnd>;
}

/** An interface; without a namespace it is the supervisor's. */
export interface FarEnd {
  readonly namespace?: string;
  readonly device: string;
}

/**
 * Commands that build a topology. Pure. Names and addresses were checked by the topology's schema, so nothing needs
 * quoting.
 */
export function networkScript(topology: ResolvedTopology): NetworkScript {
  const ports = new Ports();
  const fabric: string[] = [];
  const nodes = new Map<string, string>();
  for (const { name } of topology.nodes) fabric.push(`netns add ${name}`);
  for (const host of topology.vxlanHosts) fabric.push(`netns add ${host}`);
  for (const [index, segment] of topology.segments.entries()) {
    if (segment.vxlan !== undefined) vxlanFabric(segment, segment.vxlan, index, ports, fabric, nodes);
    else if (segment.attachments.length === 2) fabric.push(pair(segment, ports));
    else bridgeFabric(segment, index, ports, fabric);
  }
  for (const node of topology.nodes) nodes.set(node.name, nodeScript(node, topology.segments));
  return { fabric, nodes, farEnds: ports.farEnds };
}

class Ports {
  readonly farEnds = new Map<string, FarEnd>();
  #next = 0;

  /** Kernel name of the fabric's end of a link: `node.interface` where that fits, else a number. */
  name(node: string, device: string, namespace?: string): string {
    const name = `${node}.${device}`;
    this.#next += 1;
    const port = name.length <= 15 ? name : `port${this.#next}`;
    this.join(node, device, { device: port, ...(namespace === undefined ? {} : { namespace }) });
    return port;
  }

  join(node: string, device: string, farEnd: FarEnd): void {
    this.farEnds.set(`${node} ${device}`, farEnd);
  }
}

function pair({ attachments, mtu }: Segment, ports: Ports): string {
  const [a, b] = attachments;
  if (a === undefined || b === undefined) throw new RangeError("a pair has two members");
  ports.join(a.node, a.interface, { namespace: b.node, device: b.interface });
  ports.join(b.node, b.interface, { namespace: a.node, device: a.interface });
  return (
    `link add name ${a.interface} netns ${a.node} address ${a.mac} mtu ${mtu} type veth ` +
    `peer name ${b.interface} netns ${b.node} address ${b.mac} mtu ${mtu}`
  );
}

function leg(
  port: string,
  mtu: number,
  { interface: device, node, mac }: Pick<Attachment, "interface" | "node" | "mac">,
  where = "",
): string {
  return `link add name ${port}${where} mtu ${mtu} type veth peer name ${device} netns ${node} address ${mac} mtu ${mtu}`;
}

function bridgeFabric(segment: Segment, index: number, ports: Ports, fabric: string[]): void {
  const bridge = `br${index}`;
  fabric.push(`link add name ${bridge} mtu ${segment.mtu} type bridge mcast_snooping 0`, `link set ${bridge} up`);
  for (const attachment of segment.attachments) {
    const port = ports.name(attachment.node, attachment.interface);
    fabric.push(leg(port, segment.mtu, attachment), `link set ${port} master ${bridge} up`);
  }
}

function vxlanFabric(
  segment: Segment,
  vxlan: Vxlan,
  index: number,
  ports: Ports,
  fabric: string[],
  nodes: Map<string, string>,
): void {
  const underlay = `br${index}`;
  fabric.push(
    `link add name ${underlay} mtu ${vxlan.underlayMtu} type bridge mcast_snooping 0`,
    `link set ${underlay} up`,
  );
  for (const host of vxlan.hosts) {
    const uplink = ports.name(host.name, "und0");
    fabric.push(
      leg(uplink, vxlan.underlayMtu, { interface: "und0", node: host.name, mac: host.mac }),
      `link set ${uplink} master ${underlay} up`,
    );
    const batch = [
      "link set lo up",
      `address add ${host.address}/${vxlan.underlayLength} dev und0`,
      "link set und0 up",
      `link add name br0 mtu ${segment.mtu} type bridge mcast_snooping 0`,
      "link set br0 up",
      `link add name vx0 mtu ${segment.mtu} type vxlan id ${vxlan.vni} dstport 4789 local ${host.address} dev und0`,
      "link set vx0 master br0 up",
    ];
    for (const node of host.members) {
      const attachment = segment.attachments.find((candidate) => candidate.node === node);
      if (attachment === undefined) throw new RangeError(`${node} is on ${host.name} but not on ${segment.name}`);
      const port = ports.name(node, attachment.interface, host.name);
      fabric.push(leg(port, segment.mtu, attachment, ` netns ${host.name}`));
      batch.push(`link set ${port} master br0 up`);
    }
    const floods = vxlan.hosts
      .filter(({ name }) => name !== host.name)
      .map(({ address }) => `bridge fdb append 00:00:00:00:00:00 dev vx0 dst ${address}`);
    nodes.set(host.name, [heredoc(batch), ...floods].join("\n"));
  }
}

function heredoc(batch: readonly string[]): string {
  return `ip -batch - <<'END'\n${batch.join("\n")}\nEND`;
}

/**
 * A namespace inherits IPv4 settings from the machine (rp_filter, ip_forward…), so every one that matters is written.
 * A gateway's are its proxy's business.
 */
function sysctlsOf({ spec }: ResolvedNode): [string, string][] {
  if (spec.role === "gateway") return [];
  const forwards = spec.role === "router" || spec.role === "host";
  const base: [string, string][] = [
    ["net.ipv4.ip_forward", forwards ? "1" : "0"],
    ["net.ipv4.conf.all.rp_filter", "0"],
    ["net.ipv4.conf.default.rp_filter", "0"],
    ["net.ipv6.conf.all.forwarding", forwards ? "1" : "0"],
    // ECMP by the L4 five-tuple: a flow stays on one next hop, flows spread.
    ["net.ipv4.fib_multipath_hash_policy", "1"],
    ["net.ipv6.fib_multipath_hash_policy", "1"],
  ];
  if (spec.role === "client")
    base.push(["net.ipv4.ip_local_port_range", "10240 65535"], ["net.ipv4.tcp_tw_reuse", "1"]);
  return [...base, ...Object.entries(spec.sysctls)];
}

function nodeScript(node: ResolvedNode, segments: readonly Segment[]): string {
  const lines = ["link set lo up"];
  const after: string[] = [];
  for (const attachment of node.attachments) {
    const segment = segments.find(({ name }) => name === attachment.segment);
    const { interface: device, ipv4, ipv6 } = attachment;
    if (ipv4 !== undefined && segment?.ipv4 !== undefined)
      lines.push(`address add ${ipv4}/${cidrSpan(segment.ipv4).length} dev ${device}`);
    if (ipv6 !== undefined && segment?.ipv6 !== undefined)
      lines.push(`address add ${ipv6}/${cidrSpan(segment.ipv6).length} dev ${device} nodad`);
    lines.push(`link set ${device} up`);
    if (segment?.link !== undefined) {
      after.push(
        `tc qdisc add dev ${device} root netem delay ${segment.link.delayMs}ms loss ${segment.link.lossPercent}%`,
      );
    }
    if (node.spec.role !== "gateway") after.push(`echo 0 > /proc/sys/net/ipv4/conf/${device}/rp_filter`);
  }
  for (const route of mergeRoutes(node.routes)) lines.push(routeLine(route));
  const sysctls = sysctlsOf(node).map(([key, value]) => `echo ${value} > /proc/sys/${key.replaceAll(".", "/")}`);
  return [...sysctls, heredoc(lines), ...after].join("\n");
}

/** Routes to one destination are one ECMP route. */
function mergeRoutes(routes: readonly Route[]): Route[] {
  const byDestination = new Map<Route["to"], Route>();
  for (const { to, via } of routes) byDestination.set(to, { to, via: [...(byDestination.get(to)?.via ?? []), ...via] });
  return [...byDestination.values()];
}

function routeLine({ to, via }: Route): string {
  const hops = via.length === 1 ? ` via ${via[0]}` : via.map((hop) => ` nexthop via ${hop}`).join("");
  return `route add ${to}${hops}`;
}
