import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { z } from "zod";
import { ATTACH_KINDS, attach } from "#shared/resolve/attach.ts";
import { resolveIntent, servedGateways } from "#shared/resolve/intent.ts";
import { REFUSED } from "#shared/resolve/intent-types.ts";
import { ordinaryServices, SLICES_THAT_COUNT } from "#shared/resolve/slice-interest.ts";
import { TableCache } from "#shared/resolve/tables.ts";
import { OrdinarySlices } from "../../proxy/ordinary-slices.ts";
import { Cluster, HAS_GATEWAY_API, type Manifest, WITHOUT_GATEWAY_API } from "./support/cluster.ts";
import { type ControllerUnderTest, startController } from "./support/controller.ts";
import { eventually, type Followed, follow } from "./support/followed.ts";

/*
 * What the Gateway API says of TCPRoutes and UDPRoutes, through the API server: attachment, permission, backends, and what
 * statuses must say of them. Services here are ordinary ones.
 */

const GATEWAY_API = "gateway.networking.k8s.io/v1";
const conditionSchema = z.looseObject({
  type: z.string(),
  status: z.string(),
  reason: z.string(),
  message: z.string().default(""),
  observedGeneration: z.int(),
});
const objectSchema = z.looseObject({
  metadata: z.looseObject({ generation: z.int() }),
  status: z
    .looseObject({
      conditions: z.array(conditionSchema).default([]),
      supportedFeatures: z.array(z.looseObject({ name: z.string() })).default([]),
      parents: z.array(z.looseObject({ conditions: z.array(conditionSchema) })).default([]),
      listeners: z
        .array(
          z.looseObject({
            name: z.string(),
            attachedRoutes: z.int(),
            supportedKinds: z.array(z.looseObject({ kind: z.string() })),
            conditions: z.array(conditionSchema),
          }),
        )
        .default([]),
    })
    .prefault({}),
});

let cluster: Cluster;
let controller: ControllerUnderTest;
let followed: Followed;
let slices: OrdinarySlices;
const stop = new AbortController();
let tests = 0;
/** The namespace of this test's Gateway `gw` and routes, and another one. */
let home = "";
let away = "";

const named = (kind: string, name: string, namespace: string, apiVersion = GATEWAY_API): Manifest => ({
  apiVersion,
  kind,
  metadata: { name, namespace },
});
const namespaceOf = (name: string, labels: Record<string, string> = {}): Manifest => ({
  apiVersion: "v1",
  kind: "Namespace",
  metadata: { name, labels },
});
const service = (name: string, namespace: string, protocol: string): Manifest => ({
  ...named("Service", name, namespace, "v1"),
  spec: { selector: { app: name }, ports: [{ port: 80, protocol }] },
});
const gateway = (listeners: readonly object[]): Manifest => ({
  ...named("Gateway", "gw", home),
  spec: {
    gatewayClassName: "causeway",
    listeners,
    infrastructure: { parametersRef: { group: "causeway.dev", kind: "GatewayParameters", name: "net" } },
  },
});

