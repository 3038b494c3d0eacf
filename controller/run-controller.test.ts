import pino from "pino";
import { afterEach, describe, expect, test, vi } from "vitest";
import type { Endpoint } from "#shared/api/core.ts";
import type { AnyObject } from "#shared/api/kinds.ts";
import type { Condition } from "#shared/api/meta.ts";
import type { Clock } from "#shared/process/clock.ts";
import { type Manifest, object } from "#shared/resolve/objects.fixture.ts";
import { MemoryStore } from "#shared/store/memory-store.ts";
import { type StatusOf, StoreUnavailableError, type WriteOptions } from "#shared/store/object-store.ts";
import { BASE, gateway, instance, route, service, target } from "./run-controller.fixture.ts";
import { type RunningController, runController } from "./run-controller.ts";

/** Counts writes, and can be out of order for a while. */
class ObservedStore extends MemoryStore {
  writes: string[] = [];
  failNext = 0;

  override async apply(...[target, options]: Parameters<MemoryStore["apply"]>): Promise<void> {
    this.#note(`apply ${target.metadata.name}`);
    return super.apply(target, options);
  }

  override async applyStatus(
    ref: Parameters<MemoryStore["applyStatus"]>[0],
    status: StatusOf,
    options: WriteOptions,
  ): Promise<void> {
    this.#note(`status ${ref.kind} ${ref.name}`);
    return super.applyStatus(ref, status, options);
  }

  #note(what: string): void {
    if (this.failNext > 0) {
      this.failNext -= 1;
      throw new StoreUnavailableError("down");
    }
    this.writes.push(what);
  }
}

/** As an API server: what was written is seen only later. */
class LaggingStore extends MemoryStore {
  #late: (() => Promise<void>)[] = [];

  override async applyStatus(...args: Parameters<MemoryStore["applyStatus"]>): Promise<void> {
    this.#late.push(() => super.applyStatus(...args));
  }

  async catchUp(): Promise<void> {
    for (const write of this.#late.splice(0)) await write();
  }
}

class TestClock implements Clock {
  timeMs = Date.parse("2026-01-01T00:00:00Z");

  nowMs(): number {
    return this.timeMs;
  }
}

let stop = new AbortController();
const clock = new TestClock();
/** Retries come at once. */
const noPause = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));
async function run(store: MemoryStore, pause: (ms: number) => Promise<void> = noPause): Promise<RunningController> {
  stop = new AbortController();
  const controller = await runController({
    store,
    log: pino({ level: "silent" }),
    clock,
    signal: stop.signal,
    random: () => 0,
    pause,
  });
  await controller.settled();
  return controller;
}
afterEach(() => stop.abort());

const objects = (...manifests: Manifest[]): AnyObject[] => [...BASE, ...manifests].map(object);
function brief(conditions: readonly Condition[] | undefined): Record<string, string> {
  return Object.fromEntries((conditions ?? []).map(({ type, status, reason }) => [type, `${status} ${reason}`]));
}
function addressesOf(store: MemoryStore, name: string): string[] {
  return (store.get("Gateway", "infra", name)?.status?.addresses ?? []).map(({ value }) => value);
}
function endpointsOf(store: MemoryStore, name: string): Endpoint[] {
  return store
    .list("EndpointSlice")
    .filter(({ metadata }) => metadata.labels["kubernetes.io/service-name"] === name)
    .flatMap(({ endpoints }) => endpoints);
}

