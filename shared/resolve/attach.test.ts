import fc from "fast-check";
import { describe, expect, test } from "vitest";
import {
  ACCEPTED,
  attachAll,
  attachedNames,
  brief,
  CLASS,
  flow,
  gateway,
  listenerOf,
  onlyReport,
  PARAMETERS,
  route,
  service,
  tcp,
} from "./attach.fixture.ts";
import { attach, SUPERSEDED_CONDITION } from "./attach.ts";
import { type Manifest, viewOf } from "./objects.fixture.ts";

describe("Gateways", () => {
  test("only those of our class", () => {
    const other: Manifest = {
      kind: "GatewayClass",
      metadata: { name: "other" },
      spec: { controllerName: "example.com/other" },
    };
    const result = attachAll(
      other,
      gateway({ gatewayClassName: "other", listeners: [tcp("a", 80)] }),
      route("TCPRoute", "r", [{ name: "gw" }]),
    );
    expect(result).toEqual({ gateways: [], routes: [] });
    expect(attachAll(gateway({ gatewayClassName: "none", listeners: [tcp("a", 80)] })).gateways).toEqual([]);
  });

  test("VIPs come from status.addresses; what is no IP address is left out", () => {
    const status = {
      addresses: [
        { type: "IPAddress", value: "192.0.2.1" },
        { type: "Hostname", value: "gw.example.com" },
        { value: "2001:DB8::1" },
      ],
    };
    const result = attachAll(gateway({ listeners: [tcp("a", 80)] }, { status }));
    expect(result.gateways[0]?.vips).toEqual(["192.0.2.1", "2001:db8::1"]);
  });

  const parametersRef = (ref: unknown): Record<string, unknown> => ({ infrastructure: { parametersRef: ref } });
  test.each([
    ["missing object", parametersRef({ group: "causeway.dev", kind: "GatewayParameters", name: "no" }), "infra/no"],
    ["wrong kind", parametersRef({ group: "", kind: "ConfigMap", name: "net" }), "ConfigMap"],
    ["no reference at all", { infrastructure: undefined }, "parametersRef"],
  ])("parameters: %s", (_name, spec, mention) => {
    const [gw] = attachAll(gateway({ listeners: [tcp("a", 80)], ...spec })).gateways;
    expect(gw?.accepted).toMatchObject({ status: "False", reason: "InvalidParameters", observedGeneration: 7 });
    expect(gw?.accepted.message).toContain(mention);
    expect(gw?.parameters).toBeUndefined();
  });

  test("the class's parametersRef serves Gateways without their own, and needs a namespace", () => {
    const classWith = (namespace: string | undefined): Manifest => ({
      kind: "GatewayClass",
      metadata: { name: "c2" },
      spec: {
        controllerName: "causeway.dev/gateway-controller",
        parametersRef: { group: "causeway.dev", kind: "GatewayParameters", name: "net", namespace },
      },
    });
    const gw = gateway({ gatewayClassName: "c2", infrastructure: undefined, listeners: [tcp("a", 80)] });
    expect(attachAll(classWith("infra"), gw).gateways[0]?.parameters?.metadata.name).toBe("net");
    expect(attachAll(classWith(undefined), gw).gateways[0]?.accepted.message).toContain("needs a namespace");
  });

  test("addresses of type Hostname are not supported", () => {
    const gw = gateway({ listeners: [tcp("a", 80)], addresses: [{ type: "Hostname", value: "x.example.com" }] });
    expect(attachAll(gw).gateways[0]?.accepted).toMatchObject({ status: "False", reason: "UnsupportedAddress" });
  });
});

