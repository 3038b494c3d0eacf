import { globSync } from "node:fs";
import { fileURLToPath } from "node:url";
import pino from "pino";
import { afterAll, expect, test } from "vitest";
import type { ObjectRef } from "#shared/api/kinds.ts";
import { admitted, type OpenApiSchema, schemasOfFile } from "#shared/api/structural-schema.fixture.ts";
import { type Manifest, object } from "#shared/resolve/objects.fixture.ts";
import { MemoryStore } from "#shared/store/memory-store.ts";
import type { StatusOf, WriteOptions } from "#shared/store/object-store.ts";
import { BASE, gateway, instance, route, service, target } from "./run-controller.fixture.ts";
import { runController } from "./run-controller.ts";

/*
 * The statuses that the controller writes are ones that an API server takes whole: nothing refused, nothing pruned.
 */

const ROOT = fileURLToPath(new URL("..", import.meta.url));
/** A folder with the Gateway API's CustomResourceDefinitions. */
const { GATEWAY_API_CRDS } = process.env;

const schemasIn = (folder: string): Map<string, OpenApiSchema> =>
  new Map(
    globSync(`${folder}/*.yaml`)
      .filter((path) => !path.endsWith("kustomization.yaml"))
      .flatMap(schemasOfFile),
  );

interface Written {
  readonly ref: ObjectRef;
  readonly status: StatusOf;
}

class RecordingStore extends MemoryStore {
  readonly written: Written[] = [];

  override async applyStatus(ref: ObjectRef, status: StatusOf, options: WriteOptions): Promise<void> {
    this.written.push({ ref, status });
    return super.applyStatus(ref, status, options);
  }
}

const stop = new AbortController();
afterAll(() => stop.abort());

const flowRoute = (name: string, spec: Record<string, unknown> = {}): Manifest => ({
  kind: "FlowRoute",
  metadata: { name, namespace: "infra" },
  spec: { parentRefs: [{ name: "gw" }], backendRefs: [{ name: "web", port: 80 }], ...spec },
});

/** What goes well and what does not: each condition that the controller knows, in both states where it has two. */
const MANIFESTS: readonly Manifest[] = [
  ...BASE,
  {
    kind: "GatewayClass",
    metadata: { name: "without-parameters" },
    spec: {
      controllerName: "causeway.dev/gateway-controller",
      parametersRef: { group: "causeway.dev", kind: "GatewayParameters", name: "none", namespace: "infra" },
    },
  },
  { kind: "GatewayParameters", metadata: { name: "unused", namespace: "infra" }, spec: BASE[1]?.spec },
  { kind: "AddressPool", metadata: { name: "too-late" }, spec: { addresses: ["192.0.2.0/30"] } },
  {
    kind: "AddressPool",
    metadata: { name: "wide" },
    spec: { addresses: ["2001:db8::/64", "198.51.100.1-198.51.100.1"] },
  },
  gateway("gw", {
    listeners: [
      { name: "a", protocol: "TCP", port: 80 },
      { name: "b", protocol: "UDP", port: 80, allowedRoutes: { kinds: [{ kind: "HTTPRoute" }] } },
      { name: "c", protocol: "HTTP", port: 81 },
      { name: "d", protocol: "TCP", port: 82 },
      { name: "e", protocol: "TCP", port: 82 },
      { name: "f", protocol: "causeway.dev/Flow", port: 1 },
    ],
  }),
  gateway("hostname", { addresses: [{ type: "Hostname", value: "www.example.com" }] }),
  gateway("elsewhere", { addresses: [{ value: "203.0.113.1" }, { type: "causeway.dev/AddressPool", value: "none" }] }),
  gateway("both", { addresses: [{ value: "198.51.100.1" }, { type: "causeway.dev/AddressPool", value: "wide" }] }),
  gateway("unknown-parameters", {
    infrastructure: { parametersRef: { group: "causeway.dev", kind: "GatewayParameters", name: "none" } },
  }),
  {
    kind: "BgpPeer",
    metadata: { name: "router", namespace: "infra" },
    spec: { address: "192.0.2.1", asn: 65_000, localAsn: 65_001 },
    status: { instances: [{ name: "gw-1", state: "Refused", message: "no Secret" }] },
  },
  instance("gw", true),
  service(),
  service("broken", "not a network!"),
  {
    kind: "HealthCheck",
    metadata: { name: "checked", namespace: "infra" },
    spec: { targetRefs: [{ name: "web" }] },
  },
  {
    kind: "HealthCheck",
    metadata: { name: "too-many", namespace: "infra" },
    spec: { targetRefs: [{ name: "web" }, { name: "none" }] },
  },
  target("target", "10.0.0.1"),
  target("unreadable", "", "web", "{"),
  route("older", "2026-01-01T00:00:00Z"),
  route("newer", "2026-01-02T00:00:00Z"),
  {
    kind: "TCPRoute",
    metadata: { name: "lost", namespace: "infra" },
    spec: {
      parentRefs: [
        { name: "gw", sectionName: "none" },
        { name: "gw", port: 82, sectionName: "d" },
        { name: "none", namespace: "other" },
      ],
      rules: [
        {
          backendRefs: [
            { name: "none", port: 80 },
            { name: "web", namespace: "other", port: 80 },
            { name: "web", kind: "Other" },
          ],
        },
      ],
    },
  },
  {
    kind: "UDPRoute",
    metadata: { name: "refused", namespace: "other" },
    spec: {
      parentRefs: [{ name: "gw", namespace: "infra" }],
      rules: [{ backendRefs: [{ name: "web", namespace: "infra", port: 80 }] }],
    },
  },
  {
    kind: "ReferenceGrant",
    metadata: { name: "grant", namespace: "infra" },
    spec: {
      from: [{ group: "gateway.networking.k8s.io", kind: "UDPRoute", namespace: "other" }],
      to: [{ group: "", kind: "Service" }],
    },
  },
  flowRoute("flows"),
  flowRoute("flows-lost", { parentRefs: [{ name: "gw", sectionName: "a" }], backendRefs: [{ name: "none" }] }),
];