describe("statuses", () => {
  test("a whole Gateway: addresses, conditions, listeners, routes, pool, parameters, class", async () => {
    const store = new ObservedStore(
      objects(gateway("gw"), instance("gw", true), service(), route("r", "2026-01-01T00:00:00Z")),
    );
    const controller = await run(store);
    const gw = store.get("Gateway", "infra", "gw");
    expect(gw?.status?.addresses).toEqual([{ type: "IPAddress", value: "192.0.2.0" }]);
    expect(brief(gw?.status?.conditions)).toEqual({ Accepted: "True Accepted", Programmed: "True Programmed" });
    expect(gw?.status?.conditions[0]?.lastTransitionTime).toBe("2026-01-01T00:00:00Z");
    expect(gw?.status?.listeners[0]).toMatchObject({
      name: "a",
      attachedRoutes: 1,
      supportedKinds: [{ group: "gateway.networking.k8s.io", kind: "TCPRoute" }],
    });
    expect(brief(gw?.status?.listeners[0]?.conditions)).toEqual({
      Accepted: "True Accepted",
      Conflicted: "False NoConflicts",
      ResolvedRefs: "True ResolvedRefs",
      Programmed: "True Programmed",
    });
    const parents = store.get("TCPRoute", "infra", "r")?.status?.parents;
    expect(parents).toHaveLength(1);
    expect(parents?.[0]).toMatchObject({
      parentRef: { name: "gw" },
      controllerName: "causeway.dev/gateway-controller",
    });
    expect(brief(parents?.[0]?.conditions)).toEqual({ Accepted: "True Accepted", ResolvedRefs: "True ResolvedRefs" });
    expect(store.get("AddressPool", "", "pool")?.status?.ipv4).toEqual({ used: "1", free: "15" });
    expect(brief(store.get("GatewayParameters", "infra", "net")?.status?.conditions)).toEqual({
      Accepted: "True Accepted",
      InUse: "True Referenced",
    });
    const gatewayClass = store.get("GatewayClass", "", "causeway");
    expect(brief(gatewayClass?.status?.conditions)).toEqual({ Accepted: "True Accepted" });
    expect(gatewayClass?.status?.supportedFeatures).toContainEqual({ name: "UDPRoute" });
    expect(controller.snapshot()).toMatchObject({
      gateways: [{ name: "gw", addresses: ["192.0.2.0"] }],
      queueDepth: 0,
    });
    expect(controller.snapshot().problems).toEqual([]);
  });

  test("Programmed follows the instances; the transition time only moves with the status", async () => {
    const store = new ObservedStore(objects(gateway("gw")));
    const controller = await run(store);
    const programmed = () => store.get("Gateway", "infra", "gw")?.status?.conditions[1];
    expect(programmed()).toMatchObject({ status: "False", reason: "Pending" });
    clock.timeMs += 60_000;
    store.put(object(instance("gw", false)));
    await controller.settled();
    expect(programmed()).toMatchObject({ reason: "Pending", lastTransitionTime: "2026-01-01T00:00:00Z" });
    expect(programmed()?.message).toContain("none of 1 instances");
    store.put(object(instance("gw", true)));
    await controller.settled();
    expect(programmed()).toMatchObject({ status: "True", lastTransitionTime: "2026-01-01T00:01:00Z" });
    store.remove({ kind: "Pod", namespace: "infra", name: "gw-1" });
    await controller.settled();
    expect(programmed()).toMatchObject({ status: "False", reason: "Pending" });
  });

  test("nothing new, nothing written: neither at rest nor after a restart", async () => {
    const store = new ObservedStore(
      objects(gateway("gw"), instance("gw", true), service(), target("p1", "10.0.0.1"), route("r", "")),
    );
    const first = await run(store);
    stop.abort();
    await first.done;
    store.writes = [];
    const second = await run(store);
    store.put(object({ kind: "Namespace", metadata: { name: "other" } }));
    await second.settled();
    expect(store.writes).toEqual([]);
  });

  test("a health check that has nothing to check says so, and so does the controller, until there is", async () => {
    const check = { kind: "HealthCheck", metadata: { name: "c", namespace: "infra" } } as const;
    const store = new ObservedStore(objects({ ...check, spec: { targetRefs: [{ name: "web" }] } }));
    const controller = await run(store);
    const conditions = () => brief(store.get("HealthCheck", "infra", "c")?.status?.conditions);
    expect(conditions()).toEqual({ Accepted: "False TargetNotFound" });
    expect(controller.snapshot().problems).toMatchObject([{ object: "HealthCheck infra/c" }]);
    store.put(object(service()));
    await controller.settled();
    expect(conditions()).toEqual({ Accepted: "True Accepted" });
    expect(controller.snapshot().problems).toEqual([]);
  });

  test("two routes on one listener, and the loser after the winner has gone", async () => {
    const store = new ObservedStore(
      objects(gateway("gw"), service(), route("old", "2026-01-01T00:00:00Z"), route("young", "2026-02-01T00:00:00Z")),
    );
    const controller = await run(store);
    const conditions = () => brief(store.get("TCPRoute", "infra", "young")?.status?.parents[0]?.conditions);
    expect(conditions()["causeway.dev/Superseded"]).toBe("True OlderRouteWins");
    expect(controller.snapshot().problems.map((problem) => problem.object)).toContain("TCPRoute infra/young");
    store.remove({ kind: "TCPRoute", namespace: "infra", name: "old" });
    await controller.settled();
    expect(conditions()).toEqual({ Accepted: "True Accepted", ResolvedRefs: "True ResolvedRefs" });
  });

  test("a route that instances cannot forward says so, and no longer once they can", async () => {
    const store = new ObservedStore(objects(gateway("gw"), service("web", "green"), route("r", "")));
    const controller = await run(store);
    const parent = () => store.get("TCPRoute", "infra", "r")?.status?.parents[0];
    expect(brief(parent()?.conditions)["causeway.dev/Programmed"]).toBe("False NetworkNotAttached");
    expect(parent()?.conditions.at(-1)?.message).toContain("infra/green");
    store.put(object(service("web", "blue")));
    await controller.settled();
    expect(brief(parent()?.conditions)).toEqual({ Accepted: "True Accepted", ResolvedRefs: "True ResolvedRefs" });
  });

  test("targets on another port than the listener's: DSR cannot, and the route says so", async () => {
    const web = { ...service(), spec: { selector: { app: "web" }, ports: [{ port: 80, targetPort: 8080 }] } };
    const store = new ObservedStore(objects(gateway("gw"), web, route("r", "")));
    await run(store);
    const programmed = () =>
      brief(store.get("TCPRoute", "infra", "r")?.status?.parents[0]?.conditions)["causeway.dev/Programmed"];
    expect(programmed()).toBeUndefined();
    store.put(object(target("web-1", "10.0.0.1")));
    await vi.waitFor(() => expect(programmed()).toBe("False PortTranslationNeeded"), { timeout: 5000 });
  });

  test("a route that leaves the Gateway loses our entry", async () => {
    const store = new ObservedStore(objects(gateway("gw"), service(), route("r", "")));
    const controller = await run(store);
    store.put(object({ ...route("r", ""), spec: { rules: [{ backendRefs: [{ name: "web", port: 80 }] }] } }));
    await controller.settled();
    expect(store.get("TCPRoute", "infra", "r")?.status?.parents).toEqual([]);
  });

  test("a Gateway that is refused says why, and keeps nobody from theirs", async () => {
    const bad = gateway("bad", {
      infrastructure: { parametersRef: { group: "causeway.dev", kind: "GatewayParameters", name: "no" } },
    });
    const store = new ObservedStore(objects(bad, gateway("gw"), instance("gw", true)));
    await run(store);
    expect(brief(store.get("Gateway", "infra", "bad")?.status?.conditions)).toEqual({
      Accepted: "False InvalidParameters",
      Programmed: "False Invalid",
    });
    expect(addressesOf(store, "gw")).toEqual(["192.0.2.0"]);
  });
});

