import { describe, expect, test, vi } from "vitest";
import { bgpPeerSchema } from "../api/bgp-peer.ts";
import { endpointSliceSchema } from "../api/core.ts";
import { type AnyObject, describeRef, type ObjectRef } from "../api/kinds.ts";
import { refOf } from "./object-index.ts";
import {
  type Interest,
  type ObjectStore,
  type ObjectView,
  StoreConflictError,
  StoreNotFoundError,
} from "./object-store.ts";

/* What every ObjectStore does, whatever it keeps objects in. */

export interface StoreUnderTest {
  readonly store: ObjectStore;
  /** Creates or replaces an object as a user does, with another program than ours. */
  put(object: AnyObject): Promise<void>;
  /** Deletes it as a user does. */
  remove(ref: ObjectRef): Promise<void>;
  close(): Promise<void>;
}

function peer(name: string, labels: Record<string, string> = {}, more: Record<string, unknown> = {}) {
  return bgpPeerSchema.parse({
    apiVersion: "causeway.dev/v1alpha1",
    kind: "BgpPeer",
    metadata: { name, labels },
    spec: { address: "192.0.2.1", asn: 65_000, localAsn: 65_001, ...more },
  });
}

function slice(address: string) {
  return endpointSliceSchema.parse({
    apiVersion: "discovery.k8s.io/v1",
    kind: "EndpointSlice",
    metadata: { name: "web-v4", labels: { app: "web" } },
    addressType: "IPv4",
    endpoints: [{ addresses: [address] }],
  });
}

const PEERS: readonly Interest[] = [{ kind: "BgpPeer" }];
const controller = { fieldManager: "controller" };
const at = "2026-01-01T00:00:00Z";
const condition = (type: string) => ({ type, status: "True", reason: "Because", message: "", lastTransitionTime: at });
const eventually = (check: () => void): Promise<void> => vi.waitFor(check, { timeout: 10_000, interval: 5 });

