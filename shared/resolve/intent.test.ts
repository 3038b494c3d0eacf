import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { intentOf, object, type ScenarioOptions, scenario, service, slice } from "../../test/support/scenario.ts";
import type { MemoryStore } from "../store/memory-store.ts";
import { type Flow, type Intent, REFUSED, type Table } from "./intent-types.ts";
import { TableCache } from "./tables.ts";

const META = { namespace: "default" };
const tcp8080 = [{ protocol: "TCP", port: 8080 }] as const;
const resolve = (options: ScenarioOptions = {}): Promise<Intent> => intentOf(scenario(options));

/** A TCPRoute of the scenario's listener, with these backends in place of the route's own. */
function routeTo(store: MemoryStore, ...backendRefs: readonly { name: string; weight?: number }[]): void {
  store.put(
    object({
      apiVersion: "gateway.networking.k8s.io/v1",
      kind: "TCPRoute",
      metadata: { ...META, name: "tcp-8080" },
      spec: {
        parentRefs: [{ name: "edge", sectionName: "tcp-8080" }],
        rules: [{ backendRefs: backendRefs.map((ref) => ({ port: 8080, ...ref })) }],
      },
    }),
  );
}

function backend(store: MemoryStore, name: string, pods: readonly string[], port = 8080, more: object = {}): void {
  store.put(service(name, port === 8080 ? 8080 : port, "TCP", more));
  const addresses = new Map(pods.map((pod, index) => [pod, `10.2.${name.length}.${index + 1}`]));
  store.put(slice(name, 4, port, "TCP", addresses));
}

function flowOf(intent: Intent, key: string): Flow {
  return intent.flows.find((flow) => flow.key === key) ?? expect.fail(`no flow ${key}`);
}
function tableOf(intent: Intent, key = "TCPRoute default/tcp-8080 TCP/8080 IPv4"): Table {
  const { table } = flowOf(intent, key);
  return intent.tables.get(table ?? "") ?? expect.fail(`flow ${key} has no table`);
}
/** Share of a table's slots by target; `refused` for those of nobody. */
function shares(intent: Intent, table: Table): Map<string, number> {
  const found = new Map<string, number>();
  for (const owner of table.slots) {
    const name = owner === REFUSED ? "refused" : (intent.legs.get(owner)?.target ?? expect.fail(`no leg ${owner}`));
    found.set(name, (found.get(name) ?? 0) + 1 / table.size);
  }
  return found;
}
const reasons = ({ problems }: Intent): string[] => problems.map(({ reason }) => reason);

describe("the intent of a Gateway", () => {
  it("has a flow for each route, listener and family, and one leg for both addresses of a pod", async () => {
    const intent = await resolve({ targets: 2 });
    expect(intent.flows.map(({ key }) => key).sort()).toEqual([
      "TCPRoute default/tcp-8080 TCP/8080 IPv4",
      "TCPRoute default/tcp-8080 TCP/8080 IPv6",
      "UDPRoute default/udp-8080 UDP/8080 IPv4",
      "UDPRoute default/udp-8080 UDP/8080 IPv6",
    ]);
    expect([...intent.legs.values()].map(({ key, addresses }) => [key, addresses]).sort()).toEqual([
      ["default/pod-1@default/svc-net", { 4: "10.1.0.1", 6: "fd00:1::1" }],
      ["default/pod-2@default/svc-net", { 4: "10.1.0.2", 6: "fd00:1::2" }],
    ]);
    expect(intent.problems).toEqual([]);
  });

  it("shares tables of equal content: ten ports over the same pods have one for each family", async () => {
    const listeners = Array.from({ length: 10 }, (_, index) => ({ protocol: "TCP" as const, port: 8000 + index }));
    const intent = await resolve({ listeners });
    expect(intent.flows).toHaveLength(20);
    expect(intent.tables.size).toBe(2);
    const apart = await resolve({ listeners, targetsOf: (index) => [1, 2 + (index % 2)] });
    expect(apart.tables.size).toBe(4);
  });

  it("keeps the names of tables, the ids of legs and most slots when a target comes", async () => {
    const cache = new TableCache();
    const before = await intentOf(scenario({ targets: 4 }), cache);
    const after = await intentOf(scenario({ targets: 5 }), cache);
    expect([...after.tables.keys()]).toEqual([...before.tables.keys()]);
    for (const [id, leg] of before.legs) expect(after.legs.get(id)?.key).toBe(leg.key);
    const [old, now] = [tableOf(before).slots, tableOf(after).slots];
    expect(old.filter((owner, slot) => owner !== now[slot]).length / old.length).toBeLessThan(0.3);
  });

  it("has no table while nobody is ready, and says nothing of it: that is no mistake of the objects", async () => {
    const intent = await resolve({ targets: 0 });
    expect(intent.flows.every(({ table, readyTargets }) => table === undefined && readyTargets === 0)).toBe(true);
    expect([intent.tables.size, intent.legs.size, intent.problems]).toEqual([0, 0, []]);
  });

  it("hashes the source alone where a Service asks for affinity", async () => {
    const store = scenario({ listeners: tcp8080 });
    const plain = object({ ...service("tcp-8080", 8080, "TCP") });
    expect((await intentOf(store)).flows.map(({ hash }) => hash)).toEqual(["tuple", "tuple"]);
    if (plain.kind !== "Service" || !("spec" in plain)) return expect.fail("not a Service");
    store.put(object({ ...plain, spec: { ...plain.spec, sessionAffinity: "ClientIP" } }));
    expect((await intentOf(store)).flows.map(({ hash }) => hash)).toEqual(["source", "source"]);
  });
});