describe("addresses", () => {
  test("a restart keeps every VIP, whoever else has come", async () => {
    const store = new ObservedStore(objects(gateway("m"), gateway("z")));
    const first = await run(store);
    expect([addressesOf(store, "m"), addressesOf(store, "z")]).toEqual([["192.0.2.0"], ["192.0.2.1"]]);
    stop.abort();
    await first.done;
    store.put(object(gateway("a")));
    store.remove({ kind: "Gateway", namespace: "infra", name: "m" });
    await run(store);
    expect([addressesOf(store, "a"), addressesOf(store, "z")]).toEqual([["192.0.2.0"], ["192.0.2.1"]]);
  });

  test("a VIP that the store does not show yet is not given to anybody else", async () => {
    const store = new LaggingStore(objects(gateway("z")));
    const controller = await run(store);
    store.put(object(gateway("a")));
    await controller.settled();
    await store.catchUp();
    await controller.settled();
    await store.catchUp();
    expect([addressesOf(store, "a"), addressesOf(store, "z")]).toEqual([["192.0.2.1"], ["192.0.2.0"]]);
  });

  test("the pool is replaced: every Gateway moves, the status and the pool say so", async () => {
    const store = new ObservedStore(objects(gateway("gw"), instance("gw", true)));
    const controller = await run(store);
    store.put(object({ kind: "AddressPool", metadata: { name: "pool" }, spec: { addresses: ["198.51.100.8/31"] } }));
    await controller.settled();
    expect(addressesOf(store, "gw")).toEqual(["198.51.100.8"]);
    expect(store.get("AddressPool", "", "pool")?.status?.ipv4).toEqual({ used: "1", free: "1" });
    store.remove({ kind: "AddressPool", namespace: "", name: "pool" });
    await controller.settled();
    expect(addressesOf(store, "gw")).toEqual([]);
    expect(brief(store.get("Gateway", "infra", "gw")?.status?.conditions).Programmed).toBe("False AddressNotAssigned");
  });

  test("an exhausted pool and a refused address are told in Programmed", async () => {
    const small: Manifest = { kind: "AddressPool", metadata: { name: "pool" }, spec: { addresses: ["192.0.2.1/32"] } };
    const wish = { addresses: [{ type: "IPAddress", value: "192.0.2.1" }] };
    const store = new ObservedStore(
      [...BASE.slice(0, 2), small, gateway("a", wish), gateway("b", wish), gateway("c")].map(object),
    );
    const controller = await run(store);
    const programmed = (name: string) => store.get("Gateway", "infra", name)?.status?.conditions[1];
    expect(programmed("b")).toMatchObject({ reason: "AddressNotUsable" });
    expect(programmed("b")?.message).toContain("Gateway infra/a");
    expect(programmed("c")).toMatchObject({ reason: "AddressNotAssigned" });
    expect(programmed("c")?.message).toContain("pool (all of its 1 IPv4");
    expect(brief(store.get("AddressPool", "", "pool")?.status?.conditions).Available).toBe("False Exhausted");
    store.remove({ kind: "Gateway", namespace: "infra", name: "a" });
    await controller.settled();
    expect(addressesOf(store, "b")).toEqual(["192.0.2.1"]);
  });
});

