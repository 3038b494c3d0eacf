import { describe, expect, it } from "vitest";
import { BUILT_IN, intentOf, type ScenarioOptions, scenario, service, slice } from "../../test/support/scenario.ts";
import type { AnyObject } from "../api/kinds.ts";
import type { Intent } from "./intent-types.ts";
import { isPrimary, PRIMARY_NETWORK, tracksConnections } from "./primary-network.ts";

const LISTENERS = [
  { protocol: "TCP", port: 8080 },
  { protocol: "TCP", port: 9090 },
] as const;
const legs = (intent: Intent): string[] => [...intent.legs.values()].map(({ key }) => key).sort();
const reasons = ({ problems }: Intent): string[] => problems.map(({ reason }) => reason);
const ordinary: ScenarioOptions = { listeners: LISTENERS, targets: 1, vips: ["198.51.100.10"], ordinary: () => true };
const pod = (address: string): ReadonlyMap<string, string> => new Map([["pod-1", address]]);

/** The slice beside the scenario's own. */
function another(made: AnyObject): AnyObject {
  if (made.kind !== "EndpointSlice") throw new TypeError("not a slice");
  return { ...made, metadata: { ...made.metadata, name: `${made.metadata.name}-another` } };
}

describe("ordinary Services", () => {
  it.each(["DSR", "NAT"] as const)(
    "are reached on the primary network, in mode %s, at their own port",
    async (mode) => {
      const intent = await intentOf(scenario({ ...ordinary, mode, targetPort: 80 }));
      expect(legs(intent)).toEqual(["default/pod-1@primary network:tcp/80"]);
      const [leg] = intent.legs.values();
      expect(leg).toMatchObject({
        network: PRIMARY_NETWORK,
        addresses: { 4: "10.244.0.1" },
        port: 80,
        protocol: "TCP",
        state: "accepting",
      });
      // Two of the Gateway's ports lead to one port of a target: what is tracked can be told apart.
      expect(reasons(intent)).toEqual([]);
      expect(intent.flows.map(({ readyTargets }) => readyTargets)).toEqual([1, 1]);
    },
  );

  it("stand beside service-is on one Gateway: each has its own slices, and a pod may be a target of both", async () => {
    const store = scenario({ ...ordinary, ordinary: (index) => index === 0 });
    // As they are in a cluster: the built-in controller publishes for every selector; ours outlive an annotation for a moment.
    const ours = { "endpointslice.kubernetes.io/managed-by": "causeway.dev" };
    store.put(another(slice("tcp-8080", 4, 8080, "TCP", pod("10.1.0.9"), new Set(), ours)));
    store.put(another(slice("tcp-9090", 4, 9090, "TCP", pod("10.244.0.9"), new Set(), BUILT_IN)));
    const intent = await intentOf(store);
    expect(tracksConnections(intent)).toBe(true);
    const found = [...intent.legs.values()].map((leg) => [isPrimary(leg), leg.target, leg.addresses[4]]);
    expect(found.sort()).toEqual([
      [false, "default/pod-1", "10.1.0.1"],
      [true, "default/pod-1", "10.244.0.1"],
    ]);
  });

  it("have EndpointSlices by hand, with addresses that are no pods'", async () => {
    const store = scenario(ordinary);
    const made = slice("tcp-8080", 4, 8443, "TCP", pod("192.0.2.80"));
    if (made.kind !== "EndpointSlice") throw new TypeError("not a slice");
    store.put({ ...made, endpoints: made.endpoints.map(({ targetRef: _, ...endpoint }) => endpoint) });
    expect(legs(await intentOf(store))).toEqual([
      "192.0.2.80@primary network:tcp/8443",
      "default/pod-1@primary network:tcp/9090",
    ]);
  });

  it("a pod without the Service's port is no target", async () => {
    const store = scenario(ordinary);
    const made = slice("tcp-8080", 4, 8443, "TCP", pod("10.244.0.1"), new Set(), BUILT_IN);
    if (made.kind !== "EndpointSlice") throw new TypeError("not a slice");
    store.put({ ...made, ports: [] });
    const intent = await intentOf(store);
    expect(intent.flows.map(({ readyTargets }) => readyTargets)).toEqual([0, 1]);
  });

  it("are carried TCP and UDP; of SCTP it is said", async () => {
    const store = scenario({
      ...ordinary,
      flowRoutes: [
        {
          name: "both",
          spec: { match: { protocols: ["TCP", "SCTP"] }, backendRefs: [{ name: "signalling", port: 99 }] },
        },
      ],
    });
    const both = service("signalling", 99, "TCP", { annotations: {} });
    if (both.kind !== "Service") throw new TypeError("not a Service");
    const ports = [
      { name: "t", port: 99, protocol: "TCP" as const },
      { name: "s", port: 99, protocol: "SCTP" as const },
    ];
    store.put({ ...both, spec: { ...both.spec, ports } });
    const intent = await intentOf(store);
    expect(reasons(intent)).toEqual(["UnsupportedProtocol"]);
    expect(intent.problems[0]?.message).toMatch(
      /^port 99\/SCTP of Service default\/signalling is on the primary network/,
    );
  });
});
