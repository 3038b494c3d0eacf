import { describe, expect, test } from "vitest";
import {
  ACCEPTED,
  attachAll,
  attachedNames,
  flow,
  gateway,
  listenerOf,
  onlyReport,
  route,
  service,
  tcp,
} from "./attach.fixture.ts";
import type { Manifest } from "./objects.fixture.ts";

describe("backendRefs", () => {
  const gw = gateway({ listeners: [tcp("a", 80), { name: "u", protocol: "UDP", port: 53 }] });
  const dns = service("dns", "infra", [
    { name: "t", port: 53, protocol: "TCP" },
    { name: "u", port: 53, protocol: "UDP" },
    { name: "s", port: 54, protocol: "SCTP" },
  ]);

  test.each([
    ["another kind", { kind: "Pod", name: "web", port: 80 }, "InvalidKind", "Pod"],
    ["another group", { group: "example.com", name: "web", port: 80 }, "InvalidKind", "example.com"],
    ["unknown Service", { name: "nope", port: 80 }, "BackendNotFound", "Service infra/nope does not exist"],
    ["no port", { name: "dns" }, "BackendNotFound", "53/TCP"],
    ["unknown port", { name: "dns", port: 99 }, "BackendNotFound", "53/TCP, 53/UDP"],
    ["port of another protocol", { name: "dns", port: 54 }, "UnsupportedProtocol", "is not TCP"],
    ["other namespace, no grant", { name: "web", namespace: "apps", port: 80 }, "RefNotPermitted", "ReferenceGrant"],
    ["other namespace, no such Service", { name: "x", namespace: "apps", port: 80 }, "RefNotPermitted", "apps"],
  ])("%s", (_name, ref, reason, mention) => {
    const refs = [
      { ...ref, weight: 4 },
      { name: "web", port: 80 },
    ];
    const result = attachAll(
      gw,
      dns,
      service("web"),
      service("web", "apps"),
      route("TCPRoute", "r", [{ name: "gw" }], refs),
    );
    expect(onlyReport(result)).toEqual({ Accepted: "True Accepted", ResolvedRefs: `False ${reason}` });
    expect(result.routes[0]?.conditions[1]?.message).toContain(mention);
    const [attached] = result.gateways[0]?.routes ?? [];
    expect(attached?.invalidWeight).toBe(4);
    expect(attached?.backends.map(({ service: { metadata }, weight }) => [metadata.name, weight])).toEqual([
      ["web", 1],
    ]);
  });

  test("a Service that is but another name is no backend", () => {
    const alias: Manifest = {
      kind: "Service",
      metadata: { name: "alias", namespace: "infra" },
      spec: { type: "ExternalName", externalName: "example.com", ports: [{ port: 80 }] },
    };
    const result = attachAll(gw, alias, route("TCPRoute", "r", [{ name: "gw" }], [{ name: "alias", port: 80 }]));
    expect(onlyReport(result)).toEqual({ Accepted: "True Accepted", ResolvedRefs: "False InvalidKind" });
    expect(result.gateways[0]?.routes[0]?.invalidWeight).toBe(1);
  });

  test("it is told which Services are reached on the primary network: an annotation may have been forgotten", () => {
    const annotations = { "k8s.v1.cni.cncf.io/service-network": "blue" };
    const annotated: Manifest = { ...dns, metadata: { name: "dns", namespace: "infra", annotations } };
    const refs = [
      { name: "web", port: 80 },
      { name: "dns", port: 53 },
    ];
    const result = attachAll(gw, annotated, service("web"), route("TCPRoute", "r", [{ name: "gw" }], refs));
    expect(onlyReport(result)).toEqual(ACCEPTED);
    expect(result.routes[0]?.conditions[1]?.message).toBe(
      "All backends are resolved. Without annotation k8s.v1.cni.cncf.io/service-network, and so reached on the primary network: infra/web.",
    );
  });

  test("the port of the route's own protocol is taken", () => {
    const result = attachAll(
      gw,
      dns,
      route("UDPRoute", "u", [{ name: "gw" }], [{ name: "dns", port: 53 }]),
      route("TCPRoute", "t", [{ name: "gw" }], [{ name: "dns", port: 53 }]),
    );
    expect(result.gateways[0]?.routes.map(({ backends }) => backends.map(({ port }) => port.name))).toEqual([
      ["t"],
      ["u"],
    ]);
  });

  const grant = (from: Record<string, string>, to: Record<string, string>, namespace = "apps"): Manifest => ({
    kind: "ReferenceGrant",
    metadata: { name: "g", namespace },
    spec: {
      from: [{ group: "gateway.networking.k8s.io", kind: "TCPRoute", namespace: "infra", ...from }],
      to: [{ group: "", kind: "Service", ...to }],
    },
  });
  test.each([
    ["grant", grant({}, {}), true],
    ["grant for the name", grant({}, { name: "web" }), true],
    ["grant for another name", grant({}, { name: "db" }), false],
    ["grant for another kind of route", grant({ kind: "UDPRoute" }, {}), false],
    ["grant for another group", grant({ group: "causeway.dev" }, {}), false],
    ["grant for another namespace of routes", grant({ namespace: "other" }, {}), false],
    ["grant to another kind", grant({}, { kind: "Secret" }), false],
    ["grant in the route's namespace", grant({}, {}, "infra"), false],
  ])("%s", (_name, referenceGrant, allowed) => {
    const result = attachAll(
      gw,
      service("web", "apps"),
      referenceGrant,
      route("TCPRoute", "r", [{ name: "gw" }], [{ name: "web", namespace: "apps", port: 80 }]),
    );
    expect(onlyReport(result).ResolvedRefs).toBe(allowed ? "True ResolvedRefs" : "False RefNotPermitted");
  });
});