test("the entry of a relay whose Pod is gone is taken out after 30 s", async () => {
  const startMs = clock.timeMs;
  const domain: Manifest = {
    kind: "DiscoveryDomain",
    metadata: { name: "robots", namespace: "cells" },
    spec: { networks: [{ network: "cell-a", interface: "net1" }] },
  };
  const store = new ObservedStore(objects(domain));
  const ref = { kind: "DiscoveryDomain", namespace: "cells", name: "robots" } as const;
  const say = (participants: number) => {
    const instances = [{ name: "relay-a", namespace: "cells", state: "Listening", participants }];
    return store.applyStatus(ref, { instances }, { fieldManager: "discovery-relay-a" });
  };
  const entries = () => store.get("DiscoveryDomain", "cells", "robots")?.status?.instances;
  await say(1);
  const waits: { ms: number; end: () => void }[] = [];
  const controller = await run(store, (ms) => new Promise((end) => waits.push({ ms, end })));
  await say(2);
  await controller.settled();
  expect(entries()).toHaveLength(1);
  expect(waits.at(-1)?.ms).toBe(30_000);
  clock.timeMs = startMs + 30_000;
  for (const { end } of waits) end();
  await vi.waitFor(() => expect(entries()).toEqual([]));
  clock.timeMs = startMs;
});

