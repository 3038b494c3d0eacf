import pino from "pino";
import { expect, test } from "vitest";
import type { BgpPeer } from "#shared/api/bgp-peer.ts";
import type { ObjectRef } from "#shared/api/kinds.ts";
import { type Manifest, object } from "#shared/resolve/objects.fixture.ts";
import { MemoryStore } from "#shared/store/memory-store.ts";
import { StoreRefusedError } from "#shared/store/object-store.ts";
import { GoneInstances } from "./gone-instances.ts";
import { peerConditions } from "./peer-status.ts";
import { instance } from "./run-controller.fixture.ts";

const PEER: ObjectRef = { kind: "BgpPeer", namespace: "infra", name: "router" };
const peer: Manifest = {
  kind: "BgpPeer",
  metadata: { name: "router", namespace: "infra" },
  spec: { address: "192.0.2.1", asn: 65_000, localAsn: 65_001 },
};
const check: Manifest = {
  kind: "HealthCheck",
  metadata: { name: "check", namespace: "elsewhere" },
  spec: { targetRefs: [{ name: "web" }] },
};
const domain: Manifest = {
  kind: "DiscoveryDomain",
  metadata: { name: "robots", namespace: "cells" },
  spec: { networks: [{ network: "cell-a", interface: "net1" }] },
};
const DOMAIN: ObjectRef = { kind: "DiscoveryDomain", namespace: "cells", name: "robots" };
const CHECK: ObjectRef = { kind: "HealthCheck", namespace: "elsewhere", name: "check" };

async function world() {
  const clock = { timeMs: 0, nowMs: () => clock.timeMs };
  const store = new MemoryStore([peer, check, domain, instance("gw", true, "gw-here")].map(object));
  const view = await store.watch(
    [{ kind: "BgpPeer" }, { kind: "HealthCheck" }, { kind: "DiscoveryDomain" }, { kind: "Topic" }, { kind: "Pod" }],
    () => undefined,
    new AbortController().signal,
  );
  for (const name of ["gw-here", "gw-gone"]) {
    await store.applyStatus(
      PEER,
      { instances: [{ name, state: "Established" }] },
      { fieldManager: `frontend-${name}` },
    );
    const entry = { name, healthy: 1, unhealthy: 0 };
    await store.applyStatus(CHECK, { instances: [entry] }, { fieldManager: `proxy-${name}` });
  }
  const names = () => [
    store.get("BgpPeer", "infra", "router")?.status?.instances.map(({ name }) => name),
    store.get("HealthCheck", "elsewhere", "check")?.status?.instances.map(({ name }) => name),
  ];
  return { clock, store, names, gone: new GoneInstances(view, store, clock, pino({ level: "silent" })) };
}

test("entries of an instance whose Pod has been away for 30 s are taken out, others stay", async () => {
  const { clock, gone, names } = await world();
  const both = ["gw-gone", "gw-here"];
  expect(await gone.reconcile()).toBe(30_000);
  clock.timeMs = 29_999;
  expect(await gone.reconcile()).toBe(1);
  expect(names()).toEqual([both, both]);
  clock.timeMs = 30_000;
  expect(await gone.reconcile()).toBeUndefined();
  expect(names()).toEqual([["gw-here"], ["gw-here"]]);
});

test("a relay's entry goes with its Pod, and the condition that it has written; one that never had a Pod stays", async () => {
  const { clock, gone, store } = await world();
  store.put(object(instance("gw", true, "relay-here")));
  const condition = {
    type: "EndpointsMatch",
    status: "True" as const,
    reason: "AllMatch",
    message: "",
    lastTransitionTime: "2026-01-01T00:00:00Z",
  };
  for (const [name, place, conditions] of [
    ["relay-gone", { namespace: "infra" }, [condition]],
    ["relay-here", { namespace: "infra" }, []],
    // Of a Pod of the same name elsewhere nothing follows.
    ["gw-here", { namespace: "cells" }, []],
    ["on-a-host", {}, []],
  ] as const) {
    const instances = [{ name, ...place, state: "Listening", participants: 1 }];
    await store.applyStatus(DOMAIN, { instances, conditions }, { fieldManager: `discovery-${name}` });
  }
  const status = () => store.get("DiscoveryDomain", "cells", "robots")?.status;
  await gone.reconcile();
  expect(status()?.instances).toHaveLength(4);
  expect(status()?.conditions).toHaveLength(1);
  clock.timeMs = 30_000;
  await gone.reconcile();
  expect(status()?.instances.map(({ name }) => name)).toEqual(["on-a-host", "relay-here"]);
  expect(status()?.conditions).toEqual([]);
});