describe("listeners", () => {
  const http = { name: "web", protocol: "HTTP", port: 80 };

  test("an unsupported protocol; the Gateway goes on with the others", () => {
    const result = attachAll(gateway({ listeners: [http, tcp("a", 80)] }), route("TCPRoute", "r", [{ name: "gw" }]));
    expect(brief(listenerOf(result, "web").conditions).Accepted).toBe("False UnsupportedProtocol");
    expect(listenerOf(result, "web")).toMatchObject({ supportedKinds: [], attachedRoutes: 0, valid: false });
    expect(result.gateways[0]?.accepted).toMatchObject({ status: "True", reason: "ListenersNotValid" });
    expect(listenerOf(result, "a").attachedRoutes).toBe(1);
  });

  test("no valid listener: the Gateway is refused", () => {
    const result = attachAll(gateway({ listeners: [http] }));
    expect(result.gateways[0]?.accepted).toMatchObject({ status: "False", reason: "ListenersNotValid" });
  });

  test("the same port and protocol twice: both conflicted, neither carries traffic, routes still count", () => {
    const result = attachAll(
      gateway({ listeners: [tcp("a", 80), tcp("b", 80), tcp("c", 81)] }),
      service("web"),
      route("TCPRoute", "r", [{ name: "gw" }]),
    );
    for (const name of ["a", "b"]) {
      expect(brief(listenerOf(result, name).conditions)).toEqual({
        Accepted: "False PortUnavailable",
        Conflicted: "True ProtocolConflict",
        ResolvedRefs: "True ResolvedRefs",
      });
      expect(listenerOf(result, name).attachedRoutes).toBe(1);
    }
    expect(brief(listenerOf(result, "c").conditions).Conflicted).toBe("False NoConflicts");
    expect(attachedNames(result)).toEqual(["r:c"]);
  });

  test("TCP, UDP and Flow on one port are distinct", () => {
    const listeners = [
      tcp("t", 53),
      { name: "u", protocol: "UDP", port: 53 },
      { name: "f", protocol: "causeway.dev/Flow", port: 53 },
      { name: "g", protocol: "causeway.dev/Flow", port: 53 },
    ];
    const result = attachAll(gateway({ listeners }));
    expect(result.gateways[0]?.accepted.reason).toBe("Accepted");
    expect(result.gateways[0]?.listeners.map(({ supportedKinds }) => supportedKinds.map(({ kind }) => kind))).toEqual([
      ["TCPRoute"],
      ["UDPRoute"],
      ["FlowRoute"],
      ["FlowRoute"],
    ]);
  });

  test("kinds that the protocol does not carry: InvalidRouteKinds; supportedKinds holds the rest", () => {
    const listeners = [
      tcp("only", 80, { kinds: [{ kind: "HTTPRoute" }] }),
      tcp("also", 81, { kinds: [{ kind: "HTTPRoute" }, { kind: "TCPRoute" }] }),
      tcp("group", 82, { kinds: [{ kind: "TCPRoute", group: "example.com" }] }),
    ];
    const result = attachAll(gateway({ listeners }), service("web"), route("TCPRoute", "r", [{ name: "gw" }]));
    for (const name of ["only", "also", "group"]) {
      expect(brief(listenerOf(result, name).conditions).ResolvedRefs).toBe("False InvalidRouteKinds");
    }
    expect(listenerOf(result, "only").supportedKinds).toEqual([]);
    expect(listenerOf(result, "group").supportedKinds).toEqual([]);
    expect(listenerOf(result, "also").supportedKinds).toEqual([
      { group: "gateway.networking.k8s.io", kind: "TCPRoute" },
    ]);
    expect(attachedNames(result)).toEqual(["r:also"]);
  });

  test("tls on a listener that passes flows unopened", () => {
    const result = attachAll(gateway({ listeners: [{ name: "a", protocol: "TCP", port: 80, tls: {} }] }));
    expect(brief(listenerOf(result, "a").conditions).Accepted).toBe("False UnsupportedValue");
  });
});

describe("parentRefs", () => {
  const gw = gateway({ listeners: [tcp("a", 80), tcp("b", 81), { name: "u", protocol: "UDP", port: 80 }] });

  test.each([
    ["whole Gateway: every TCP listener", {}, "r:a,b"],
    ["sectionName", { sectionName: "b" }, "r:b"],
    ["port", { port: 80 }, "r:a"],
    ["sectionName and port", { sectionName: "a", port: 80 }, "r:a"],
  ])("%s", (_name, ref, attached) => {
    const result = attachAll(gw, service("web"), route("TCPRoute", "r", [{ name: "gw", ...ref }]));
    expect(onlyReport(result)).toEqual(ACCEPTED);
    expect(attachedNames(result)).toEqual([attached]);
  });

  test.each([
    ["unknown sectionName", { sectionName: "z" }],
    ["unknown port", { port: 99 }],
    ["sectionName with another's port", { sectionName: "a", port: 81 }],
  ])("%s: NoMatchingParent", (_name, ref) => {
    const result = attachAll(gw, service("web"), route("TCPRoute", "r", [{ name: "gw", ...ref }]));
    expect(onlyReport(result).Accepted).toBe("False NoMatchingParent");
    expect(attachedNames(result)).toEqual([]);
  });

  test("a listener of another protocol: NotAllowedByListeners", () => {
    const result = attachAll(gw, service("web"), route("TCPRoute", "r", [{ name: "gw", sectionName: "u" }]));
    expect(onlyReport(result).Accepted).toBe("False NotAllowedByListeners");
    expect(result.gateways[0]?.listeners.map(({ attachedRoutes }) => attachedRoutes)).toEqual([0, 0, 0]);
  });

  test("other kinds, groups and unknown Gateways are not ours to report", () => {
    const refs = [{ name: "no" }, { name: "gw", kind: "Service", group: "" }, { name: "gw", group: "example.com" }];
    expect(attachAll(gw, route("TCPRoute", "r", refs)).routes).toEqual([]);
  });

  test("several parentRefs of one Gateway: one attached route, a report each, the same one counted once", () => {
    const refs = [
      { name: "gw", sectionName: "b" },
      { name: "gw", sectionName: "a" },
      { name: "gw", sectionName: "a" },
    ];
    const result = attachAll(gw, service("web"), route("TCPRoute", "r", refs));
    expect(attachedNames(result)).toEqual(["r:a,b"]);
    expect(result.routes.map(({ parentRef }) => parentRef.sectionName)).toEqual(["b", "a"]);
    expect(listenerOf(result, "a").attachedRoutes).toBe(1);
  });

  test("the parentRef's namespace, else the route's own", () => {
    const elsewhere = route("TCPRoute", "r", [{ name: "gw" }], undefined, { namespace: "apps" });
    expect(attachAll(gw, elsewhere).routes).toEqual([]);
    const named = route("TCPRoute", "r", [{ name: "gw", namespace: "infra" }], undefined, { namespace: "apps" });
    expect(onlyReport(attachAll(gw, named, service("web", "apps")))).toEqual(ACCEPTED);
  });
});

