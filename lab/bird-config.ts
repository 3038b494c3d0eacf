import { type Family, familyOf, type Ip } from "#shared/net/ip.ts";
import { LabError } from "./lab-error.ts";
import type { ResolvedNode, ResolvedTopology } from "./resolve-topology.ts";

/** One eBGP session of a router. `name` is BIRD's name of the protocol. */
export interface RouterPeer {
  readonly name: string;
  readonly node: string;
  readonly family: Family;
  readonly local: Ip;
  readonly neighbor: Ip;
  readonly asn: number;
  readonly interface: string;
}

/** Sessions of a router: one per family with every gateway it shares a segment with. */
export function routerPeers(topology: ResolvedTopology, router: string): RouterPeer[] {
  const peers: RouterPeer[] = [];
  for (const segment of topology.segments) {
    const own = segment.attachments.find(({ node }) => node === router);
    if (own === undefined) continue;
    for (const attachment of segment.attachments) {
      const spec = topology.spec.nodes[attachment.node];
      if (spec?.role !== "gateway") continue;
      for (const family of [4, 6] as const) {
        const [local, neighbor] = family === 4 ? [own.ipv4, attachment.ipv4] : [own.ipv6, attachment.ipv6];
        if (local === undefined || neighbor === undefined) continue;
        const name = `${attachment.node.replaceAll("-", "_")}_ipv${family}`;
        peers.push({ name, node: attachment.node, family, local, neighbor, asn: spec.asn, interface: own.interface });
      }
    }
  }
  return peers;
}

/**
 * BIRD 2 configuration of a router: takes VIP pools from the gateways, spreads over all of them in the kernel, and
 * announces default routes to them. Pure.
 * @throws LabError when the router has no IPv4 address to take its router id from.
 */
export function birdConfig(topology: ResolvedTopology, router: ResolvedNode): string {
  const { bgp } = topology.spec;
  if (router.spec.role !== "router" || bgp === undefined)
    throw new LabError(`node ${router.name} is no router with \`bgp\``);
  const id = router.attachments.find(({ ipv4 }) => ipv4 !== undefined)?.ipv4;
  if (id === undefined)
    throw new LabError(`router ${router.name} needs an IPv4 address on one network, for its router id`);
  const { asn } = router.spec;
  const peers = routerPeers(topology, router.name);
  const blocks = [
    "log stderr { info, remote, warning, error, auth, fatal, bug };",
    `router id ${id};`,
    "protocol device {\n  scan time 10;\n}",
    ...([4, 6] as const).flatMap((family) =>
      familyBlocks(
        family,
        bgp.pools.filter((pool) => familyOf(pool) === family),
        bgp.gracefulRestart,
      ),
    ),
  ];
  if (bgp.bfd !== undefined) {
    const { intervalMs, multiplier } = bgp.bfd;
    const devices = [...new Set(peers.map((peer) => peer.interface))];
    const lines = devices.map(
      (device) => `  interface "${device}" {\n    interval ${intervalMs} ms;\n    multiplier ${multiplier};\n  };`,
    );
    blocks.push(`protocol bfd {\n${lines.join("\n")}\n}`);
  }
  for (const peer of peers) {
    blocks.push(
      [
        `protocol bgp ${peer.name} {`,
        `  description "${peer.node}";`,
        `  local ${peer.local} as ${asn};`,
        `  neighbor ${peer.neighbor} as ${peer.asn};`,
        "  direct;",
        `  hold time ${bgp.holdTimeS};`,
        // A lab's gateways start when they like: try again each second instead of backing off for minutes.
        "  connect delay time 1;",
        "  connect retry time 1;",
        "  error wait time 1, 2;",
        ...(bgp.password === undefined ? [] : [`  password "${bgp.password}";`]),
        ...(bgp.ttlSecurity ? ["  ttl security on;"] : []),
        ...(bgp.bfd === undefined ? [] : ["  bfd on;"]),
        ...(bgp.gracefulRestart ? ["  graceful restart on;"] : []),
        `  ipv${peer.family} {`,
        `    import filter vips${peer.family};`,
        `    export where proto = "default${peer.family}";`,
        "    next hop self;",
        "  };",
        "}",
      ].join("\n"),
    );
  }
  return `${blocks.join("\n")}\n`;
}

function familyBlocks(family: Family, pools: readonly string[], gracefulRestart: boolean): string[] {
  const sets = pools.map((pool) => `${pool}+`).join(", ");
  const accept = pools.length === 0 ? "" : `  if net ~ [ ${sets} ] then accept;\n`;
  // What the kernel has is left alone until the gateways have spoken.
  const keep = gracefulRestart ? "  graceful restart on;\n" : "";
  const everything = family === 4 ? "0.0.0.0/0" : "::/0";
  return [
    `filter vips${family} {\n${accept}  reject;\n}`,
    `protocol static default${family} {\n  ipv${family};\n  route ${everything} unreachable;\n}`,
    `protocol kernel kernel${family} {\n  merge paths on;\n${keep}  ipv${family} {\n    import none;\n    export where source = RTS_BGP;\n  };\n}`,
  ];
}