test("a Pod that is seen in time keeps its entries, and its time begins anew", async () => {
  const { clock, gone, names, store } = await world();
  await gone.reconcile();
  store.put(object(instance("gw", true, "gw-gone")));
  clock.timeMs = 60_000;
  expect(await gone.reconcile()).toBeUndefined();
  store.remove({ kind: "Pod", namespace: "infra", name: "gw-gone" });
  expect(await gone.reconcile()).toBe(30_000);
  expect(names()[0]).toHaveLength(2);
});

test("what concerns it: the statuses, and of Pods those that have an entry", async () => {
  const { gone } = await world();
  const pod = (name: string): ObjectRef => ({ kind: "Pod", namespace: "infra", name });
  expect([PEER, CHECK, DOMAIN, pod("gw-here"), pod("gw-gone")].map((ref) => gone.concerns(ref))).toEqual(
    Array(5).fill(true),
  );
  expect(gone.concerns(pod("web-1"))).toBe(false);
  expect(gone.concerns({ kind: "Service", namespace: "infra", name: "gw-here" })).toBe(false);
});

test("an object that cannot be written keeps no other's entry", async () => {
  const { clock, gone, names, store } = await world();
  await gone.reconcile();
  clock.timeMs = 30_000;
  const applyStatus = store.applyStatus.bind(store);
  store.applyStatus = async (ref, ...rest) => {
    if (ref.kind === "BgpPeer") throw new StoreRefusedError("BgpPeer infra/router: a webhook says no");
    await applyStatus(ref, ...rest);
  };
  await expect(gone.reconcile()).rejects.toThrow("entries that could not be taken out: 1");
  expect(names()).toEqual([["gw-gone", "gw-here"], ["gw-here"]]);
  store.applyStatus = applyStatus;
  await gone.reconcile();
  expect(names()).toEqual([["gw-here"], ["gw-here"]]);
});

const status = (...instances: NonNullable<BgpPeer["status"]>["instances"]) => {
  const parsed = object({ ...peer, status: { instances } });
  if (parsed.kind !== "BgpPeer") throw new TypeError("not a BgpPeer");
  return peerConditions(parsed).map(
    ({ type, status: state, reason, message }) => `${type} ${state} ${reason}: ${message}`,
  );
};

test.each([
  [[], ["Accepted True Accepted", "Established Unknown NoInstances"]],
  [
    [
      { name: "b", state: "Established" },
      { name: "a", state: "Static" },
    ],
    ["Accepted True Accepted", "Established True Established: 2 of 2"],
  ],
  [
    [
      { name: "b", state: "Connecting", message: "connecting to 192.0.2.1" },
      { name: "a", state: "Established" },
    ],
    ["Accepted True Accepted", "Established False SessionsDown: 1 of 2 instances use it; b: Connecting"],
  ],
  [
    [{ name: "a", state: "Refused", message: "no Secret" }],
    ["Accepted False Refused: a: no Secret", "Established False SessionsDown: 0 of 1 instances use it; a: Refused"],
  ],
])("a router's conditions: %j", (instances, wanted) => {
  expect(status(...instances).map((text, at) => text.startsWith(wanted[at] ?? "-"))).toEqual([true, true]);
});

test("a pod's entry in a Topic goes with the Pod of the Topic's namespace", async () => {
  const { clock, gone, store } = await world();
  const topic: Manifest = {
    kind: "Topic",
    metadata: { name: "readings", namespace: "cells" },
    spec: { topic: "Reading", type: "T", types: { file: "/t.xml" }, service: { name: "topics", port: 7500 } },
  };
  store.put(object(topic));
  const ref: ObjectRef = { kind: "Topic", namespace: "cells", name: "readings" };
  store.put(object({ kind: "Pod", metadata: { name: "here", namespace: "cells" } }));
  store.put(object({ kind: "Pod", metadata: { name: "gone", namespace: "elsewhere" } }));
  for (const name of ["here", "gone"]) {
    await store.applyStatus(ref, { instances: [{ name, state: "Serving" }] }, { fieldManager: `topics-${name}` });
  }
  await gone.reconcile();
  clock.timeMs = 30_000;
  await gone.reconcile();
  expect(store.get("Topic", "cells", "readings")?.status?.instances.map(({ name }) => name)).toEqual(["here"]);
});
