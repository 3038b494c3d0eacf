import { describe, expect, test } from "vitest";
import type { MemoryStore } from "#shared/store/memory-store.ts";
import { pod } from "../test/node/pods.ts";
import { object, type ScenarioOptions, scenario } from "../test/support/scenario.ts";
import { desiredPodNetwork, nodeInterests, type PodNetwork } from "./desired-pod-network.ts";

function pods(options: ScenarioOptions = {}): MemoryStore {
  const store = scenario({ targets: 2, ...options });
  for (const n of [1, 2]) store.put(pod({ name: `pod-${n}`, ips: [`10.1.0.${n}`, `fd00:1::${n}`], interface: "net1" }));
  store.put(pod({ name: "pod-9", ips: ["10.1.0.9"] }));
  for (const n of [251, 252]) {
    store.put(pod({ name: `edge-${n}`, ips: [`10.1.0.${n}`, `fd00:1::${n}`], gateway: "edge" }));
  }
  return store;
}

async function desired(
  store: MemoryStore,
  isHere?: (pod: string) => boolean,
): Promise<ReadonlyMap<string, PodNetwork>> {
  const interests = nodeInterests(undefined);
  return desiredPodNetwork(await store.watch(interests, () => undefined, new AbortController().signal), isHere);
}

const hops = (network: PodNetwork | undefined, family: 4 | 6) =>
  network?.paths.map((path) => path.families[family]?.nextHops.map((h) => `${h.address} ${h.interface}`));

describe("what a pod is to have", () => {
  test("DSR: VIPs and one path over both instances; only targets", async () => {
    const all = await desired(pods());
    expect([...all.keys()]).toEqual(["default/pod-1", "default/pod-2"]);
    const one = all.get("default/pod-1");
    expect(one?.vips).toEqual(["198.51.100.10", "2001:db8:100::10"]);
    expect(one?.problems).toEqual([]);
    expect(hops(one, 4)).toEqual([["10.1.0.251 net1", "10.1.0.252 net1"]]);
    expect(hops(one, 6)).toEqual([["fd00:1::251 net1", "fd00:1::252 net1"]]);
    expect(await desired(pods(), (name) => name === "default/pod-2")).toEqual(
      new Map([["default/pod-2", all.get("default/pod-2")]]),
    );
  });

  test("NAT: no VIP, the target's address is the source", async () => {
    const one = (await desired(pods({ mode: "NAT" }))).get("default/pod-1");
    expect(one?.vips).toEqual([]);
    expect(one?.paths.map((path) => [path.key, path.families[4]?.sources])).toEqual([
      ["default/edge@default/svc-net", ["10.1.0.1"]],
    ]);
  });

  test("an instance counts per family, and not when it is not ready or leaving", async () => {
    const store = pods();
    store.put(pod({ name: "edge-251", ips: ["10.1.0.251", "fd00:1::251"], gateway: "edge", live: [6] }));
    const one = (await desired(store)).get("default/pod-1");
    expect(hops(one, 4)).toEqual([["10.1.0.252 net1"]]);
    expect(hops(one, 6)?.[0]).toHaveLength(2);
    const leaving = pod({ name: "edge-252", ips: ["10.1.0.252"], gateway: "edge" });
    Object.assign(leaving.metadata, { deletionTimestamp: "2026-01-01T00:00:00Z" });
    store.put(leaving);
    expect(hops((await desired(store)).get("default/pod-1"), 4)).toEqual([[]]);
  });

  test("targets that are not ready or terminating have it as well", async () => {
    const store = pods();
    for (const slice of store.list("EndpointSlice")) {
      const endpoints = slice.endpoints.map((e) => ({ ...e, conditions: { ready: false, terminating: true } }));
      store.put({ ...slice, endpoints });
    }
    expect((await desired(store)).size).toBe(2);
  });

  test("returnPath Network: nothing", async () => {
    const store = pods({ mode: "NAT" });
    const [parameters] = store.list("GatewayParameters");
    if (parameters === undefined) throw new Error("no parameters");
    store.put({ ...parameters, spec: { ...parameters.spec, returnPath: "Network" } });
    expect((await desired(store)).size).toBe(0);
  });

  test("problems name the annotation; a gateway instance is never a target", async () => {
    const store = pods();
    store.put(pod({ name: "pod-1", ips: ["10.1.0.1"], network: "default/other" }));
    store.put(pod({ name: "pod-2", ips: ["10.1.0.2"], gateway: "elsewhere" }));
    const all = await desired(store);
    expect(all.get("default/pod-1")?.problems[0]).toMatch(/network-status of the pod lists no interface on .*svc-net/);
    expect(all.get("default/pod-1")?.paths).toEqual([]);
    expect(all.get("default/pod-2")?.problems[0]).toMatch(/gateway instance/);
  });

  test.each(["", "{", "[1,{}]", '[{"name":"default/svc-net","interface":"a/b","ips":["x"]}]', "null"])(
    "a broken annotation %j harms nobody else",
    async (text) => {
      const store = pods();
      const broken = pod({ name: "pod-1", ips: [] });
      Object.assign(broken.metadata.annotations, { "k8s.v1.cni.cncf.io/network-status": text });
      store.put(broken);
      const all = await desired(store);
      expect(all.get("default/pod-1")?.problems).toHaveLength(1);
      expect(hops(all.get("default/pod-2"), 4)?.[0]).toHaveLength(2);
    },
  );

  test("two Gateways: a path each; in NAT mode one address cannot serve both", async () => {
    const second = (store: MemoryStore): MemoryStore => {
      const [edge] = store.list("Gateway");
      if (edge === undefined) throw new Error("no gateway");
      store.put(
        object({
          ...JSON.parse(JSON.stringify(edge)),
          metadata: { name: "other", namespace: "default" },
          status: { addresses: [{ type: "IPAddress", value: "198.51.100.20" }] },
        }),
      );
      for (const route of [...store.list("TCPRoute"), ...store.list("UDPRoute")]) {
        const parents = route.spec.parentRefs.flatMap((ref) => [ref, { ...ref, name: "other" }]);
        store.put({ ...route, spec: { ...route.spec, parentRefs: parents } });
      }
      store.put(pod({ name: "other-1", ips: ["10.1.0.253"], gateway: "other" }));
      return store;
    };
    const one = (await desired(second(pods()))).get("default/pod-1");
    expect(one?.paths.map((path) => path.key)).toEqual(["default/edge", "default/other"]);
    expect(hops(one, 4)).toEqual([["10.1.0.251 net1", "10.1.0.252 net1"], ["10.1.0.253 net1"]]);
    expect(one?.vips).toContain("198.51.100.20");
    expect(one?.problems).toEqual([]);
    const nat = (await desired(second(pods({ mode: "NAT" })))).get("default/pod-1");
    expect(nat?.problems.join()).toMatch(
      /10\.1\.0\.1 go to Gateway default\/edge, those of Gateway default\/other are lost/,
    );
  });
});