describe("FlowRoute", () => {
  const flowListener = (allowedRoutes: unknown): unknown => ({
    name: "f",
    protocol: "causeway.dev/Flow",
    port: 1,
    allowedRoutes,
  });
  const web = service("web", "infra", [{ port: 80 }]);

  test("without a Flow listener it attaches to the Gateway as a whole where any listener allows its namespace", () => {
    const gw = gateway({ listeners: [tcp("a", 80, { namespaces: { from: "Same" } })] });
    const result = attachAll(gw, web, flow("r", [{ name: "gw" }]));
    expect(onlyReport(result)).toEqual(ACCEPTED);
    expect(attachedNames(result)).toEqual(["r:"]);
    expect(listenerOf(result, "a").attachedRoutes).toBe(0);
    const foreign = attachAll(gw, web, flow("r", [{ name: "gw", namespace: "infra" }], {}, "apps"));
    expect(onlyReport(foreign).Accepted).toBe("False NotAllowedByListeners");
  });

  test("where the Gateway has Flow listeners, they say who may", () => {
    const gw = gateway({ listeners: [tcp("a", 80), flowListener({ namespaces: { from: "Same" } })] });
    const mine = attachAll(gw, web, flow("r", [{ name: "gw" }]));
    expect(attachedNames(mine)).toEqual(["r:f"]);
    expect(listenerOf(mine, "f").attachedRoutes).toBe(1);
    const foreign = attachAll(gw, web, flow("r", [{ name: "gw", namespace: "infra" }], {}, "apps"));
    expect(onlyReport(foreign).Accepted).toBe("False NotAllowedByListeners");
  });

  test("a named listener must be a Flow listener", () => {
    const gw = gateway({ listeners: [tcp("a", 80), flowListener({})] });
    expect(onlyReport(attachAll(gw, web, flow("r", [{ name: "gw", sectionName: "a" }]))).Accepted).toBe(
      "False NotAllowedByListeners",
    );
    expect(onlyReport(attachAll(gw, web, flow("r", [{ name: "gw", sectionName: "f" }])))).toEqual(ACCEPTED);
  });

  test("many share one listener, and never take one from a TCPRoute", () => {
    const gw = gateway({ listeners: [tcp("a", 80), flowListener({})] });
    const result = attachAll(
      gw,
      web,
      flow("f1", [{ name: "gw" }]),
      flow("f2", [{ name: "gw" }]),
      route("TCPRoute", "t", [{ name: "gw" }]),
    );
    expect(attachedNames(result)).toEqual(["f1:f", "f2:f", "t:a"]);
    expect(result.routes.every(({ conditions }) => conditions.length === 2)).toBe(true);
  });

  test("a backend for each protocol that match and Service share; grants name its own group", () => {
    const gw = gateway({ listeners: [tcp("a", 80)] });
    const both = service("web", "infra", [
      { name: "t", port: 80, protocol: "TCP" },
      { name: "u", port: 80, protocol: "UDP" },
    ]);
    const backends = (protocols?: string[]): unknown =>
      attachAll(gw, both, flow("r", [{ name: "gw" }], { match: { protocols } })).gateways[0]?.routes[0]?.backends.map(
        ({ port }) => port.protocol,
      );
    expect(backends()).toEqual(["TCP", "UDP"]);
    expect(backends(["UDP"])).toEqual(["UDP"]);
    const sctp = attachAll(gw, both, flow("r", [{ name: "gw" }], { match: { protocols: ["SCTP"] } }));
    expect(onlyReport(sctp).ResolvedRefs).toBe("False UnsupportedProtocol");
  });
});