async function read(manifest: Manifest) {
  return objectSchema.parse(await cluster.get(manifest));
}
/** What became of a route at its parents, and whether that is said of the route as it is now. */
async function parents(route: Manifest): Promise<string[]> {
  const { metadata, status } = await read(route);
  return status.parents.map(({ conditions }) =>
    conditions
      .filter(({ type }) => type === "Accepted" || type === "ResolvedRefs")
      .map(({ status: state, reason, observedGeneration }) =>
        observedGeneration === metadata.generation ? (state === "True" ? "True" : reason) : "outdated",
      )
      .join(" "),
  );
}
async function listeners(): Promise<Record<string, string>> {
  const { metadata, status } = await read(named("Gateway", "gw", home));
  return Object.fromEntries(
    status.listeners.map(({ name, attachedRoutes, supportedKinds, conditions }) => {
      const bad = conditions
        .filter(({ type, status: state }) => (type === "Conflicted" ? state === "True" : state === "False"))
        .filter(({ type }) => type !== "Programmed")
        .map(({ reason }) => reason);
      const isNew = conditions.every(({ observedGeneration }) => observedGeneration === metadata.generation);
      const kinds = supportedKinds.map(({ kind }) => kind).join();
      return [name, [attachedRoutes, kinds, ...bad, ...(isNew ? [] : ["outdated"])].join(" ")];
    }),
  );
}
/** As an instance of this test's Gateway sees it: what part of new flows goes where, by the listener's port. */
async function shares(port: number): Promise<Record<string, number>> {
  const attachments = attach(followed.view);
  const own = { namespace: home, name: "gw" };
  const builtIn = await slices.of(ordinaryServices(servedGateways(attachments, own)));
  const all = [...followed.view.list("EndpointSlice"), ...builtIn];
  const intent = resolveIntent(attachments, all, own, new TableCache());
  const flow = intent?.flows.find(({ destinationPorts }) => destinationPorts[0]?.from === port);
  const table = flow?.table === undefined ? undefined : intent?.tables.get(flow.table);
  const found: Record<string, number> = {};
  for (const id of table?.slots ?? []) {
    const leg = intent?.legs.get(id);
    const name =
      leg === undefined ? (id === REFUSED ? "refused" : "?") : `${leg.addresses[4]}:${leg.port} ${leg.network}`;
    found[name] = (found[name] ?? 0) + 1;
  }
  return Object.fromEntries(
    Object.entries(found).map(([name, count]) => [name, Math.round((10 * count) / (table?.size ?? 1)) / 10]),
  );
}
const settled = (check: () => Promise<unknown>, wanted: unknown): Promise<void> =>
  expect.poll(check, { timeout: 15_000, interval: 20 }).toEqual(wanted);

beforeAll(async () => {
  if (!HAS_GATEWAY_API) return;
  cluster = await Cluster.start();
  await cluster.apply({
    apiVersion: GATEWAY_API,
    kind: "GatewayClass",
    metadata: { name: "causeway" },
    spec: { controllerName: "causeway.dev/gateway-controller" },
  });
  await cluster.apply({
    apiVersion: "causeway.dev/v1alpha1",
    kind: "AddressPool",
    metadata: { name: "pool" },
    spec: { addresses: ["192.0.2.0/24"] },
  });
  controller = await startController(cluster);
  followed = await follow(cluster.config(cluster.user("proxy")), [
    ...ATTACH_KINDS.map((kind) => ({ kind })),
    SLICES_THAT_COUNT,
  ]);
  slices = new OrdinarySlices({ store: followed.store, onChange: () => undefined, signal: stop.signal });
});
afterAll(async () => {
  if (!HAS_GATEWAY_API) return;
  stop.abort();
  followed.close();
  await controller.stop();
  await cluster.close();
});
beforeEach(async () => {
  if (!HAS_GATEWAY_API) return;
  tests += 1;
  [home, away] = [`home-${tests}`, `away-${tests}`];
  for (const name of [home, away]) await cluster.apply(namespaceOf(name));
  await cluster.apply({
    ...named("GatewayParameters", "net", home, "causeway.dev/v1alpha1"),
    spec: {
      externalNetworks: [{ interface: "ext0" }],
      serviceNetworks: [{ network: "blue", interface: "svc0" }],
      ipFamilies: ["IPv4"],
    },
  });
});

test.skipIf(!HAS_GATEWAY_API)("the class tells what is supported", async () => {
  const wanted = ["Gateway", "ReferenceGrant", "TCPRoute", "UDPRoute"];
  await settled(async () => {
    const { metadata, status } = await read({
      ...named("GatewayClass", "causeway", ""),
      metadata: { name: "causeway" },
    });
    const names = status.supportedFeatures.map(({ name }) => name).filter((name) => wanted.includes(name));
    return [
      names,
      status.conditions.map((one) => [one.type, one.status, one.observedGeneration === metadata.generation]),
    ];
  }, [wanted, [["Accepted", "True", true]]]);
});

