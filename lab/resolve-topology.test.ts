import { readFileSync } from "node:fs";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { cidr, cidrContains } from "#shared/net/ip.ts";
import { loadTopology, type ResolvedTopology } from "./resolve-topology.ts";

function example(name: string): ResolvedTopology {
  const file = new URL(`../examples/lab/${name}/topology.yaml`, import.meta.url);
  return loadTopology(readFileSync(file, "utf8"), name);
}

function addressesOf(topology: ResolvedTopology, node: string): (string | undefined)[] {
  return (
    topology.nodes
      .find(({ name }) => name === node)
      ?.attachments.flatMap(({ interface: device, ipv4, ipv6 }) => [device, ipv4, ipv6]) ?? []
  );
}

describe("addresses", () => {
  it("keeps what is asked for and fills the rest in order", () => {
    const topology = example("default");
    expect(addressesOf(topology, "router")).toEqual([
      "acc0",
      "203.0.113.1",
      "2001:db8:c::1",
      "ext0",
      "192.0.2.1",
      "2001:db8:e::1",
    ]);
    expect(addressesOf(topology, "gateway-b")).toEqual([
      "ext0",
      "192.0.2.3",
      "2001:db8:e::3",
      "svc0",
      "10.1.0.2",
      "fd00:1::2",
    ]);
    expect(addressesOf(topology, "target-4")).toEqual(["svc0", "10.1.0.14", "fd00:1::14"]);
  });

  it("gives IPv6 the host number of IPv4", () => {
    const text = `
name: t
nodes: { a: { role: host }, b: { role: host }, c: { role: host } }
networks:
  n:
    type: bridge
    interface: eth0
    ipv4: 10.0.0.0/24
    ipv6: fd00::/64
    members: [a, { node: b, ipv4: 10.0.0.200 }, c]
`;
    const topology = loadTopology(text, "t");
    expect(["a", "b", "c"].map((node) => addressesOf(topology, node).slice(1))).toEqual([
      ["10.0.0.1", "fd00::1"],
      ["10.0.0.200", "fd00::c8"],
      ["10.0.0.2", "fd00::2"],
    ]);
  });

  it("never gives an address twice, nor one outside the prefix, and is deterministic", () => {
    const asked = fc.uniqueArray(fc.integer({ min: 1, max: 60 }), { maxLength: 8 });
    fc.assert(
      fc.property(asked, fc.integer({ min: 1, max: 20 }), (wishes, free) => {
        const names = Array.from({ length: wishes.length + free }, (_, index) => `n${index}`);
        const members = names.map((node, index) => {
          // Wishes stand at the end, so that the automatic ones before them must leave them free.
          const wish = wishes[index - free];
          return wish === undefined ? node : `{ node: ${node}, ipv4: 10.0.0.${wish} }`;
        });
        const text = `
name: t
nodes: { ${names.map((node) => `${node}: { role: host }`).join(", ")} }
networks: { n: { type: bridge, interface: eth0, ipv4: 10.0.0.0/26, ipv6: "fd00::/120", members: [${members.join(", ")}] } }
`;
        const first = loadTopology(text, "t");
        expect(loadTopology(text, "t")).toEqual(first);
        const attachments = first.segments[0]?.attachments ?? [];
        const fours = attachments.flatMap(({ ipv4 }) => (ipv4 === undefined ? [] : [ipv4]));
        const sixes = attachments.flatMap(({ ipv6 }) => (ipv6 === undefined ? [] : [ipv6]));
        expect(new Set(fours).size).toBe(names.length);
        expect(new Set(sixes).size).toBe(names.length);
        expect(fours.every((address) => cidrContains(cidr("10.0.0.0/26"), address))).toBe(true);
        expect(new Set(attachments.map(({ mac }) => mac)).size).toBe(names.length);
      }),
    );
  });

  it("lets tenants overlap", () => {
    const topology = example("tenants");
    expect(addressesOf(topology, "red-target-1")).toEqual(addressesOf(topology, "blue-target-1"));
  });
});

describe("routes", () => {
  const routesOf = (topology: ResolvedTopology, node: string) =>
    topology.nodes.find(({ name }) => name === node)?.routes.map(({ to, via }) => `${to} via ${via.join(" ")}`);

  it("gives clients the router, and flat targets nothing: their return path is the node agent's", () => {
    const topology = example("default");
    expect(routesOf(topology, "client")).toEqual(["0.0.0.0/0 via 203.0.113.1", "::/0 via 2001:db8:c::1"]);
    expect(routesOf(topology, "target-1")).toEqual([]);
  });

  it("joins the segments of a routed network, with an ECMP default over the gateways", () => {
    const topology = example("routed");
    expect(routesOf(topology, "gateway-a")).toEqual([
      "10.1.1.0/24 via 10.1.0.1",
      "10.1.2.0/24 via 10.1.0.1",
      "fd00:1:1::/64 via fd00:1::1",
      "fd00:1:2::/64 via fd00:1::1",
    ]);
    expect(routesOf(topology, "target-3")).toEqual(["0.0.0.0/0 via 10.1.2.1", "::/0 via fd00:1:2::1"]);
    expect(routesOf(topology, "service-router")).toEqual([
      "0.0.0.0/0 via 10.1.0.2 10.1.0.3",
      "::/0 via fd00:1::2 fd00:1::3",
    ]);
  });
});
