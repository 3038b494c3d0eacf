import { globSync, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { z } from "zod";
import { Cluster, HAS_GATEWAY_API, IS_REAL, type Manifest, WITHOUT_GATEWAY_API } from "./support/cluster.ts";
import { type ControllerUnderTest, runningStatus, startController, targetPod } from "./support/controller.ts";
import { eventually } from "./support/followed.ts";
import { Relay } from "./support/relay.ts";

/* The controller, unchanged, on the Kubernetes API: examples/lab/minimal and pods. */

const EXAMPLE = fileURLToPath(new URL("../../examples/lab/minimal/manifests/*.yaml", import.meta.url));
const OWN = "causeway.dev/v1alpha1";
const TIME = "2026-01-01T00:00:00Z";
const SLICES = "/apis/discovery.k8s.io/v1/namespaces/default/endpointslices";

const statusSchema = z.looseObject({
  metadata: z.looseObject({ resourceVersion: z.string() }),
  status: z
    .looseObject({
      addresses: z.array(z.looseObject({ value: z.string() })).optional(),
      conditions: z.array(z.looseObject({ type: z.string(), status: z.string(), reason: z.string() })).optional(),
      parents: z
        .array(
          z.looseObject({
            conditions: z.array(z.looseObject({ type: z.string(), status: z.string(), reason: z.string() })),
          }),
        )
        .optional(),
    })
    .optional(),
});
const slicesSchema = z.looseObject({
  items: z.array(
    z.looseObject({
      metadata: z.looseObject({
        name: z.string(),
        resourceVersion: z.string(),
        managedFields: z.array(z.looseObject({ manager: z.string(), operation: z.string() })),
      }),
      endpoints: z.array(z.looseObject({ addresses: z.array(z.string()) })).nullable(),
    }),
  ),
});

const named = (kind: string, name: string, apiVersion = "gateway.networking.k8s.io/v1"): Manifest => ({
  apiVersion,
  kind,
  metadata: { name },
});
const gateway = named("Gateway", "edge");

let cluster: Cluster;
let relay: Relay | undefined;
let running: ControllerUnderTest | undefined;
beforeEach(async () => {
  if (!HAS_GATEWAY_API) return;
  cluster = await Cluster.start();
  for (const file of globSync(EXAMPLE).sort()) await cluster.applyText(readFileSync(file, "utf8"));
});
afterEach(async () => {
  if (!HAS_GATEWAY_API) return;
  await running?.stop();
  await relay?.close();
  running = undefined;
  relay = undefined;
  await cluster.close();
});

const statusOf = async (manifest: Manifest) => statusSchema.parse(await cluster.get(manifest)).status ?? {};
const vips = async (name = "edge"): Promise<string[]> =>
  ((await statusOf(named("Gateway", name))).addresses ?? []).map(({ value }) => value);
async function ready(name: string, address: string, app?: string): Promise<void> {
  const pod = targetPod(name, address, app);
  await cluster.apply(pod);
  await cluster.patch(pod, runningStatus(), "status");
}
async function slices() {
  return slicesSchema.parse(await cluster.raw("GET", SLICES)).items;
}
const eventsSchema = z.looseObject({
  items: z.array(
    z.looseObject({
      type: z.string(),
      reason: z.string(),
      regarding: z.looseObject({ kind: z.string(), name: z.string(), uid: z.string() }),
    }),
  ),
});
const events = async (): Promise<string[]> =>
  eventsSchema
    .parse(await cluster.raw("GET", "/apis/events.k8s.io/v1/namespaces/default/events"))
    .items.map(({ type, reason, regarding }) => `${type} ${reason} ${regarding.kind} ${regarding.name}`)
    .sort();
const endpoints = async (): Promise<string[]> =>
  (await slices()).flatMap(({ endpoints: listed }) => (listed ?? []).flatMap(({ addresses }) => addresses)).sort();
const settled = (check: () => Promise<unknown>, wanted: unknown): Promise<void> =>
  expect.poll(check, { timeout: 20_000, interval: 20 }).toEqual(wanted);
/** Everything that the controller writes, with its version. */
async function written(): Promise<unknown> {
  const all = [
    gateway,
    named("GatewayClass", "causeway"),
    named("TCPRoute", "echo"),
    named("UDPRoute", "echo"),
    named("AddressPool", "public", "causeway.dev/v1alpha1"),
    named("GatewayParameters", "edge", "causeway.dev/v1alpha1"),
    named("Service", "echo", "v1"),
  ];
  const objects = await Promise.all(
    all.map(async (one) => statusSchema.parse(await cluster.get(one)).metadata.resourceVersion),
  );
  return [objects, (await slices()).map(({ metadata }) => [metadata.name, metadata.resourceVersion])];
}

describe.skipIf(!HAS_GATEWAY_API)(`the controller on the Kubernetes API${WITHOUT_GATEWAY_API}`, () => {
  test("a Gateway gets its VIP, slices and statuses are applied by our field manager", async () => {
    await ready("echo-1", "10.1.0.11");
    running = await startController(cluster);
    await settled(() => vips(), ["198.51.100.1"]);
    await settled(endpoints, ["10.1.0.11"]);
    await ready("echo-2", "10.1.0.12");
    await settled(endpoints, ["10.1.0.11", "10.1.0.12"]);
    for (const { metadata } of await slices()) {
      expect(metadata.managedFields.map(({ manager, operation }) => `${manager} ${operation}`)).toEqual([
        "causeway-controller Apply",
      ]);
    }
    const conditions = async (manifest: Manifest) =>
      ((await statusOf(manifest)).conditions ?? []).map(({ type, status }) => `${type} ${status}`);
    await settled(() => conditions(named("GatewayClass", "causeway")), ["Accepted True"]);
    await settled(async () => (await conditions(gateway)).includes("Accepted True"), true);
    await settled(() => conditions(named("Service", "echo", "v1")), ["causeway.dev/TargetsResolved True"]);
    for (const kind of ["TCPRoute", "UDPRoute"]) {
      const said = async () =>
        (await statusOf(named(kind, "echo"))).parents?.[0]?.conditions.map(({ type, status }) => `${type} ${status}`);
      await settled(said, ["Accepted True", "ResolvedRefs True"]);
    }
    await cluster.delete(targetPod("echo-1", "10.1.0.11"));
    await settled(endpoints, ["10.1.0.12"]);
    expect(running.warnings).toEqual([]);
    if (IS_REAL) return;
    const others = async (): Promise<readonly string[]> => {
      const uses = cluster.double.access.uses().filter(({ user }) => user === "controller");
      const writes = uses.filter(({ verb }) => verb !== "list" && verb !== "watch");
      return [...new Set(writes.map(({ verb, resource }) => `${verb} ${resource}`))].sort();
    };
    // As docs/kubernetes.md says.
    await settled(others, [
      "create endpointslices",
      "create events",
      "get endpointslices",
      "get tcproutes",
      "get udproutes",
      "patch addresspools/status",
      "patch bgppeers/status",
      "patch endpointslices",
      "patch gatewayclasses/status",
      "patch gatewayparameters/status",
      "patch gateways/status",
      "patch services/status",
      "patch tcproutes/status",
      "patch udproutes/status",
    ]);
  });

  test("a controller that starts anew keeps every VIP", async () => {
    const another = (name: string): Manifest => ({
      ...gateway,
      metadata: { name },
      spec: {
        gatewayClassName: "causeway",
        infrastructure: { parametersRef: { group: "causeway.dev", kind: "GatewayParameters", name: "edge" } },
        listeners: [{ name: "web", protocol: "TCP", port: 80 }],
      },
    });
    running = await startController(cluster);
    await settled(() => vips(), ["198.51.100.1"]);
    await cluster.apply(another("second"));
    await settled(() => vips("second"), ["198.51.100.2"]);
    await running.stop();
    // The second would move into the gap, and the third take its place, if VIPs were given out anew.
    await cluster.delete(gateway);
    await cluster.apply(another("a-third"));
    running = await startController(cluster);
    await settled(() => vips("a-third"), ["198.51.100.1"]);
    expect(await vips("second")).toEqual(["198.51.100.2"]);
  });

  test("nothing is written when nothing changes, nor by a controller that starts anew", async () => {
    await ready("echo-1", "10.1.0.11");
    running = await startController(cluster);
    await settled(endpoints, ["10.1.0.11"]);
    await settled(() => vips(), ["198.51.100.1"]);
    await running.controller.settled();
    const before = await written();
    await running.stop();
    running = await startController(cluster);
    await running.controller.settled();
    expect(await written()).toEqual(before);
    // Something that concerns nobody.
    await cluster.apply({ apiVersion: "v1", kind: "Namespace", metadata: { name: "elsewhere" } });
    await eventually(() => expect(running?.controller.ready()).toBe(true));
    await running.controller.settled();
    expect(await written()).toEqual(before);
  });

  test("what the controller generated and somebody changed is put right; what is not its own is left", async () => {
    const foreign = { apiVersion: "discovery.k8s.io/v1", kind: "EndpointSlice", addressType: "IPv4", endpoints: [] };
    await cluster.apply({
      ...foreign,
      metadata: { name: "by-hand", labels: { "kubernetes.io/service-name": "echo" } },
    });
    await ready("echo-1", "10.1.0.11");
    running = await startController(cluster);
    await settled(endpoints, ["10.1.0.11"]);
    const own = (await slices()).find(({ metadata }) => metadata.name !== "by-hand");
    const slice = named("EndpointSlice", own?.metadata.name ?? "", "discovery.k8s.io/v1");
    await cluster.patch(slice, { endpoints: [{ addresses: ["10.9.9.9"] }] });
    await settled(endpoints, ["10.1.0.11"]);
    await cluster.delete(slice);
    await settled(endpoints, ["10.1.0.11"]);
    await cluster.delete(named("Service", "echo", "v1"));
    await settled(async () => (await slices()).map(({ metadata }) => metadata.name), ["by-hand"]);
  });

  test("other controllers' entries of a route's parents stay, once", async () => {
    const route = named("TCPRoute", "echo");
    const theirs = {
      parentRef: { name: "theirs" },
      controllerName: "example.com/other",
      conditions: [{ type: "Accepted", status: "True", reason: "R", message: "", lastTransitionTime: TIME }],
    };
    await cluster.patch(route, { status: { parents: [theirs] } }, "status");
    running = await startController(cluster);
    const parents = async () => ((await statusOf(route)).parents ?? []).length;
    await settled(parents, 2);
    await cluster.patch(route, { spec: { rules: [{ backendRefs: [{ name: "none", port: 1 }] }] } });
    await settled(async () => JSON.stringify(await statusOf(route)).includes("BackendNotFound"), true);
    expect(await parents()).toBe(2);
  });

  test("what the definitions let through and makes no sense is refused in status, and harms nobody", async () => {
    const pool = named("AddressPool", "public", OWN);
    const backwards = "198.51.100.9-198.51.100.3";
    const flow: Manifest = {
      ...named("FlowRoute", "flow", OWN),
      spec: {
        parentRefs: [{ name: "edge" }, { name: "unknown" }],
        match: { destinationPorts: ["90-80"] },
        backendRefs: [{ name: "echo", port: 8080 }],
      },
    };
    await cluster.apply(flow);
    await cluster.apply({ ...named("AddressPool", "new", OWN), spec: { addresses: [backwards] } });
    running = await startController(cluster);
    await settled(() => vips(), ["198.51.100.1"]);
    const first = async (manifest: Manifest) => {
      const { conditions = [], parents = [] } = await statusOf(manifest);
      return [...parents.flatMap((parent) => parent.conditions), ...conditions].map(
        ({ type, status, reason }) => `${type} ${status} ${reason}`,
      );
    };
    await settled(() => first(named("AddressPool", "new", OWN)), ["Accepted False Invalid"]);
    await settled(() => first(flow), ["Accepted False UnsupportedValue"]);
    // The last good version stays, with its VIPs and what it says of its addresses.
    await cluster.patch(pool, { spec: { addresses: [backwards] } });
    await settled(async () => (await first(pool))[0], "Accepted False Invalid");
    expect(await first(pool)).toContain("Available True AddressesFree");
    expect(JSON.stringify(await statusOf(pool))).toContain("spec.addresses[0]");
    expect(await vips()).toEqual(["198.51.100.1"]);
    await cluster.patch(pool, { spec: { addresses: ["198.51.100.0/24"] } });
    await cluster.patch(flow, { spec: { match: { destinationPorts: ["80-90"] } } });
    await settled(async () => (await first(pool))[0], "Accepted True Accepted");
    await settled(async () => (await first(flow))[0], "Accepted True Accepted");
  });

  test("operators are told by events what begins, once; Services of multus-service are ours when it is said", async () => {
    const moved = named("Service", "moved", "v1");
    const labels = { "service.kubernetes.io/service-proxy-name": "multus-proxy" };
    const annotations = { "k8s.v1.cni.cncf.io/service-network": "service-net" };
    const spec = { selector: { app: "moved" }, ports: [{ name: "web", port: 80 }] };
    await cluster.apply({ ...moved, metadata: { name: "moved", labels, annotations }, spec });
    await ready("moved-1", "10.1.0.21", "moved");
    const pod = named("Pod", "moved-2", "v1");
    await cluster.apply({
      ...pod,
      metadata: { name: "moved-2", labels: { app: "moved" } },
      spec: { containers: [{ name: "c", image: "i" }] },
    });
    await cluster.patch(pod, runningStatus(), "status");
    running = await startController(cluster);
    await settled(() => vips(), ["198.51.100.1"]);
    expect(await endpoints()).toEqual([]);
    await running.stop();
    running = await startController(cluster, undefined, { multusService: true });
    await settled(endpoints, ["10.1.0.21"]);
    expect(JSON.stringify(await cluster.raw("GET", SLICES))).toContain('"multus-proxy"');
    await settled(
      async () => (await events()).filter((text) => /moved|VipGiven/.test(text)),
      ["Normal VipGiven Gateway edge", "Warning PodsLeftOut Service moved"],
    );
    // Nothing is said again when it is looked at again.
    await cluster.patch(moved, { metadata: { labels: { another: "label" } } });
    await cluster.patch(gateway, { metadata: { labels: { another: "label" } } });
    await running.controller.settled();
    expect((await events()).filter((text) => text.includes("PodsLeftOut"))).toHaveLength(1);
    // Its own label keeps its targets, under the other name.
    await cluster.patch(moved, { metadata: { labels: { "service.kubernetes.io/service-proxy-name": "causeway" } } });
    await settled(async () => JSON.stringify(await cluster.raw("GET", SLICES)).includes('"multus-proxy"'), false);
    expect(await endpoints()).toEqual(["10.1.0.21"]);
  });

  test.skipIf(IS_REAL)("no change is missed while the API server is killed, slow, busy, wrong or silent", async () => {
    const { double } = cluster;
    const wire = await Relay.start(() => double.port);
    relay = wire;
    await ready("echo-0", "10.1.0.10");
    running = await startController(cluster, wire.url);
    await settled(endpoints, ["10.1.0.10"]);
    const user = "controller";
    const status = (code: number, reason: string) => ({ type: "status", code, reason, retryAfterSeconds: 0 }) as const;
    const troubles: readonly (readonly [string, () => void | Promise<void>])[] = [
      ["killed and started", () => double.restart()],
      ["slow", () => double.faults.add({ user }, { type: "delay", ms: 150 }, 10)],
      ["409", () => double.faults.add({ user, verb: "patch" }, status(409, "Conflict"), 3)],
      ["429", () => double.faults.add({ user }, status(429, "TooManyRequests"), 4)],
      ["500", () => double.faults.add({ user }, status(500, "InternalError"), 4)],
      ["410", () => double.compact()],
      ["answers lost", () => double.faults.add({ user, verb: "patch" }, { type: "lose-answer" }, 2)],
      ["half-open", () => wire.swallow()],
    ];
    const wanted = ["10.1.0.10"];
    for (const [at, [name, trouble]] of troubles.entries()) {
      await trouble();
      await ready(`echo-${at + 1}`, `10.1.0.${11 + at}`);
      wanted.push(`10.1.0.${11 + at}`);
      if (at % 2 === 1) {
        await cluster.delete(targetPod(`echo-${at}`, ""));
        wanted.splice(wanted.indexOf(`10.1.0.${10 + at}`), 1);
      }
      wire.heal();
      await expect.poll(endpoints, { timeout: 20_000, interval: 20, message: name }).toEqual([...wanted].sort());
      double.faults.clear();
    }
    expect(await vips()).toEqual(["198.51.100.1"]);
  });
});