describe("EndpointSlices", () => {
  test("a terminating pod leaves when its grace period is over, though nothing tells of it", async () => {
    const startMs = clock.timeMs;
    const leaving = object(target("p1", "10.0.0.1"));
    Object.assign(leaving.metadata, { deletionTimestamp: new Date(startMs + 30_000).toISOString() });
    const store = new ObservedStore([...objects(service(), target("p2", "10.0.0.2")), leaving]);
    const waits: { ms: number; end: () => void }[] = [];
    const controller = await run(store, (ms) => new Promise((end) => waits.push({ ms, end })));
    const conditions = () => Object.fromEntries(endpointsOf(store, "web").map((e) => [e.addresses[0], e.conditions]));
    expect(conditions()).toEqual({
      "10.0.0.1": { ready: false, serving: true, terminating: true },
      "10.0.0.2": { ready: true, serving: true, terminating: false },
    });
    // Looked at again after its own write.
    expect(waits.at(-1)?.ms).toBe(40_000);
    clock.timeMs = startMs + 40_000;
    for (const { end } of waits) end();
    await vi.waitFor(() => expect(Object.keys(conditions())).toEqual(["10.0.0.2"]));
    await controller.settled();
    expect(controller.snapshot().slices).toMatchObject([{ service: "web", targets: 1 }]);
    clock.timeMs = startMs;
  });

  test("pods come, change, move and go; the Service goes", async () => {
    const store = new ObservedStore(objects(service(), target("p1", "10.0.0.1")));
    const controller = await run(store);
    const addresses = () => endpointsOf(store, "web").flatMap((endpoint) => endpoint.addresses);
    expect(addresses()).toEqual(["10.0.0.1"]);
    store.put(object(target("p2", "10.0.0.2")));
    store.put(object(target("p1", "10.0.0.9")));
    await controller.settled();
    expect(addresses()).toEqual(["10.0.0.9", "10.0.0.2"]);
    store.put(object(target("p2", "10.0.0.2", "other")));
    await controller.settled();
    expect(addresses()).toEqual(["10.0.0.9"]);
    store.put(object({ ...service(), spec: { selector: { app: "other" }, ports: [{ port: 80 }] } }));
    await controller.settled();
    expect(addresses()).toEqual(["10.0.0.2"]);
    store.remove({ kind: "Service", namespace: "infra", name: "web" });
    await controller.settled();
    expect(store.list("EndpointSlice")).toEqual([]);
    expect(controller.snapshot().slices).toEqual([]);
  });

  test("slices of a Service that went while the controller was away, and tampered ones, are cleaned up", async () => {
    const store = new ObservedStore(objects(service(), target("p1", "10.0.0.1")));
    const first = await run(store);
    stop.abort();
    await first.done;
    store.remove({ kind: "Service", namespace: "infra", name: "web" });
    await run(store);
    expect(store.list("EndpointSlice")).toEqual([]);
  });

  test("a deleted slice comes back", async () => {
    const store = new ObservedStore(objects(service(), target("p1", "10.0.0.1")));
    const controller = await run(store);
    const [slice] = store.list("EndpointSlice");
    store.remove({ kind: "EndpointSlice", namespace: "infra", name: slice?.metadata.name ?? "" });
    await controller.settled();
    expect(store.list("EndpointSlice").map(({ metadata }) => metadata.name)).toEqual([slice?.metadata.name]);
  });

  test("a bad pod and a bad Service are told by name and spoil nothing else", async () => {
    const store = new ObservedStore(
      objects(service(), target("p1", "10.0.0.1"), target("p2", "", "web", "{"), service("db", "a/b/c")),
    );
    const controller = await run(store);
    expect(endpointsOf(store, "web")).toHaveLength(1);
    const [reported] = store.get("Service", "infra", "web")?.status?.conditions ?? [];
    expect(reported).toMatchObject({ type: "causeway.dev/TargetsResolved", status: "False", reason: "PodsLeftOut" });
    expect(reported?.message).toContain("Pod infra/p2: annotation k8s.v1.cni.cncf.io/network-status does not parse");
    expect(
      controller
        .snapshot()
        .problems.map((problem) => problem.object)
        .sort(),
    ).toEqual(["Service infra/db", "Service infra/web"]);
    store.put(object(target("p2", "10.0.0.2")));
    await controller.settled();
    expect(store.get("Service", "infra", "web")?.status?.conditions[0]).toMatchObject({ status: "True" });
  });

  test("somebody else's slice of our name is left alone and reported", async () => {
    const store = new ObservedStore(objects(service(), target("p1", "10.0.0.1")));
    const first = await run(store);
    stop.abort();
    await first.done;
    const [slice] = store.list("EndpointSlice");
    if (slice === undefined) throw new Error("no slice");
    await store.delete({ kind: "EndpointSlice", namespace: "infra", name: slice.metadata.name });
    store.put({ ...slice, endpoints: [], metadata: { ...slice.metadata, labels: {} } });
    const controller = await run(store);
    expect(controller.snapshot().problems[0]?.message).toMatch(
      /^EndpointSlice web-.* cannot be written: .*; delete or rename it$/,
    );
    expect(store.list("EndpointSlice")[0]?.endpoints).toEqual([]);
  });
});

test("a store that is down for a while: everything is written in the end", async () => {
  const store = new ObservedStore(objects(gateway("gw"), service(), target("p1", "10.0.0.1")));
  store.failNext = 12;
  const controller = await run(store);
  await expect.poll(() => controller.snapshot().queueDepth).toBe(0);
  expect(endpointsOf(store, "web")).toHaveLength(1);
  expect(addressesOf(store, "gw")).toEqual(["192.0.2.0"]);
});

test("with 100 Services and 1,000 pods a change is one write", async () => {
  const store = new ObservedStore(
    objects(
      gateway("gw"),
      instance("gw", true),
      ...Array.from({ length: 100 }, (_, index) => service(`s${index}`)),
      ...Array.from({ length: 1000 }, (_, index) =>
        target(`p${index}`, `10.0.${index >> 8}.${index & 255}`, `s${index % 100}`),
      ),
    ),
  );
  const controller = await run(store);
  expect(controller.snapshot().slices).toHaveLength(100);
  store.writes = [];
  for (let round = 0; round < 50; round += 1) {
    store.put(object(target("p7", `10.9.0.${round}`, "s7")));
    await controller.settled();
    expect(endpointsOf(store, "s7")[0]?.addresses).toBeDefined();
  }
  expect(store.writes).toHaveLength(50);
});