async function writtenStatuses(): Promise<readonly Written[]> {
  const store = new RecordingStore(MANIFESTS.map(object));
  const controller = await runController({
    store,
    log: pino({ level: "silent" }),
    clock: { nowMs: () => Date.parse("2026-01-01T00:00:00Z") },
    signal: stop.signal,
    random: () => 0,
  });
  await controller.settled();
  return store.written;
}

/** Of each written status that a schema speaks of: its kind, and what an API server does not take of it. */
function judged(written: readonly Written[], schemas: ReadonlyMap<string, OpenApiSchema>, version: string) {
  return written.flatMap(({ ref, status }) => {
    const schema = schemas.get(`${version} ${ref.kind}`)?.properties?.status;
    if (schema === undefined) return [];
    const { object: stored, faults, broken } = admitted(schema, status);
    return [{ kind: ref.kind, name: ref.name, said: [...faults, ...broken], status, stored }];
  });
}

test("our own kinds' statuses are taken whole", async () => {
  const found = judged(await writtenStatuses(), schemasIn(`${ROOT}/deploy/crds`), "causeway.dev/v1alpha1");
  expect(new Set(found.map(({ kind }) => kind))).toEqual(
    new Set(["AddressPool", "BgpPeer", "GatewayParameters", "FlowRoute", "HealthCheck"]),
  );
  for (const { kind, name, said, status, stored } of found) {
    expect(said, `${kind} ${name}`).toEqual([]);
    expect(stored, `${kind} ${name}`).toEqual(status);
  }
});

test.skipIf(GATEWAY_API_CRDS === undefined)(
  "the Gateway API's statuses are taken whole (skipped when GATEWAY_API_CRDS names no folder)",
  async () => {
    const schemas = schemasIn(GATEWAY_API_CRDS ?? "");
    const found = judged(await writtenStatuses(), schemas, "gateway.networking.k8s.io/v1");
    expect(new Set(found.map(({ kind }) => kind))).toEqual(
      new Set(["GatewayClass", "Gateway", "TCPRoute", "UDPRoute"]),
    );
    for (const { kind, name, said, status, stored } of found) {
      expect(said, `${kind} ${name}`).toEqual([]);
      expect(stored, `${kind} ${name}`).toEqual(status);
    }
  },
);
