import { readdirSync, readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { z } from "zod";
import { loadTopology } from "./resolve-topology.ts";
import { TopologyError, topologySchema } from "./topology.ts";

function problemsOf(text: string): string[] {
  try {
    loadTopology(text, "topology.yaml");
  } catch (error) {
    if (!(error instanceof TopologyError)) throw error;
    return error.problems.map(({ path, line, message }) => `${line} ${path}: ${message}`);
  }
  return [];
}

const MINIMAL = `
name: t
nodes:
  a: { role: client }
  b: { role: host }
networks:
  n: { type: bridge, interface: eth0, ipv4: 10.0.0.0/24, members: [a, b] }
`;

describe("topology files", () => {
  it("accepts every example", () => {
    const folder = new URL("../examples/lab/", import.meta.url);
    const names = readdirSync(folder).filter((name) => name !== "README.md");
    expect(names.length).toBeGreaterThanOrEqual(5);
    for (const name of names) {
      const text = readFileSync(new URL(`${name}/topology.yaml`, folder), "utf8");
      expect(loadTopology(text, name).name).toBe(name);
    }
  });

  it("accepts the least there is", () => {
    expect(problemsOf(MINIMAL)).toEqual([]);
  });

  it("tells every fault of the fields at once, with line and path", () => {
    const problems = problemsOf(`
name: Bad_Name
speed: 7
nodes:
  a: { role: client, colour: red }
  b: { role: queen }
  g: { role: gateway, gateway: edge, asn: 0 }
networks:
  n: { type: bridge, interface: "eth 0", ipv4: 10.0.0.0/33, mtu: 12, members: [] }
`);
    const text = problems.join("\n");
    for (const part of [
      "2 name: must be 1-40",
      "speed",
      "5 nodes.a: ",
      "6 nodes.b",
      "7 nodes.g.gateway: must be namespace/name",
      "7 nodes.g.asn",
      "networks.n.interface: must be an interface name",
      'networks.n.ipv4: "10.0.0.0/33" is no prefix',
      "networks.n.mtu",
      "networks.n.members",
    ]) {
      expect(text).toContain(part);
    }
  });

  it("tells every fault between fields at once", () => {
    const problems = problemsOf(`
name: t
nodes:
  a: { role: client, routes: [{ to: 10.9.0.0/16, via: ["fd00::1"] }] }
  b: { role: router, asn: 65000 }
  lonely: { role: host }
networks:
  one: { type: bridge, interface: eth0, ipv4: 10.0.0.0/30, members: [a, b, ghost] }
  two:
    type: bridge
    interface: eth0
    ipv4: 10.0.1.0/24
    members: [{ node: a, ipv4: 10.0.2.1 }, { node: b, ipv4: 10.0.1.9 }, { node: lonely, ipv4: 10.0.1.9 }]
  bare: { type: bridge, interface: eth1, members: [a] }
  far: { type: routed, router: b, interface: svc0, segments: { s: { ipv4: 10.3.0.0/24, members: [a] } } }
  over: { type: vxlan, interface: svc1, mtu: 1480, vni: 7, underlay: { ipv4: 172.16.0.0/24 }, ipv4: 10.4.0.0/24, hosts: { a: { members: [a] } } }
`);
    const text = problems.join("\n");
    for (const part of [
      'networks.one.members.2: names no node: "ghost"; nodes are a, b, lonely',
      "networks.one.ipv4: 10.0.0.0/30 is too small for 3 members",
      "networks.two.members.0.ipv4: 10.0.2.1 is outside the segment's ipv4 prefix 10.0.1.0/24",
      "networks.two.members.2.ipv4: 10.0.1.9 is already another member's",
      "networks.two.members.0: node a already has an interface eth0",
      "networks.bare: has neither ipv4 nor ipv6",
      "networks.far.router: must name a node of role host",
      "networks.over.hosts: has fewer than two hosts",
      "networks.over.mtu: plus 50 bytes of VXLAN exceeds underlay.mtu 1500; lower it to 1450",
      "the VXLAN host a has the name of another node",
      "has a router but no `bgp`",
      "nodes.a.routes.0.via: must be of the family of `to` 10.9.0.0/16",
    ]) {
      expect(text).toContain(part);
    }
  });

  it("names a node that is in no network", () => {
    expect(problemsOf(MINIMAL.replace("members: [a, b]", "members: [a]"))).toEqual([
      "5 nodes.b: is a member of no network; add it to one, or remove it",
    ]);
  });

  it("gives the line of a YAML fault", () => {
    expect(problemsOf("name: t\nnodes: [\n")[0]).toMatch(/^[23] : /);
  });

  it("is documented, field by field", () => {
    const text = readFileSync(new URL("../examples/lab/README.md", import.meta.url), "utf8");
    const fields = new Set<string>();
    const walk = (value: unknown): void => {
      if (value === null || typeof value !== "object") return;
      for (const [key, child] of Object.entries(value)) {
        if (key === "properties" && child !== null && typeof child === "object") {
          for (const field of Object.keys(child)) fields.add(field);
        }
        walk(child);
      }
    };
    walk(z.toJSONSchema(topologySchema, { io: "input", unrepresentable: "any" }));
    expect(fields.size).toBeGreaterThan(40);
    expect([...fields].filter((field) => !new RegExp(`[\`.]${field}[\`.]`).test(text))).toEqual([]);
  });

  it("reserves the name of the cluster's processes", () => {
    expect(problemsOf(MINIMAL.replaceAll("b:", "cluster:").replace("[a, b]", "[a, cluster]")).join()).toContain(
      "reserved",
    );
  });

  it("refuses what is no mapping", () => {
    for (const text of ["", "[]", "7", "name"]) expect(problemsOf(text)).not.toEqual([]);
  });
});
