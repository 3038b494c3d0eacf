import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import type { LabStatus } from "../lab-status.ts";
import { loadTopology } from "../resolve-topology.ts";
import { Tally } from "../traffic/report.ts";
import { destinations } from "./destinations.ts";
import { summary } from "./once.ts";
import { renderView } from "./view.ts";

const topology = loadTopology(
  readFileSync(new URL("../../examples/lab/default/topology.yaml", import.meta.url), "utf8"),
  "default",
);
const VIPS = ["198.51.100.1", "2001:db8:100::1"];

function status(packets: number): LabStatus {
  const services = ["gateway-a", "gateway-b"].flatMap((node) =>
    ["TCP", "UDP"].map((protocol) => ({
      node,
      gateway: "default/edge",
      name: "default/echo",
      vips: VIPS,
      ports: ["8080"],
      protocols: [protocol],
      readyTargets: 4,
      packets,
      bytes: packets * 64,
    })),
  );
  const targets = ["gateway-a", "gateway-b"].flatMap((node) =>
    [1, 2, 3, 4].map((number) => ({ node, name: `default/target-${number}`, packets, bytes: packets * 64 })),
  );
  return {
    name: "default",
    topology: "default",
    description: "",
    topologyFile: "/t.yaml",
    folder: "/labs/default",
    manifests: "/labs/default/manifests",
    startedAt: "2026-01-01T00:00:00Z",
    converged: true,
    waitingFor: [],
    nodes: topology.nodes.map(({ name, spec }) => ({
      name,
      role: spec.role,
      stopped: name === "target-2",
      draining: false,
      addresses: [],
      processes: [],
    })),
    sessions: [
      { node: "gateway-a", peer: "router-ipv4", address: "192.0.2.1", family: "IPv4", state: "Established" },
      { node: "gateway-a", peer: "router-ipv6", address: "2001:db8:e::1", family: "IPv6", state: "Connecting" },
    ],
    vips: VIPS.map((address, index) => ({
      address,
      gateway: "default/edge",
      router: "router",
      expected: ["gateway-a", "gateway-b"],
      nextHops: index === 0 ? ["gateway-a", "gateway-b"] : ["gateway-b"],
    })),
    services,
    targets,
  };
}

function traffic(targets: readonly string[]) {
  const tally = new Tally();
  for (const target of targets) tally.answered(target, 1);
  return tally.report("198.51.100.1:8080", "tcp", 1000);
}

describe("live view", () => {
  const input = {
    status: status(300),
    previous: { status: status(100), elapsedMs: 2000 },
    traffic: [traffic(["target-1", "target-1", "target-3"])],
    hints: ["Try:", "one", "two"],
  };

  it("shows path, sessions, VIPs and traffic in 80x24", () => {
    expect(renderView(input, 80, 24).join("\n")).toMatchInlineSnapshot(`
      "causeway lab default · topology default · converged

      CLIENT     ROUTER       INSTANCE     BGP  PKT/S     TARGET      ANSWERS  PACKETS
      client ─── ● router ─┬─ ● gateway-a  1/2  200   ─┬─ ● target-1  2        600
                           └─ ● gateway-b  0/0  200   ─┼─ ✗ target-2  0        600
                                                       ├─ ● target-3  1        600
                                                       └─ ● target-4  0        600

      VIP              GATEWAY       AT THE ROUTER  VIA
      198.51.100.1     default/edge  routed         gateway-a, gateway-b
      2001:db8:100::1  default/edge  partly routed  gateway-b

      TRAFFIC  TO                 ANSWERED  LOST  MS P50
      tcp      198.51.100.1:8080  3         0     1

        Try:
        one
        two
        Ctrl-C tears the lab down"
    `);
  });

  it("fits any terminal, with any number of VIPs", () => {
    const many = {
      ...input,
      status: { ...input.status, vips: Array.from({ length: 100 }, () => input.status.vips).flat() },
    };
    for (const [width, height] of [
      [80, 24],
      [40, 10],
      [200, 60],
      [1, 1],
    ] as const) {
      const lines = renderView(many, width, height);
      expect(lines.length).toBeLessThanOrEqual(height);
      expect(Math.max(...lines.map((line) => line.length))).toBeLessThanOrEqual(width);
    }
  });
});

describe("destinations", () => {
  it("are one for each protocol and family", () => {
    expect(destinations(status(0)).map(({ protocol, address, port }) => `${protocol} ${address} ${port}`)).toEqual([
      "tcp 198.51.100.1 8080",
      "tcp 2001:db8:100::1 8080",
      "udp 198.51.100.1 8080",
      "udp 2001:db8:100::1 8080",
    ]);
  });
});

describe("the result of --once", () => {
  const all = [traffic(["target-1", "target-2", "target-3", "target-4"])];
  const before = new Map([["gateway-a", 5]]);
  const after = new Map([
    ["gateway-a", 9],
    ["gateway-b", 4],
  ]);

  it("is good when nothing was lost and everything was hit", () => {
    const { ok, lines } = summary(topology, all, before, after);
    expect(ok).toBe(true);
    expect(lines.at(-1)).toBe("nothing was lost; every target and instance was hit");
  });

  it("is bad when a target, an instance or an answer is missing", () => {
    expect(summary(topology, [traffic(["target-1", "target-2", "target-3"])], before, after).lines.at(-1)).toContain(
      "not hit: target-4",
    );
    expect(summary(topology, all, after, after).lines.at(-1)).toContain("not hit: gateway-a, gateway-b");
    const tally = new Tally();
    tally.lost("reset");
    const lossy = summary(topology, [...all, tally.report("x", "tcp", 1)], before, after);
    expect(lossy.ok).toBe(false);
    expect(lossy.lines.at(-1)).toContain("1 lost");
    expect(summary(topology, [], before, after).ok).toBe(false);
  });
});