describe("targets that the instance does not reach", () => {
  const V4 = "TCPRoute default/tcp-8080 TCP/8080 IPv4";
  const V6 = "TCPRoute default/tcp-8080 TCP/8080 IPv6";
  const without = (store: MemoryStore, ...addresses: string[]): Promise<Intent> =>
    intentOf(store, new TableCache(), "edge", { isUnreachable: (_, __, address) => addresses.includes(address) });
  const targets = (intent: Intent, key: string): string[] => [...shares(intent, tableOf(intent, key)).keys()].sort();

  it("are as if they were not there, in the family in which they are not reached", async () => {
    const intent = await without(scenario({ targets: 3, listeners: tcp8080 }), "10.1.0.2");
    expect(targets(intent, V4)).toEqual(["default/pod-1", "default/pod-3"]);
    expect(targets(intent, V6)).toEqual(["default/pod-1", "default/pod-2", "default/pod-3"]);
    expect(flowOf(intent, V4)).toMatchObject({ readyTargets: 2, reachable: true });
    const all = await resolve({ targets: 3, listeners: tcp8080 });
    expect(tableOf(intent, V6).slots).toEqual(tableOf(all, V6).slots);
  });

  it("stay in a flow's table when none of its targets is reached, which is told", async () => {
    const options = { targets: 2, listeners: tcp8080 };
    const intent = await without(scenario(options), "10.1.0.1", "10.1.0.2");
    expect(tableOf(intent, V4).slots).toEqual(tableOf(await resolve(options), V4).slots);
    expect([flowOf(intent, V4).reachable, flowOf(intent, V6).reachable]).toEqual([false, true]);
  });

  it("leave their backend's share to the backends that are reached", async () => {
    const store = scenario({ targets: 1, listeners: tcp8080 });
    backend(store, "other", ["pod-9"]);
    routeTo(store, { name: "tcp-8080", weight: 9 }, { name: "other", weight: 1 });
    expect(targets(await without(store, "10.1.0.1"), V4)).toEqual(["default/pod-9"]);
  });
});

