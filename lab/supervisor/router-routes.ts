import { z } from "zod";
import type { ResolvedTopology } from "../resolve-topology.ts";
import { runCommand } from "./run-command.ts";

const hop = z.looseObject({ gateway: z.string().optional(), via: z.looseObject({ host: z.string() }).optional() });
const routesSchema = z.array(hop.extend({ dst: z.string(), nexthops: z.array(hop).optional() }));

/** Host routes of VIPs in a router's kernel: from prefix to the nodes that are its next hops. */
export async function routerRoutes(topology: ResolvedTopology, router: string): Promise<Map<string, string[]>> {
  const owners = addressOwners(topology);
  const routes = new Map<string, string[]>();
  const texts = await Promise.all([
    runCommand("ip", ["-n", router, "-4", "-json", "route", "show", "proto", "bird"]),
    runCommand("ip", ["-n", router, "-6", "-json", "route", "show", "proto", "bird"]),
  ]);
  for (const text of texts) {
    for (const route of routesSchema.parse(JSON.parse(text.trim() === "" ? "[]" : text))) {
      const hops = (route.nexthops ?? [route]).map(({ gateway, via }) => gateway ?? via?.host ?? "");
      const prefix = route.dst.includes("/") ? route.dst : `${route.dst}/${route.dst.includes(":") ? 128 : 32}`;
      // A multipath IPv6 route may be listed as one route per next hop.
      routes.set(prefix, [...(routes.get(prefix) ?? []), ...hops.map((address) => owners.get(address) ?? address)]);
    }
  }
  return routes;
}

/** Who has an address, link-local ones (EUI-64 of the MAC, RFC 4291 appendix A) included. */
function addressOwners(topology: ResolvedTopology): Map<string, string> {
  const owners = new Map<string, string>();
  for (const { attachments } of topology.segments) {
    for (const { node, ipv4, ipv6, mac } of attachments) {
      for (const address of [ipv4, ipv6, linkLocal(mac)]) if (address !== undefined) owners.set(address, node);
    }
  }
  return owners;
}

function linkLocal(mac: string): string {
  const bytes = mac.split(":").map((byte) => Number.parseInt(byte, 16));
  const eui = [
    (bytes[0] ?? 0) ^ 0x02,
    bytes[1] ?? 0,
    bytes[2] ?? 0,
    0xff,
    0xfe,
    bytes[3] ?? 0,
    bytes[4] ?? 0,
    bytes[5] ?? 0,
  ];
  const groups = [0, 2, 4, 6].map((at) => (((eui[at] ?? 0) << 8) | (eui[at + 1] ?? 0)).toString(16));
  return new URL(`http://[fe80::${groups.join(":")}]/`).hostname.slice(1, -1);
}
