import { readFileSync } from "node:fs";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { parse } from "yaml";
import { z } from "zod";
import { endpointSliceSchema } from "#shared/api/core.ts";
import { Cluster, HAS_GATEWAY_API, IS_REAL, type Manifest, WITHOUT_GATEWAY_API } from "./support/cluster.ts";
import { eventually, type Followed, follow, sees } from "./support/followed.ts";

const metadataSchema = z.looseObject({ metadata: z.looseObject({ resourceVersion: z.string() }) });

let cluster: Cluster;
let followed: Followed | undefined;
beforeEach(async () => {
  cluster = await Cluster.start();
});
afterEach(async () => {
  followed?.close();
  await cluster.close();
});

const pool = (name: string, ...addresses: string[]): Manifest => ({
  apiVersion: "causeway.dev/v1alpha1",
  kind: "AddressPool",
  metadata: { name },
  spec: { addresses },
});
const condition = (type: string) => ({
  type,
  status: "True",
  reason: "R",
  message: "",
  lastTransitionTime: "2026-01-01T00:00:00Z",
});

describe("objects", () => {
  test("one that its schema refuses is reported, stays as it was, and harms no other", async () => {
    await cluster.apply(pool("a", "192.0.2.0/24"));
    followed = await follow(cluster.config(cluster.user("controller")), [{ kind: "AddressPool" }]);
    const { store, view, warnings } = followed;
    const addresses = (name: string) => view.get("AddressPool", "", name)?.spec.addresses.map(({ text }) => text);
    // The API server lets ranges that overlap pass.
    await cluster.apply(pool("a", "192.0.2.0/24", "192.0.2.1-192.0.2.9"));
    await cluster.apply(pool("broken", "192.0.2.9-192.0.2.1"));
    await cluster.apply(pool("c", "198.51.100.0/24"));
    await sees(followed, "AddressPool", ["a", "c"]);
    await eventually(() => expect(store.refusals.list()).toHaveLength(2));
    expect(addresses("a")).toEqual(["192.0.2.0/24"]);
    expect(store.refusals.list().find(({ ref }) => ref.name === "a")).toMatchObject({
      generation: 2,
      message: expect.stringContaining("spec.addresses[1]: 192.0.2.1-192.0.2.9 overlaps 192.0.2.0/24"),
    });
    expect(warnings.join("")).toContain("AddressPool broken: spec.addresses[0]");
    await cluster.apply(pool("a", "203.0.113.0/24"));
    await cluster.delete(pool("broken"));
    await eventually(() => expect([addresses("a"), store.refusals.list()]).toEqual([["203.0.113.0/24"], []]));
  });

  test("pods are kept without what nobody reads; only those of a node, or with a label", async () => {
    const pod = (name: string, nodeName: string, labels: Record<string, string>): Manifest => ({
      apiVersion: "v1",
      kind: "Pod",
      metadata: { name, labels, annotations: { "example.com/x": "y", "k8s.v1.cni.cncf.io/network-status": "[]" } },
      spec: {
        nodeName,
        containers: [{ name: "c", image: "i", env: [{ name: "A", value: "B" }], ports: [{ containerPort: 80 }] }],
      },
    });
    await cluster.apply(pod("a", "n1", {}));
    await cluster.apply(pod("b", "n2", {}));
    await cluster.apply(pod("c", "n2", { gateway: "gw" }));
    followed = await follow(cluster.config(cluster.user("node")), [
      { kind: "Pod", nodeName: "n1" },
      { kind: "Pod", matchExpressions: [{ key: "gateway", operator: "Exists", values: [] }] },
    ]);
    await sees(followed, "Pod", ["a", "c"]);
    const kept = followed.view.get("Pod", "default", "a");
    expect(kept?.spec).toEqual({
      nodeName: "n1",
      containers: [{ name: "c", ports: [{ containerPort: 80, protocol: "TCP" }] }],
    });
    expect(kept?.metadata.annotations).toEqual({ "k8s.v1.cni.cncf.io/network-status": "[]" });
    expect(kept?.metadata).not.toHaveProperty("managedFields");
  });

  test.skipIf(IS_REAL)("what stands in the place of an object that was seen is another: it is left", async () => {
    const slice = (port: number) =>
      endpointSliceSchema.parse({
        apiVersion: "discovery.k8s.io/v1",
        kind: "EndpointSlice",
        metadata: { name: "web-v4", namespace: "default" },
        addressType: "IPv4",
        endpoints: [],
        ports: [{ name: "http", protocol: "TCP", port }],
      });
    const options = { fieldManager: "controller" };
    const seen = { kind: "EndpointSlice", namespace: "default", name: "web-v4" } as const;
    followed = await follow(cluster.config(cluster.user("controller")), [{ kind: "EndpointSlice" }]);
    const { store, view } = followed;
    await store.apply(slice(80), options);
    await sees(followed, "EndpointSlice", ["web-v4"]);
    // From now on it sees nothing of what happens.
    cluster.double.faults.add({ user: "controller", verb: "watch" }, { type: "swallow" });
    cluster.double.endWatches();
    const theirs: Manifest = { ...slice(81), metadata: { name: "web-v4" } };
    await cluster.delete(theirs);
    await cluster.apply(theirs);
    const resourceVersion = async () => metadataSchema.parse(await cluster.get(theirs)).metadata.resourceVersion;
    const before = await resourceVersion();
    await expect(store.apply(slice(82), options)).rejects.toMatchObject({ name: "StoreNotFoundError" });
    await store.delete(seen);
    expect(await resourceVersion()).toBe(before);
    expect(view.get("EndpointSlice", "default", "web-v4")?.ports[0]?.port).toBe(80);
  });

  test("a kind that the cluster does not know is waited for", async () => {
    const name = "addresspools.causeway.dev";
    const definition = { apiVersion: "apiextensions.k8s.io/v1", kind: "CustomResourceDefinition", metadata: { name } };
    await cluster.delete(definition);
    followed = await follow(
      cluster.config(cluster.user("controller")),
      [{ kind: "AddressPool" }, { kind: "BgpPeer" }],
      {
        servedFreshMs: 10,
      },
    );
    expect(followed.names("AddressPool")).toEqual([]);
    expect(followed.warnings.join("")).toContain("does not know this kind");
    await cluster.applyText(readFileSync(join(import.meta.dirname, "../../deploy/crds/addresspools.yaml"), "utf8"));
    await cluster.apply(pool("a", "192.0.2.0/24"));
    await sees(followed, "AddressPool", ["a"]);
  });
});