describe.skipIf(!HAS_GATEWAY_API).each([
  ["TCP", "UDP"],
  ["UDP", "TCP"],
])(`%sRoute${WITHOUT_GATEWAY_API}`, (protocol, other) => {
  const kind = `${protocol}Route`;
  const listener = (name: string, port: number, allowedRoutes: object = {}, of = protocol) => ({
    name,
    protocol: of,
    port,
    allowedRoutes,
  });
  const route = (
    name: string,
    parent: object = {},
    backendRefs: readonly object[] = [{ name: "web", port: 80 }],
    namespace = home,
  ): Manifest => ({
    ...named(kind, name, namespace),
    spec: { parentRefs: [{ name: "gw", namespace: home, ...parent }], rules: [{ backendRefs }] },
  });
  const web = (namespace = home): Manifest => service("web", namespace, protocol);
  const grant = (from: object = {}): Manifest => ({
    ...named("ReferenceGrant", "grant", away, "gateway.networking.k8s.io/v1beta1"),
    spec: {
      from: [{ group: "gateway.networking.k8s.io", kind, namespace: home, ...from }],
      to: [{ group: "", kind: "Service" }],
    },
  });
  const ACCEPTED = ["True True"];

  test("attaches by section name, by port, by both, or by what fits; counts, and follows changes of listeners", async () => {
    await cluster.apply(web());
    await cluster.apply(gateway([listener("a", 80), listener("b", 81), listener("c", 80, {}, other)]));
    const routes = [
      route("any"),
      route("section", { sectionName: "a" }),
      route("port", { port: 81 }),
      route("both", { sectionName: "b", port: 81 }),
      route("no-section", { sectionName: "x" }),
      route("no-port", { port: 82 }),
      route("neither", { sectionName: "a", port: 81 }),
      route("of-another-kind", { sectionName: "c" }),
    ];
    for (const one of routes) await cluster.apply(one);
    const refused = ["NoMatchingParent True"];
    await settled(
      () => Promise.all(routes.map(parents)),
      [ACCEPTED, ACCEPTED, ACCEPTED, ACCEPTED, refused, refused, refused, ["NotAllowedByListeners True"]],
    );
    await settled(listeners, { a: `2 ${kind}`, b: `3 ${kind}`, c: `0 ${other}Route` });
    await cluster.delete(route("section"));
    await cluster.apply(gateway([listener("a", 80), listener("x", 82)]));
    await settled(listeners, { a: `1 ${kind}`, x: `3 ${kind}` });
    await settled(
      () => Promise.all(["port", "no-section", "no-port"].map((name) => parents(route(name)))),
      [refused, ACCEPTED, ACCEPTED],
    );
  });

  test("namespaces: the Gateway's own, all, by label as it comes and goes", async () => {
    const labels = { team: "blue" };
    await cluster.apply(web(away));
    await cluster.apply(
      gateway([
        listener("same", 80),
        listener("all", 81, { namespaces: { from: "All" } }),
        listener("some", 82, { namespaces: { from: "Selector", selector: { matchLabels: labels } } }),
      ]),
    );
    const routes = ["same", "all", "some"].map((sectionName) => route(sectionName, { sectionName }, undefined, away));
    for (const one of routes) await cluster.apply(one);
    const refused = ["NotAllowedByListeners True"];
    await settled(() => Promise.all(routes.map(parents)), [refused, ACCEPTED, refused]);
    await cluster.apply(namespaceOf(away, labels));
    await settled(() => Promise.all(routes.map(parents)), [refused, ACCEPTED, ACCEPTED]);
    await settled(listeners, { same: `0 ${kind}`, all: `1 ${kind}`, some: `1 ${kind}` });
    await cluster.apply(namespaceOf(away));
    await settled(() => Promise.all(routes.map(parents)), [refused, ACCEPTED, refused]);
  });

  test("kinds of a listener: what it cannot carry is told, what is left attaches", async () => {
    await cluster.apply(web());
    const foreign = { kind: "HTTPRoute" };
    await cluster.apply(
      gateway([listener("none", 80, { kinds: [foreign] }), listener("rest", 81, { kinds: [foreign, { kind }] })]),
    );
    for (const sectionName of ["none", "rest"]) await cluster.apply(route(sectionName, { sectionName }));
    await settled(listeners, { none: "0  InvalidRouteKinds", rest: `1 ${kind} InvalidRouteKinds` });
    await settled(
      () => Promise.all(["none", "rest"].map((name) => parents(route(name)))),
      [["NotAllowedByListeners True"], ACCEPTED],
    );
  });

  test("listeners that claim one port are refused by the API server; the same port of another protocol is another", async () => {
    const clashing = gateway([listener("a", 80), listener("b", 80)]);
    await expect(cluster.apply(clashing)).rejects.toThrow(/must be unique for each listener/);
    await cluster.apply(gateway([listener("a", 80), listener("b", 80, {}, other), listener("c", 443, {}, "HTTP")]));
    await settled(listeners, { a: `0 ${kind}`, b: `0 ${other}Route`, c: "0  UnsupportedProtocol" });
  });

  test("backends: unknown, of another kind or protocol; what is said changes with them", async () => {
    await cluster.apply(gateway([listener("a", 80)]));
    await cluster.apply(service("foreign", home, other));
    const routes = [
      route("unknown", {}, [{ name: "web", port: 80 }]),
      route("port", {}, [{ name: "web", port: 81 }]),
      route("kind", {}, [{ name: "web", port: 80, kind: "Bucket", group: "example.com" }]),
      route("protocol", {}, [{ name: "foreign", port: 80 }]),
    ];
    for (const one of routes) await cluster.apply(one);
    const said = () => Promise.all(routes.map(parents));
    const [kindRefused, protocolRefused] = [["True InvalidKind"], ["True UnsupportedProtocol"]];
    const missing = ["True BackendNotFound"];
    await settled(said, [missing, missing, kindRefused, protocolRefused]);
    await cluster.apply(web());
    await settled(said, [ACCEPTED, missing, kindRefused, protocolRefused]);
    await cluster.delete(web());
    await settled(said, [missing, missing, kindRefused, protocolRefused]);
    await cluster.apply(route("kind", {}, [{ name: "foreign", port: 80 }]));
    await settled(said, [missing, missing, protocolRefused, protocolRefused]);
  });

  test("a Service of another namespace needs a grant, of the right kind and namespace, for as long as it is there", async () => {
    await cluster.apply(gateway([listener("a", 80)]));
    await cluster.apply(web(away));
    const one = route("one", {}, [{ name: "web", port: 80, namespace: away }]);
    await cluster.apply(one);
    const refused = ["True RefNotPermitted"];
    await settled(() => parents(one), refused);
    for (const from of [{ kind: `${other}Route` }, { namespace: away }]) {
      await cluster.apply(grant(from));
      await cluster.patch(one, { metadata: { labels: { looked: "again" } } });
      await controller.controller.settled();
      expect(await parents(one)).toEqual(refused);
    }
    await cluster.apply(grant());
    await settled(() => parents(one), ACCEPTED);
    await cluster.delete(grant());
    await settled(() => parents(one), refused);
  });

  /** As Kubernetes' own controller publishes a Service's pods, or somebody by hand. */
  const published = (
    name: string,
    addresses: readonly string[],
    port: number,
    { namespace = home, managedBy = "endpointslice-controller.k8s.io", portName = "" } = {},
  ): Manifest => ({
    ...named("EndpointSlice", `${name}-${managedBy.slice(0, 3)}`, namespace, "discovery.k8s.io/v1"),
    metadata: {
      name: `${name}-${managedBy.slice(0, 3)}`,
      namespace,
      labels: { "kubernetes.io/service-name": name, "endpointslice.kubernetes.io/managed-by": managedBy },
    },
    addressType: "IPv4",
    ports: [{ name: portName, port, protocol }],
    endpoints: addresses.map((address) => ({ addresses: [address], conditions: { ready: true } })),
  });
  const on = (address: string, port: number): string => `${address}:${port} primary network`;

  test("ordinary Services: one backend, at the pods' port; what is told of it; pods that come and go", async () => {
    await cluster.apply(gateway([listener("a", 8080)]));
    const byName = {
      ...web(),
      spec: { selector: { app: "web" }, ports: [{ name: "x", port: 80, protocol, targetPort: "x" }] },
    };
    await cluster.apply(byName);
    const one = route("one");
    await cluster.apply(one);
    await settled(() => parents(one), ACCEPTED);
    expect(await shares(8080)).toEqual({});
    const { status } = await read(one);
    const [, resolved] = status.parents[0]?.conditions ?? [];
    expect(resolved?.message).toMatch(new RegExp(`reached on the primary network: ${home}/web\\.$`));
    await cluster.apply(published("web", ["10.244.0.1", "10.244.0.2"], 3000, { portName: "x" }));
    await settled(() => shares(8080), { [on("10.244.0.1", 3000)]: 0.5, [on("10.244.0.2", 3000)]: 0.5 });
    await cluster.apply(published("web", ["10.244.0.2"], 3000, { portName: "x" }));
    await settled(() => shares(8080), { [on("10.244.0.2", 3000)]: 1 });
  });

  test("ordinary Services: weights, of another namespace by a grant, by hand, and what does not resolve", async () => {
    await cluster.apply(gateway([listener("a", 80)]));
    await cluster.apply(service("one", home, protocol));
    await cluster.apply(published("one", ["10.244.0.1"], 80));
    await cluster.apply(service("two", away, protocol));
    await cluster.apply(published("two", ["10.244.0.2"], 80, { namespace: away }));
    // Headless, without selector.
    await cluster.apply({
      ...named("Service", "three", home, "v1"),
      spec: { clusterIP: "None", ports: [{ port: 80, protocol }] },
    });
    await cluster.apply(published("three", ["192.0.2.33"], 8443, { managedBy: "somebody" }));
    await cluster.apply({
      ...named("Service", "alias", home, "v1"),
      spec: { type: "ExternalName", externalName: "example.com", ports: [{ port: 80, protocol }] },
    });
    const backends = [
      { name: "one", port: 80, weight: 4 },
      { name: "two", port: 80, weight: 2, namespace: away },
      { name: "three", port: 80, weight: 3 },
      { name: "alias", port: 80, weight: 1 },
    ];
    const all = route("all", {}, backends);
    await cluster.apply(all);
    await settled(() => parents(all), ["True RefNotPermitted"]);
    const own = { [on("10.244.0.1", 80)]: 0.4, [on("192.0.2.33", 8443)]: 0.3 };
    await settled(() => shares(80), { ...own, refused: 0.3 });
    await cluster.apply(grant());
    await settled(() => parents(all), ["True InvalidKind"]);
    await settled(() => shares(80), { ...own, [on("10.244.0.2", 80)]: 0.2, refused: 0.1 });
  });

  test("a service-i beside an ordinary Service in one rule: each has its own slices", async () => {
    await cluster.apply(gateway([listener("a", 80)]));
    await cluster.apply(web());
    await cluster.apply(published("web", ["10.244.0.1"], 80));
    await cluster.apply({
      ...named("Service", "secondary", home, "v1"),
      metadata: {
        name: "secondary",
        namespace: home,
        annotations: { "k8s.v1.cni.cncf.io/service-network": "blue" },
      },
      spec: { ports: [{ port: 80, protocol }] },
    });
    // Kubernetes' own controller publishes primary addresses for any Service with a selector.
    await cluster.apply(published("secondary", ["10.244.0.9"], 80));
    await cluster.apply(published("secondary", ["10.1.0.9"], 80, { managedBy: "causeway.dev" }));
    const both = route("both", {}, [
      { name: "web", port: 80, weight: 1 },
      { name: "secondary", port: 80, weight: 1 },
    ]);
    await cluster.apply(both);
    await settled(() => parents(both), ACCEPTED);
    await settled(() => shares(80), {
      [on("10.244.0.1", 80)]: 0.5,
      [`10.1.0.9:undefined ${home}/blue`]: 0.5,
    });
  });

  test("weights reach the instances, also the share of what may not be used", async () => {
    await cluster.apply(gateway([listener("a", 80)]));
    for (const name of ["web", "canary", "idle"]) await cluster.apply(service(name, home, protocol));
    const backends = [
      { name: "web", port: 80, weight: 90 },
      { name: "canary", port: 80, weight: 10 },
      { name: "idle", port: 80, weight: 0 },
      { name: "none", port: 80, weight: 25 },
    ];
    const one = route("one", {}, backends);
    await cluster.apply(one);
    await settled(() => parents(one), ["True BackendNotFound"]);
    await eventually(() => {
      const mine = attach(followed.view).gateways.find(({ gateway: { metadata } }) => metadata.namespace === home);
      const [attached] = mine?.routes ?? [];
      const weights = attached?.backends.map(({ service: { metadata }, weight }) => [metadata.name, weight]);
      expect([weights, attached?.invalidWeight]).toEqual([
        [
          ["web", 90],
          ["canary", 10],
          ["idle", 0],
        ],
        25,
      ]);
    });
  });
});