describe("Topics as backends", () => {
  const gw = gateway({ listeners: [tcp("a", 7500), { name: "u", protocol: "UDP", port: 53 }] });
  const ref = { group: "causeway.dev", kind: "Topic", name: "readings" };
  const topic = (namespace = "infra", port = 7500): Manifest => ({
    kind: "Topic",
    metadata: { name: "readings", namespace },
    spec: { topic: "Reading", type: "T", types: { file: "/t.xml" }, service: { name: "topics", port } },
  });
  const topics = (namespace = "infra"): Manifest =>
    service("topics", namespace, [
      { name: "lines", port: 7500 },
      { name: "u", port: 7501, protocol: "UDP" },
    ]);
  const grant = (to: object): Manifest => ({
    kind: "ReferenceGrant",
    metadata: { name: "g", namespace: "plant" },
    spec: { from: [{ group: "gateway.networking.k8s.io", kind: "TCPRoute", namespace: "infra" }], to: [to] },
  });
  const attached = (backendRef: object, ...objects: Manifest[]) =>
    attachAll(gw, ...objects, route("TCPRoute", "r", [{ name: "gw", sectionName: "a" }], [backendRef]));
  const said = (result: ReturnType<typeof attached>): string =>
    result.routes[0]?.conditions.find(({ type }) => type === "ResolvedRefs")?.message ?? "";

  test("leads to the Service that serves it, with the reference's weight", () => {
    const result = attached({ ...ref, weight: 3 }, topic(), topics());
    expect(onlyReport(result)).toEqual(ACCEPTED);
    const [backend] = result.gateways[0]?.routes[0]?.backends ?? [];
    expect(backend).toMatchObject({ service: { metadata: { name: "topics" } }, port: { port: 7500 }, weight: 3 });
    expect(onlyReport(attached({ ...ref, port: 7500 }, topic(), topics()))).toEqual(ACCEPTED);
  });

  test.each<[string, object, Manifest[], string, string]>([
    ["no such Topic", ref, [topics()], "BackendNotFound", "Topic infra/readings does not exist"],
    [
      "another port",
      { ...ref, port: 80 },
      [topic(), topics()],
      "BackendNotFound",
      "has port 7500 (spec.service.port), not 80",
    ],
    [
      "no such Service",
      ref,
      [topic()],
      "BackendNotFound",
      "spec.service.name of Topic infra/readings: Service infra/topics does not",
    ],
    [
      "no such port",
      ref,
      [topic("infra", 1), topics()],
      "BackendNotFound",
      "spec.service of Topic infra/readings: Service infra/topics has no port 1",
    ],
    [
      "a port of UDP",
      ref,
      [topic("infra", 7501), topics()],
      "UnsupportedProtocol",
      "spec.service of Topic infra/readings: port 7501",
    ],
    [
      "another group",
      { ...ref, group: "" },
      [topic(), topics()],
      "InvalidKind",
      "Topic (group core) readings cannot be a backend",
    ],
  ])("%s: the field that is wrong is named", (_, backendRef, objects, reason, message) => {
    const result = attached(backendRef, ...objects);
    expect(onlyReport(result)).toEqual({ ...ACCEPTED, ResolvedRefs: `False ${reason}` });
    expect(said(result)).toContain(message);
    expect(result.gateways[0]?.routes[0]?.invalidWeight).toBe(1);
  });

  test("is no backend of a UDPRoute", () => {
    const udp = route("UDPRoute", "r", [{ name: "gw", sectionName: "u" }], [ref]);
    const result = attachAll(gw, topic(), topics(), udp);
    expect(onlyReport(result)).toEqual({ ...ACCEPTED, ResolvedRefs: "False UnsupportedProtocol" });
  });

  test("of another namespace needs a grant for the Topic; one for its Service is none", () => {
    const elsewhere = { ...ref, namespace: "plant" };
    const objects = [topic("plant"), topics("plant")];
    const refused = { ...ACCEPTED, ResolvedRefs: "False RefNotPermitted" };
    expect(onlyReport(attached(elsewhere, ...objects))).toEqual(refused);
    expect(onlyReport(attached(elsewhere, ...objects, grant({ group: "", kind: "Service" })))).toEqual(refused);
    expect(onlyReport(attached(elsewhere, ...objects, grant({ group: "causeway.dev", kind: "Topic" })))).toEqual(
      ACCEPTED,
    );
  });
});
