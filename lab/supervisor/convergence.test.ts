import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import type { NodeStatus } from "../lab-status.ts";
import { loadTopology } from "../resolve-topology.ts";
import { convergence, type Observation } from "./convergence.ts";
import type { InstanceStatus } from "./instance-status.ts";

const file = new URL("../../examples/lab/default/topology.yaml", import.meta.url);
const topology = loadTopology(readFileSync(file, "utf8"), "default");
const VIPS = ["198.51.100.1", "2001:db8:100::1"];

function node(name: string, ready = true, stopped = false): NodeStatus {
  const state = stopped ? "stopped" : "running";
  return {
    name,
    role: "gateway",
    stopped,
    draining: false,
    addresses: [],
    processes: [{ name: "proxy", state, ready, restarts: 0 }],
  };
}

function instance(name: string, ready = true, state = "Established", target = "accepting"): InstanceStatus {
  const counts = { packets: 1, bytes: 64 };
  const readyTargets = ready ? 1 : 0;
  return {
    node: name,
    gateway: "default/edge",
    proxy: {
      vips: VIPS.map((address) => ({ address, ready })),
      services: [{ name: "echo", vips: VIPS, ports: ["8080"], protocols: ["TCP"], readyTargets, ...counts }],
      targets: [{ name: "default/target-1", state: target, ...counts }],
    },
    frontend: { peers: [{ name: "router", address: "192.0.2.1", family: "IPv4", state }], advertised: [] },
    faults: [],
  };
}

function routes(...nodes: string[]): Observation["routes"] {
  return new Map([
    [
      "router",
      new Map([
        ["198.51.100.1/32", nodes],
        ["2001:db8:100::1/128", nodes],
      ]),
    ],
  ]);
}

const settled: Observation = {
  topology,
  nodes: [node("gateway-a"), node("gateway-b")],
  instances: [instance("gateway-a"), instance("gateway-b")],
  routes: routes("gateway-a", "gateway-b"),
};

describe("convergence", () => {
  it("is not reached while a target is arriving", () => {
    const instances = [instance("gateway-a"), instance("gateway-b", true, "Established", "arriving")];
    expect(convergence({ ...settled, instances }).waitingFor).toEqual([
      "gateway-b: target default/target-1 does not answer for its VIPs yet",
    ]);
  });

  it("is reached when every VIP is routed to every instance", () => {
    const result = convergence(settled);
    expect(result.waitingFor).toEqual([]);
    expect(result.vips.map(({ address, nextHops }) => [address, nextHops])).toEqual(
      VIPS.map((vip) => [vip, ["gateway-a", "gateway-b"]]),
    );
    expect(result.services).toHaveLength(2);
  });

  it.each<[string, Partial<Observation>, string]>([
    ["a missing next hop", { routes: routes("gateway-a") }, "router has no route to 198.51.100.1 via gateway-b"],
    ["no route at all", { routes: new Map() }, "router has no route to 2001:db8:100::1 via gateway-a"],
    [
      "a process that is not ready",
      { nodes: [node("gateway-a", false), node("gateway-b")] },
      "gateway-a: proxy is not ready",
    ],
    [
      "a session that is down",
      { instances: [instance("gateway-a"), instance("gateway-b", true, "Connecting")] },
      "gateway-b: the session with router is Connecting",
    ],
    [
      "no targets",
      { instances: [instance("gateway-a", false), instance("gateway-b", false)], routes: routes() },
      "Gateway default/edge has no IPv4 VIP with targets",
    ],
    [
      "a route that should have gone",
      { instances: [instance("gateway-a", false), instance("gateway-b", false)] },
      "router still routes 198.51.100.1 via gateway-a",
    ],
    [
      "a status that cannot be had",
      {
        instances: [
          { node: "gateway-a", gateway: "default/edge", faults: ["gateway-a proxy does not answer"] },
          instance("gateway-b"),
        ],
      },
      "gateway-a proxy does not answer",
    ],
  ])("waits for %s", (_, change, reason) => {
    expect(convergence({ ...settled, ...change }).waitingFor).toContain(reason);
  });

  it("expects nothing of a node that is held down", () => {
    const observation = {
      ...settled,
      nodes: [node("gateway-a", false, true), node("gateway-b")],
      routes: routes("gateway-b"),
    };
    expect(convergence(observation).waitingFor).toEqual([]);
  });
});