describe.skipIf(!HAS_GATEWAY_API)(`routes${WITHOUT_GATEWAY_API}`, () => {
  const { GATEWAY_API_CRDS = "" } = process.env;
  const route = (version: string): Manifest => ({
    apiVersion: `gateway.networking.k8s.io/${version}`,
    kind: "TCPRoute",
    metadata: { name: "r" },
    spec: { parentRefs: [{ name: "gw" }], rules: [{ name: "rule", backendRefs: [{ name: "web", port: 80 }] }] },
  });
  const ref = { kind: "TCPRoute", namespace: "default", name: "r" } as const;
  const parent = (controllerName: string, type: string) => ({
    parentRef: { group: "gateway.networking.k8s.io", kind: "Gateway", name: "gw" },
    controllerName,
    conditions: [condition(type)],
  });
  const ours = (type: string) => ({ parents: [parent("causeway.dev/gateway-controller", type)] });
  const conditions = () =>
    followed?.view
      .get("TCPRoute", "default", "r")
      ?.status?.parents.map((one) => `${one.controllerName} ${one.conditions[0]?.type}`);

  test("other controllers' parents stay, also when they write at the same time", async () => {
    const manifest = route("v1");
    await cluster.apply(manifest);
    followed = await follow(cluster.config(cluster.user("controller")), [{ kind: "TCPRoute" }]);
    const { store } = followed;
    await cluster.patch(manifest, { status: { parents: [parent("example.com/other", "Theirs")] } }, "status");
    await Promise.all(
      ["A", "B", "C"].map((type, at) => store.applyStatus(ref, ours(type), { fieldManager: `controller-${at}` })),
    );
    await store.applyStatus(ref, ours("Accepted"), { fieldManager: "controller" });
    await eventually(() =>
      expect(conditions()).toEqual(["example.com/other Theirs", "causeway.dev/gateway-controller Accepted"]),
    );
    await store.applyStatus(ref, { parents: [] }, { fieldManager: "controller" });
    await eventually(() => expect(conditions()).toEqual(["example.com/other Theirs"]));
  });

  test.skipIf(IS_REAL)("what another controller writes while ours is on its way stays", async () => {
    const manifest = route("v1");
    await cluster.apply(manifest);
    followed = await follow(cluster.config(cluster.user("controller")), [{ kind: "TCPRoute" }], { requestMs: 20_000 });
    const { access, faults } = cluster.double;
    faults.add({ user: "controller", verb: "patch" }, { type: "delay", ms: 1_000 }, 1);
    const written = followed.store.applyStatus(ref, ours("Accepted"), { fieldManager: "controller" });
    await eventually(() =>
      expect(access.uses()).toContainEqual(expect.objectContaining({ verb: "patch", user: "controller" })),
    );
    await cluster.patch(manifest, { status: { parents: [parent("example.com/late", "Theirs")] } }, "status");
    await written;
    await eventually(() =>
      expect(conditions()).toEqual(["example.com/late Theirs", "causeway.dev/gateway-controller Accepted"]),
    );
  });

  test("v1alpha2 is used where only that is served", async () => {
    const text = readFileSync(join(GATEWAY_API_CRDS, "tcproutes.yaml"), "utf8");
    const definition: Manifest = parse(text);
    await cluster.delete(definition);
    const older = text
      .replace(/(\n {4}name: v1\n[\s\S]*?\n {4}served: )true(\n {4}storage: )true/, "$1false$2false")
      .replace(/(\n {4}name: v1alpha2\n[\s\S]*?\n {4}served: )false(\n {4}storage: )false/, "$1true$2true");
    await cluster.applyText(older);
    await cluster.apply(route("v1alpha2"));
    followed = await follow(cluster.config(cluster.user("controller")), [{ kind: "TCPRoute" }]);
    await sees(followed, "TCPRoute", ["r"]);
    expect(followed.view.get("TCPRoute", "default", "r")?.apiVersion).toBe("gateway.networking.k8s.io/v1alpha2");
    await followed.store.applyStatus(ref, ours("Accepted"), { fieldManager: "controller" });
    await eventually(() => expect(conditions()).toEqual(["causeway.dev/gateway-controller Accepted"]));
  });
});
