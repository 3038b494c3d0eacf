import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { z } from "zod";
import { Cluster, HAS_GATEWAY_API, IS_REAL, type Manifest, WITHOUT_GATEWAY_API } from "./support/cluster.ts";
import { type ControllerUnderTest, startController } from "./support/controller.ts";
import { runPods } from "./support/deployments.ts";

/* The controller makes a Gateway's instances. */

const OWN = "causeway.dev/v1alpha1";
const GATEWAY_API = "gateway.networking.k8s.io/v1";
const parameters = (spec: object = {}): Manifest => ({
  apiVersion: OWN,
  kind: "GatewayParameters",
  metadata: { name: "net" },
  spec: {
    externalNetworks: [{ network: "ext", interface: "ext0" }],
    serviceNetworks: [{ network: "blue", interface: "svc0" }],
    ipFamilies: ["IPv4"],
    ...spec,
  },
});
const gatewayClass = (name: string, controllerName: string): Manifest => ({
  apiVersion: GATEWAY_API,
  kind: "GatewayClass",
  metadata: { name },
  spec: { controllerName },
});
const gateway = (name: string, gatewayClassName = "causeway"): Manifest => ({
  apiVersion: GATEWAY_API,
  kind: "Gateway",
  metadata: { name },
  spec: {
    gatewayClassName,
    listeners: [{ name: "web", protocol: "TCP", port: 80 }],
    infrastructure: { parametersRef: { group: "causeway.dev", kind: "GatewayParameters", name: "net" } },
  },
});
const OBJECTS: readonly Manifest[] = [
  gatewayClass("causeway", "causeway.dev/gateway-controller"),
  gatewayClass("other", "example.com/other"),
  { apiVersion: OWN, kind: "AddressPool", metadata: { name: "pool" }, spec: { addresses: ["192.0.2.0/28"] } },
  parameters(),
];
const named = (kind: string, name: string, apiVersion: string): Manifest => ({ apiVersion, kind, metadata: { name } });
const MADE: readonly (readonly [string, string])[] = [
  ["Deployment", "apps/v1"],
  ["PodDisruptionBudget", "policy/v1"],
  ["ServiceAccount", "v1"],
  ["RoleBinding", "rbac.authorization.k8s.io/v1"],
];

const madeSchema = z.looseObject({
  metadata: z.looseObject({ resourceVersion: z.string() }),
  spec: z.looseObject({ replicas: z.int().optional() }).optional(),
  subjects: z.array(z.looseObject({ name: z.string() })).optional(),
});
const statusSchema = z.looseObject({
  status: z
    .looseObject({
      replicas: z.int().optional(),
      conditions: z.array(z.looseObject({ type: z.string(), status: z.string(), reason: z.string() })).default([]),
    })
    .prefault({}),
});

let cluster: Cluster;
let running: ControllerUnderTest | undefined;
beforeEach(async () => {
  if (!HAS_GATEWAY_API) return;
  cluster = await Cluster.start();
  for (const manifest of OBJECTS) await cluster.apply(manifest);
});
afterEach(async () => {
  if (!HAS_GATEWAY_API) return;
  await running?.stop();
  running = undefined;
  await cluster.close();
});

const start = (image = "image:1"): Promise<ControllerUnderTest> =>
  startController(cluster, undefined, { instances: { image } });
async function made(kind: string, name: string, apiVersion: string) {
  const found = await cluster.get(named(kind, name, apiVersion));
  return found === undefined ? undefined : madeSchema.parse(found);
}
const present = async (name: string): Promise<string[]> => {
  const all = await Promise.all(MADE.map(async ([kind, version]) => ((await made(kind, name, version)) ? [kind] : [])));
  return all.flat();
};
const subjects = async (): Promise<string[]> =>
  ((await made("ClusterRoleBinding", "causeway-gateways", "rbac.authorization.k8s.io/v1"))?.subjects ?? []).map(
    ({ name }) => name,
  );
const conditions = async (manifest: Manifest): Promise<string[]> =>
  statusSchema.parse(await cluster.get(manifest)).status.conditions.map(({ type, reason }) => `${type} ${reason}`);
const settled = (check: () => Promise<unknown>, wanted: unknown): Promise<void> =>
  expect.poll(check, { timeout: 20_000, interval: 20 }).toEqual(wanted);
const versions = async (name: string): Promise<unknown> =>
  await Promise.all(MADE.map(async ([kind, version]) => (await made(kind, name, version))?.metadata.resourceVersion));

