import { expect, test } from "vitest";
import { bgpPeerSchema } from "../api/bgp-peer.ts";
import { endpointSliceSchema } from "../api/core.ts";
import { gatewaySchema } from "../api/gateway.ts";
import { describeRef } from "../api/kinds.ts";
import { MemoryStore } from "./memory-store.ts";
import { refOf } from "./object-index.ts";
import { StoreConflictError, StoreNotFoundError } from "./object-store.ts";

function gateway(name: string, labels: Record<string, string> = {}) {
  return gatewaySchema.parse({
    apiVersion: "gateway.networking.k8s.io/v1",
    kind: "Gateway",
    metadata: { name, labels },
    spec: { gatewayClassName: "causeway", listeners: [{ name: "web", protocol: "TCP", port: 80 }] },
  });
}

function slice(address: string) {
  return endpointSliceSchema.parse({
    apiVersion: "discovery.k8s.io/v1",
    kind: "EndpointSlice",
    metadata: { name: "web-v4" },
    addressType: "IPv4",
    endpoints: [{ addresses: [address] }],
  });
}

const condition = (type: string, status: "True" | "False") => ({ type, status, reason: "Because", message: "" });
const controller = { fieldManager: "controller" };

test("a watch shows what it wants, sorted, and follows changes", async () => {
  const store = new MemoryStore([gateway("b"), gateway("a", { tier: "edge" })]);
  const changes: string[] = [];
  const { signal } = new AbortController();
  const opening = store.watch([{ kind: "Gateway" }], (ref) => changes.push(describeRef(ref)), signal);
  store.put(gateway("0"));
  const view = await opening;
  expect(view.list("Gateway").map((object) => object.metadata.name)).toEqual(["0", "a", "b"]);
  expect(changes).toEqual([]);

  store.put(gateway("c"));
  store.remove(refOf(gateway("b")));
  expect(changes).toEqual(["Gateway default/c", "Gateway default/b"]);
  expect(view.list("Gateway").map((object) => object.metadata.name)).toEqual(["0", "a", "c"]);
});

test("labels decide what a watch holds, also when they change", async () => {
  const store = new MemoryStore([gateway("a", { tier: "edge" }), gateway("b")]);
  const changes: string[] = [];
  const abort = new AbortController();
  const interest = { kind: "Gateway", matchLabels: { tier: "edge" } } as const;
  const view = await store.watch([interest], (ref) => changes.push(ref.name), abort.signal);
  store.put(gateway("b", { tier: "core" }));
  expect(changes).toEqual([]);
  store.put(gateway("b", { tier: "edge" }));
  store.put(gateway("a"));
  expect(changes).toEqual(["b", "a"]);
  expect(view.list("Gateway").map((object) => object.metadata.name)).toEqual(["b"]);
  abort.abort();
  store.put(gateway("b"));
  expect(changes).toEqual(["b", "a"]);
});

test("generation counts changes of the spec, resourceVersion every change", async () => {
  const store = new MemoryStore([gateway("a")]);
  const first = store.get("Gateway", "default", "a");
  store.put(gateway("a", { tier: "edge" }));
  const second = store.get("Gateway", "default", "a");
  expect(second?.metadata.generation).toBe(1);
  expect(second?.metadata.uid).toBe(first?.metadata.uid);
  expect(second?.metadata.resourceVersion).not.toBe(first?.metadata.resourceVersion);
  const changed = gateway("a");
  store.put({ ...changed, spec: { ...changed.spec, gatewayClassName: "other" } });
  expect(store.get("Gateway", "default", "a")?.metadata.generation).toBe(2);
});

test("applying the same again changes nothing; a user's object is not overwritten", async () => {
  const store = new MemoryStore();
  await store.apply(slice("192.0.2.1"), controller);
  const version = store.get("EndpointSlice", "default", "web-v4")?.metadata.resourceVersion;
  await store.apply(slice("192.0.2.1"), controller);
  expect(store.get("EndpointSlice", "default", "web-v4")?.metadata.resourceVersion).toBe(version);
  await store.apply(slice("192.0.2.2"), controller);
  expect(store.get("EndpointSlice", "default", "web-v4")?.endpoints[0]?.addresses).toEqual(["192.0.2.2"]);
  await store.delete(refOf(slice("192.0.2.2")));
  await store.delete(refOf(slice("192.0.2.2")));
  expect(store.list("EndpointSlice")).toEqual([]);

  store.put(slice("192.0.2.3"));
  await expect(store.apply(slice("192.0.2.1"), controller)).rejects.toThrow(StoreConflictError);
});

test("every field manager owns its part of a status", async () => {
  const peer = bgpPeerSchema.parse({
    apiVersion: "causeway.dev/v1alpha1",
    kind: "BgpPeer",
    metadata: { name: "router" },
    spec: { address: "192.0.2.1", asn: 65000, localAsn: 65001 },
  });
  const store = new MemoryStore([peer]);
  const ref = refOf(peer);
  const status = () => store.get("BgpPeer", "default", "router")?.status;
  await store.applyStatus(ref, { instances: [{ name: "a", state: "Established" }] }, { fieldManager: "frontend-a" });
  await store.applyStatus(ref, { instances: [{ name: "b", state: "Idle" }] }, { fieldManager: "frontend-b" });
  await store.applyStatus(ref, { conditions: [condition("Accepted", "True")] }, controller);
  expect(status()?.instances.map(({ name, state }) => `${name} ${state}`)).toEqual(["a Established", "b Idle"]);
  expect(status()?.conditions.map(({ type }) => type)).toEqual(["Accepted"]);

  await store.applyStatus(ref, {}, { fieldManager: "frontend-a" });
  expect(status()?.instances.map(({ name }) => name)).toEqual(["b"]);
  await expect(store.applyStatus({ ...ref, name: "gone" }, {}, controller)).rejects.toThrow(StoreNotFoundError);
});