describe("weights", () => {
  it("follow the backends, of which each divides its own among its pods; 0 takes part in nothing", async () => {
    const store = scenario({ listeners: tcp8080 });
    backend(store, "one", ["a"]);
    backend(store, "three", ["b", "c", "d"]);
    backend(store, "unused", ["e"]);
    routeTo(store, { name: "one", weight: 1 }, { name: "three", weight: 3 }, { name: "unused", weight: 0 });
    const intent = await intentOf(store);
    const found = shares(intent, tableOf(intent));
    expect([...found.keys()].sort()).toEqual(["default/a", "default/b", "default/c", "default/d"]);
    for (const share of found.values()) expect(share).toBeCloseTo(0.25, 2);
    expect(flowOf(intent, "TCPRoute default/tcp-8080 TCP/8080 IPv4").services).toContain("default/unused");
  });

  it("of backends that do not resolve are refused, within the bound of Maglev's rounds", async () => {
    const weight = fc.integer({ min: 1, max: 9 });
    await fc.assert(
      fc.asyncProperty(weight, weight, fc.integer({ min: 1, max: 4 }), async (good, bad, pods) => {
        const store = scenario({ listeners: tcp8080, tableSize: 251 });
        backend(
          store,
          "good",
          Array.from({ length: pods }, (_, index) => `pod-${index}`),
        );
        routeTo(store, { name: "good", weight: good }, { name: "missing", weight: bad });
        const intent = await intentOf(store);
        const refused = (shares(intent, tableOf(intent)).get("refused") ?? 0) * 251;
        // In the round that is cut short each candidate may be a turn ahead or behind.
        expect(Math.abs(refused - (251 * bad) / (good + bad))).toBeLessThanOrEqual(pods + 1);
      }),
      { numRuns: 25 },
    );
  });

  it("of a pod behind two Services add up", async () => {
    const store = scenario({ listeners: tcp8080 });
    backend(store, "x", ["a", "b"]);
    backend(store, "y", ["a"]);
    store.put(slice("y", 4, 8080, "TCP", new Map([["a", "10.2.1.1"]])));
    routeTo(store, { name: "x" }, { name: "y" });
    const intent = await intentOf(store);
    const found = shares(intent, tableOf(intent));
    expect(found.get("default/a")).toBeCloseTo(0.75, 2);
    expect(found.get("default/b")).toBeCloseTo(0.25, 2);
  });
});

describe("ports", () => {
  it("that differ at the targets need NAT: DSR says so, and sends nothing there", async () => {
    const intent = await resolve({ listeners: tcp8080, targetPort: 80 });
    expect(reasons(intent)).toEqual(["PortTranslationNeeded"]);
    expect(intent.problems[0]).toMatchObject({ object: { kind: "TCPRoute", name: "tcp-8080" } });
    expect(intent.problems[0]?.message).toContain("mode NAT");
    expect(intent.flows.every(({ table }) => table === undefined)).toBe(true);
  });

  it("are translated in NAT mode, by a leg of their own; those that stay the same are not", async () => {
    const keys = async (targetPort: number) =>
      [...(await resolve({ mode: "NAT", listeners: tcp8080, targets: 1, targetPort })).legs.values()].map(
        ({ key, port }) => [key, port],
      );
    expect(await keys(80)).toEqual([["default/pod-1@default/svc-net:tcp/80", 80]]);
    expect(await keys(8080)).toEqual([["default/pod-1@default/svc-net", undefined]]);
  });

  it("of one target cannot answer for two VIPs or two ports without state: the later flow is refused", async () => {
    const listeners = [
      { protocol: "TCP", port: 8080 },
      { protocol: "TCP", port: 9090 },
      { protocol: "UDP", port: 8080 },
    ] as const;
    const ports = await resolve({ mode: "NAT", listeners, targets: 1, targetPort: 80 });
    expect(new Set(reasons(ports))).toEqual(new Set(["AmbiguousReturn"]));
    const served = ports.flows.filter(({ table }) => table !== undefined).map(({ key }) => key);
    expect(served.sort()).toEqual([
      "TCPRoute default/tcp-8080 TCP/8080 IPv4",
      "TCPRoute default/tcp-8080 TCP/8080 IPv6",
      "UDPRoute default/udp-8080 UDP/8080 IPv4",
      "UDPRoute default/udp-8080 UDP/8080 IPv6",
    ]);
    const vips = { vips: ["198.51.100.10", "198.51.100.11"], listeners: tcp8080 };
    expect(reasons(await resolve({ mode: "NAT", ...vips }))).toEqual(["AmbiguousReturn"]);
    expect(reasons(await resolve({ mode: "DSR", ...vips }))).toEqual([]);
  });
});