describe("allowedRoutes.namespaces", () => {
  const team: Manifest = { kind: "Namespace", metadata: { name: "apps", labels: { team: "x" } } };
  const from = (namespaces: unknown): Manifest => gateway({ listeners: [tcp("a", 80, { namespaces })] });
  const cases: [string, unknown, boolean][] = [
    ["Same (the default)", {}, false],
    ["All", { from: "All" }, true],
    ["None", { from: "None" }, false],
    ["Selector that matches", { from: "Selector", selector: { matchLabels: { team: "x" } } }, true],
    ["Selector that does not", { from: "Selector", selector: { matchLabels: { team: "y" } } }, false],
    ["Selector missing", { from: "Selector" }, false],
    [
      "Selector by name",
      { from: "Selector", selector: { matchLabels: { "kubernetes.io/metadata.name": "apps" } } },
      true,
    ],
  ];
  test.each(cases)("%s", (_name, namespaces, allowed) => {
    const result = attachAll(
      team,
      from(namespaces),
      service("web", "apps"),
      route("TCPRoute", "r", [{ name: "gw", namespace: "infra" }], undefined, { namespace: "apps" }),
    );
    expect(onlyReport(result).Accepted).toBe(allowed ? "True Accepted" : "False NotAllowedByListeners");
    expect(attachedNames(result)).toEqual(allowed ? ["r:a"] : []);
    if (!allowed) expect(result.routes[0]?.conditions[0]?.message).toContain("namespace apps");
  });

  test("None refuses the Gateway's own namespace, too", () => {
    const result = attachAll(from({ from: "None" }), service("web"), route("TCPRoute", "r", [{ name: "gw" }]));
    expect(onlyReport(result).Accepted).toBe("False NotAllowedByListeners");
  });
});

describe("several routes on one listener", () => {
  const gw = gateway({ listeners: [tcp("a", 80), tcp("b", 81)] });
  const at = (name: string, creationTimestamp: string, refs: unknown[] = [{ name: "gw", sectionName: "a" }]) =>
    route("TCPRoute", name, refs, undefined, { creationTimestamp });

  test("both are Accepted and counted, the oldest gets the traffic, the other one is told", () => {
    const result = attachAll(
      gw,
      service("web"),
      at("young", "2026-02-01T00:00:00Z", [{ name: "gw" }]),
      at("old", "2026-01-01T00:00:00Z"),
    );
    const byName = Object.fromEntries(result.routes.map((r) => [r.route.metadata.name, r.conditions]));
    expect(brief(byName.old ?? [])).toEqual(ACCEPTED);
    expect(brief(byName.young ?? [])).toEqual({ ...ACCEPTED, [SUPERSEDED_CONDITION]: "True OlderRouteWins" });
    expect(byName.young?.at(-1)?.message).toContain("TCPRoute infra/old");
    expect(listenerOf(result, "a").attachedRoutes).toBe(2);
    expect(attachedNames(result)).toEqual(["old:a", "young:b"]);
  });

  test("of the same age: by namespace and name", () => {
    const time = "2026-01-01T00:00:00Z";
    const result = attachAll(gw, service("web"), at("r2", time), at("r1", time), at("r3", time));
    expect(attachedNames(result)).toEqual(["r1:a"]);
    expect(listenerOf(result, "a").attachedRoutes).toBe(3);
  });
});

test("the order of the objects does not matter", () => {
  const time = (n: number): string => `2026-01-0${1 + (n % 3)}T00:00:00Z`;
  const manifests: Manifest[] = [
    CLASS,
    PARAMETERS,
    gateway({ listeners: [tcp("a", 80), tcp("b", 81), { name: "u", protocol: "UDP", port: 80 }] }),
    service("web"),
    ...[0, 1, 2, 3, 4, 5].flatMap((n) => [
      route("TCPRoute", `t${n}`, [{ name: "gw" }], undefined, { creationTimestamp: time(n) }),
      route("UDPRoute", `t${n}`, [{ name: "gw" }], undefined, { creationTimestamp: time(n) }),
      flow(`t${n}`, [{ name: "gw" }]),
    ]),
  ];
  const expected = attach(viewOf(manifests));
  fc.assert(
    fc.property(fc.shuffledSubarray(manifests, { minLength: manifests.length }), (shuffled) => {
      expect(attach(viewOf(shuffled))).toEqual(expected);
    }),
    { numRuns: 50 },
  );
});