describe.skipIf(!HAS_GATEWAY_API)(`gateway instances${WITHOUT_GATEWAY_API}`, () => {
  test("each Gateway of ours has a Deployment, and what belongs to it; pods make it programmed", async () => {
    for (const one of [gateway("edge"), gateway("foreign", "other")]) await cluster.apply(one);
    running = await start();
    await settled(
      () => present("edge-causeway"),
      MADE.map(([kind]) => kind),
    );
    await settled(subjects, ["edge-causeway"]);
    expect(await present("foreign-other")).toEqual([]);
    await settled(
      () => conditions(gateway("edge")),
      ["Accepted Accepted", "Programmed Pending", "causeway.dev/InstancesDeployed Deployed"],
    );
    expect(await runPods(cluster)).toHaveLength(2);
    await settled(async () => (await conditions(gateway("edge")))[1], "Programmed Programmed");
    await settled(async () => statusSchema.parse(await cluster.get(parameters())).status.replicas, 2);
    expect(running.warnings).toEqual([]);
  });

  test("nothing is written when nothing changes; edits are put right; parameters and image are rolled out", async () => {
    await cluster.apply(gateway("edge"));
    running = await start();
    await settled(async () => (await present("edge-causeway")).length, MADE.length);
    await running.controller.settled();
    await running.stop();
    const before = await versions("edge-causeway");
    running = await start();
    await running.controller.settled();
    expect(await versions("edge-causeway")).toEqual(before);
    const replicas = async () => (await made("Deployment", "edge-causeway", "apps/v1"))?.spec?.replicas;
    await cluster.patch(named("Deployment", "edge-causeway", "apps/v1"), { spec: { replicas: 7 } });
    await settled(replicas, 2);
    await cluster.patch(parameters(), { spec: { replicas: 3 } });
    await settled(replicas, 3);
    await running.stop();
    running = await start("image:2");
    const image = async () => JSON.stringify(await cluster.get(named("Deployment", "edge-causeway", "apps/v1")));
    await expect.poll(image, { timeout: 10_000 }).toContain('"image":"image:2"');
    expect(await image()).not.toContain('"image":"image:1"');
  });

  // Garbage is collected by the controller manager, which is not started beside a real API server.
  test.skipIf(IS_REAL)("instances go with their Gateway, and when it leaves our class", async () => {
    for (const one of [gateway("edge"), gateway("second")]) await cluster.apply(one);
    running = await start();
    await settled(subjects, ["edge-causeway", "second-causeway"]);
    await settled(async () => (await present("second-causeway")).length, MADE.length);
    await cluster.delete(gateway("edge"));
    await settled(() => present("edge-causeway"), []);
    await settled(subjects, ["second-causeway"]);
    await cluster.apply(gateway("second", "other"));
    await settled(() => present("second-causeway"), []);
    await settled(subjects, []);
  });

  test("somebody else's Deployment of that name is left, and told of", async () => {
    const foreign: Manifest = {
      ...named("Deployment", "edge-causeway", "apps/v1"),
      spec: {
        replicas: 1,
        selector: { matchLabels: { a: "b" } },
        template: { metadata: { labels: { a: "b" } }, spec: { containers: [{ name: "c", image: "theirs" }] } },
      },
    };
    await cluster.apply(foreign);
    await cluster.apply(gateway("edge"));
    running = await start();
    await settled(async () => (await conditions(gateway("edge")))[2], "causeway.dev/InstancesDeployed NameTaken");
    expect(JSON.stringify(await cluster.get(foreign))).toContain('"image":"theirs"');
    await cluster.delete(foreign);
    // Any change of the Gateway, or of what we made for it, has it looked at again.
    await cluster.patch(gateway("edge"), { metadata: { labels: { a: "b" } } });
    await settled(async () => (await conditions(gateway("edge")))[2], "causeway.dev/InstancesDeployed Deployed");
  });

  test.skipIf(IS_REAL)(
    "what the API server does not take is told, tried again, and keeps no other Gateway waiting",
    async () => {
      const { faults } = cluster.double;
      const failing = { type: "status", code: 500, reason: "InternalError", retryAfterSeconds: 0 } as const;
      faults.add({ user: "controller", verb: "patch", resource: "deployments" }, failing);
      for (const name of ["edge", "second"]) await cluster.apply(gateway(name));
      running = await start();
      const third = async (name: string) => (await conditions(gateway(name)))[2];
      for (const name of ["edge", "second"]) {
        await settled(() => third(name), "causeway.dev/InstancesDeployed NotWritten");
      }
      faults.clear();
      for (const name of ["edge", "second"]) {
        await settled(() => third(name), "causeway.dev/InstancesDeployed Deployed");
      }
      await cluster.patch(parameters(), { spec: { resources: { limits: { cpu: "many" } } } });
      await settled(() => third("edge"), "causeway.dev/InstancesDeployed InvalidResources");
      expect(await present("edge-causeway")).toHaveLength(MADE.length);
    },
  );

  test.skipIf(IS_REAL)("it asks for nothing else", async () => {
    await cluster.apply(gateway("edge"));
    running = await start();
    await settled(async () => (await present("edge-causeway")).length, MADE.length);
    await running.controller.settled();
    await cluster.apply(gateway("edge", "other"));
    await settled(() => present("edge-causeway"), []);
    const uses = cluster.double.access
      .uses()
      .filter(({ user, verb }) => user === "controller" && verb !== "list" && verb !== "watch")
      .map(({ verb, resource }) => `${verb} ${resource}`)
      .filter((text) => !text.endsWith("/status"));
    // As docs/kubernetes.md says.
    const own = ["deployments", "poddisruptionbudgets", "rolebindings", "serviceaccounts"];
    expect([...new Set(uses)].sort()).toEqual(
      [
        "create events",
        ...own.map((resource) => `delete ${resource}`),
        ...[...own, "clusterrolebindings"].flatMap((resource) => [
          `create ${resource}`,
          `get ${resource}`,
          `patch ${resource}`,
        ]),
      ].sort(),
    );
  });
});