export function storeContract(name: string, open: () => Promise<StoreUnderTest>): void {
  async function using(work: (it: StoreUnderTest & { readonly signal: AbortSignal }) => Promise<void>): Promise<void> {
    const it = await open();
    const abort = new AbortController();
    try {
      await work({ ...it, put: it.put, remove: it.remove, close: it.close, signal: abort.signal });
    } finally {
      abort.abort();
      await it.close();
    }
  }
  const names = (view: ObjectView): string[] => view.list("BgpPeer").map(({ metadata }) => metadata.name);

  describe(`${name}: what every store does`, () => {
    test("a watch shows what it wants, sorted, and follows changes", () =>
      using(async ({ store, put, remove, signal }) => {
        await put(peer("b"));
        await put(peer("a"));
        const changes: string[] = [];
        const view = await store.watch(PEERS, (ref) => changes.push(describeRef(ref)), signal);
        await eventually(() => expect(names(view)).toEqual(["a", "b"]));
        await put(peer("c"));
        await eventually(() => expect(names(view)).toEqual(["a", "b", "c"]));
        expect(changes).toContain("BgpPeer default/c");
        await remove(refOf(peer("b")));
        await eventually(() => expect(names(view)).toEqual(["a", "c"]));
        expect(changes).toContain("BgpPeer default/b");
        expect(view.get("BgpPeer", "default", "c")?.spec.asn).toBe(65_000);
        expect(view.get("BgpPeer", "default", "b")).toBeUndefined();
      }));

    test("labels and namespaces decide what a watch holds, also when they change", () =>
      using(async ({ store, put, signal }) => {
        await put(peer("a", { tier: "edge" }));
        await put(peer("b"));
        const edge: Interest = { kind: "BgpPeer", matchLabels: { tier: "edge" }, namespace: "default" };
        const view = await store.watch([edge], () => undefined, signal);
        const noCore: Interest = {
          kind: "BgpPeer",
          matchExpressions: [{ key: "tier", operator: "NotIn", values: ["core"] }],
        };
        const others = await store.watch([noCore], () => undefined, signal);
        const elsewhere = await store.watch([{ kind: "BgpPeer", namespace: "other" }], () => undefined, signal);
        await eventually(() => expect([names(view), names(others)]).toEqual([["a"], ["a", "b"]]));
        await put(peer("b", { tier: "edge" }));
        await eventually(() => expect(names(view)).toEqual(["a", "b"]));
        await put(peer("a", { tier: "core" }));
        await eventually(() => expect([names(view), names(others)]).toEqual([["b"], ["b"]]));
        expect(names(elsewhere)).toEqual([]);
      }));

    test("an object that several interests want stays until none does", () =>
      using(async ({ store, put, signal }) => {
        const either: readonly Interest[] = ["x", "y"].map((tier) => ({
          kind: "BgpPeer",
          matchLabels: { [tier]: "1" },
        }));
        await put(peer("a", { x: "1", y: "1" }));
        const view = await store.watch(either, () => undefined, signal);
        await eventually(() => expect(names(view)).toEqual(["a"]));
        await put(peer("a", { y: "1" }));
        await eventually(() => expect(view.get("BgpPeer", "default", "a")?.metadata.labels).toEqual({ y: "1" }));
        await put(peer("a"));
        await eventually(() => expect(names(view)).toEqual([]));
      }));

    test("generation counts changes of the spec, not of labels or status", () =>
      using(async ({ store, put, signal }) => {
        await put(peer("a"));
        const view = await store.watch(PEERS, () => undefined, signal);
        await eventually(() => expect(names(view)).toEqual(["a"]));
        const seen = () => view.get("BgpPeer", "default", "a");
        const { generation, uid } = seen()?.metadata ?? {};
        expect(uid).not.toBe("");
        await put(peer("a", { tier: "edge" }));
        await store.applyStatus(refOf(peer("a")), { conditions: [condition("Accepted")] }, controller);
        await eventually(() => {
          expect(seen()?.status?.conditions).toHaveLength(1);
          expect(seen()?.metadata.labels).toEqual({ tier: "edge" });
        });
        expect(seen()?.metadata).toMatchObject({ generation, uid });
        await put(peer("a", { tier: "edge" }, { port: 1790 }));
        await eventually(() => expect(seen()?.spec.port).toBe(1790));
        expect(seen()?.metadata.generation).not.toBe(generation);
        expect(seen()?.status?.conditions).toHaveLength(1);
      }));

    test("applying the same again changes nothing; a user's object is not overwritten", () =>
      using(async ({ store, put, signal }) => {
        const view = await store.watch([{ kind: "EndpointSlice" }], () => undefined, signal);
        const seen = () => view.get("EndpointSlice", "default", "web-v4");
        await store.apply(slice("192.0.2.1"), controller);
        await eventually(() => expect(seen()?.endpoints[0]?.addresses).toEqual(["192.0.2.1"]));
        const version = seen()?.metadata.resourceVersion;
        await store.apply(slice("192.0.2.1"), controller);
        await store.apply(slice("192.0.2.2"), controller);
        await eventually(() => expect(seen()?.endpoints[0]?.addresses).toEqual(["192.0.2.2"]));
        expect(seen()?.metadata.resourceVersion).not.toBe(version);
        expect(seen()?.metadata.labels).toEqual({ app: "web" });
        await store.delete(refOf(slice("192.0.2.2")));
        await store.delete(refOf(slice("192.0.2.2")));
        await eventually(() => expect(seen()).toBeUndefined());
        await put(slice("192.0.2.3"));
        await eventually(() => expect(seen()).toBeDefined());
        await expect(store.apply(slice("192.0.2.1"), controller)).rejects.toThrow(StoreConflictError);
        expect(seen()?.endpoints[0]?.addresses).toEqual(["192.0.2.3"]);
      }));

    test("every field manager owns its part of a status", () =>
      using(async ({ store, put, signal }) => {
        await put(peer("router"));
        const view = await store.watch(PEERS, () => undefined, signal);
        await eventually(() => expect(names(view)).toEqual(["router"]));
        const ref = refOf(peer("router"));
        const status = () => view.get("BgpPeer", "default", "router")?.status;
        const instance = (manager: string, state: string) =>
          store.applyStatus(ref, { instances: [{ name: manager, state }] }, { fieldManager: `frontend-${manager}` });
        await instance("a", "Established");
        await instance("b", "Idle");
        await store.applyStatus(ref, { conditions: [condition("Accepted")] }, controller);
        await eventually(() => {
          const states = status()?.instances.map((one) => `${one.name} ${one.state}`);
          expect(states).toEqual(["a Established", "b Idle"]);
          expect(status()?.conditions.map(({ type }) => type)).toEqual(["Accepted"]);
        });
        await instance("b", "Established");
        await store.applyStatus(ref, {}, { fieldManager: "frontend-a" });
        await eventually(() => expect(status()?.instances).toMatchObject([{ name: "b", state: "Established" }]));
        expect(status()?.conditions).toHaveLength(1);
      }));

    test("the status of an object that is gone is not found", () =>
      using(async ({ store, put, remove, signal }) => {
        const view = await store.watch(PEERS, () => undefined, signal);
        const write = (): Promise<void> =>
          store.applyStatus(refOf(peer("a")), { conditions: [condition("Accepted")] }, controller);
        await expect(write()).rejects.toThrow(StoreNotFoundError);
        await put(peer("a"));
        await eventually(() => expect(names(view)).toEqual(["a"]));
        await write();
        await remove(refOf(peer("a")));
        await eventually(() => expect(names(view)).toEqual([]));
        await expect(write()).rejects.toThrow(StoreNotFoundError);
      }));

    test("a watch that has ended says nothing more", () =>
      using(async ({ store, put }) => {
        const abort = new AbortController();
        const changes: string[] = [];
        const view = await store.watch(PEERS, (ref) => changes.push(ref.name), abort.signal);
        const { signal } = new AbortController();
        const other = await store.watch(PEERS, () => undefined, signal);
        abort.abort();
        await put(peer("a"));
        await eventually(() => expect(names(other)).toEqual(["a"]));
        expect([names(view), changes]).toEqual([[], []]);
      }));
  });
}