describe("FlowRoutes", () => {
  const backendRefs = [{ name: "tcp-8080", port: 8080 }];
  const flowRoute = (name: string, priority: number, match: object = {}) => ({
    name,
    spec: { priority, match: { protocols: ["TCP"], ...match }, backendRefs },
  });

  it("come before the exact routes with a priority above 0, after them otherwise; higher ones first, then by name", async () => {
    const flowRoutes = [
      flowRoute("low", -7),
      flowRoute("high", 9),
      flowRoute("a-zero", 0),
      flowRoute("b", 3),
      flowRoute("a", 3),
    ];
    const intent = await resolve({ listeners: tcp8080, flowRoutes, vips: ["198.51.100.10"] });
    expect(intent.flows.map(({ route, stage }) => `${stage} ${route.name}`)).toEqual([
      "early high",
      "early a",
      "early b",
      "exact tcp-8080",
      "late a-zero",
      "late low",
    ]);
  });

  it("keep the sources of a flow's own family, and have no flow in a family of which nothing can match", async () => {
    const flowRoutes = [
      flowRoute("both", 4, { sources: ["10.0.0.0/8", "2001:db8::/32"] }),
      flowRoute("four", 3, { sources: ["10.0.0.0/8"] }),
      flowRoute("to-six", 2, { destinations: ["2001:db8:100::/64"] }),
      flowRoute("elsewhere", 1, { destinations: ["203.0.113.0/24"] }),
    ];
    const intent = await resolve({ listeners: tcp8080, flowRoutes });
    const early = intent.flows.filter(({ stage }) => stage === "early");
    expect(early.map(({ key, sources, vips }) => [key, sources, vips])).toEqual([
      ["FlowRoute default/both IPv4", ["10.0.0.0/8"], ["198.51.100.10"]],
      ["FlowRoute default/both IPv6", ["2001:db8::/32"], ["2001:db8:100::10"]],
      ["FlowRoute default/four IPv4", ["10.0.0.0/8"], ["198.51.100.10"]],
      ["FlowRoute default/to-six IPv6", [], ["2001:db8:100::10"]],
    ]);
  });
});

describe("two Gateways that share a VIP", () => {
  const listeners = Array.from({ length: 65 }, (_, index) => ({ protocol: "TCP" as const, port: 1000 + index }));

  it("serve each other's listeners, because routers spread the VIP over the instances of both", async () => {
    const store = scenario({ listeners, targets: 1, tableSize: 251, vips: ["198.51.100.10"] });
    const keys = async (gateway: string) => {
      const { flows } = await intentOf(store, new TableCache(), gateway);
      return flows.map(({ key, destinationPorts }) => `${key} ${destinationPorts[0]?.from}`).sort();
    };
    const [first, second] = [await keys("edge"), await keys("edge-2")];
    expect(first).toHaveLength(65);
    expect(second).toEqual(first);
  });

  it("send every packet to the same target: equal slots, whichever Gateway an instance belongs to", async () => {
    const store = scenario({ listeners, targets: 3, tableSize: 251, vips: ["198.51.100.10"] });
    const [first, second] = [await intentOf(store), await intentOf(store, new TableCache(), "edge-2")];
    for (const { key } of first.flows) {
      expect(shares(second, tableOf(second, key))).toEqual(shares(first, tableOf(first, key)));
      expect(tableOf(second, key).slots).toEqual(tableOf(first, key).slots);
    }
  });
});

describe("Services", () => {
  it.each([
    ["InvalidAnnotation", { "k8s.v1.cni.cncf.io/service-network": "Not A Name" }],
    ["NetworkNotAttached", { "k8s.v1.cni.cncf.io/service-network": "other-net" }],
  ])("%s: named, with the fix, once for all flows", async (reason, annotations) => {
    const store = scenario({ listeners: tcp8080 });
    backend(store, "tcp-8080", ["a"], 8080, { annotations });
    const intent = await intentOf(store);
    expect(reasons(intent)).toEqual([reason]);
    expect(intent.problems[0]?.object).toMatchObject({ kind: "Service", name: "tcp-8080" });
    expect(intent.tables.size).toBe(0);
  });

  it("choose the size of their table; one that is no size is said and left out", async () => {
    const sized = async (size: string) => {
      const store = scenario({ listeners: tcp8080 });
      const annotations = {
        "k8s.v1.cni.cncf.io/service-network": "svc-net",
        "causeway.dev/lookup-table-size": size,
      };
      backend(store, "tcp-8080", ["a"], 8080, { annotations });
      return intentOf(store);
    };
    expect(tableOf(await sized("251")).size).toBe(251);
    const wrong = await sized("250");
    expect(tableOf(wrong).size).toBe(997);
    expect(reasons(wrong)).toEqual(["InvalidAnnotation"]);
  });
});
