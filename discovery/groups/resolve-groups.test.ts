import { describe, expect, it } from "vitest";
import { GROUP_WEIGHT_ANNOTATION, NETWORK_STATUS_ANNOTATION } from "#shared/api/names.ts";
import { type Manifest, viewOf } from "#shared/resolve/objects.fixture.ts";
import { resolveGroups } from "./resolve-groups.ts";

const service = (name: string, selector: Readonly<Record<string, string>> = { app: name }): Manifest => ({
  kind: "Service",
  metadata: {
    name,
    labels: { "service.kubernetes.io/service-proxy-name": "causeway" },
    annotations: { "k8s.v1.cni.cncf.io/service-network": "cell" },
  },
  spec: { selector, ports: [{ port: 7400, protocol: "UDP" }] },
});

interface PodFacts {
  readonly app?: string;
  readonly annotations?: Readonly<Record<string, string>>;
  readonly deletionTimestamp?: string;
  readonly phase?: string;
}

const pod = (
  number: number,
  { annotations, app = "planner", deletionTimestamp, phase = "Running" }: PodFacts = {},
): Manifest => ({
  kind: "Pod",
  metadata: {
    name: `p-${number}`,
    labels: { app },
    annotations: {
      [NETWORK_STATUS_ANNOTATION]: JSON.stringify([
        { name: "default/cell", interface: "net1", ips: [`10.0.0.${number}`] },
      ]),
      ...annotations,
    },
    ...(deletionTimestamp === undefined ? {} : { deletionTimestamp }),
  },
  status: { phase },
});

const slice = (conditions: Readonly<Record<number, object>>): Manifest => ({
  kind: "EndpointSlice",
  metadata: { name: "planner-1", labels: { "kubernetes.io/service-name": "planner" } },
  addressType: "IPv4",
  endpoints: Object.entries(conditions).map(([number, each]) => ({
    addresses: [`10.0.0.${number}`],
    conditions: each,
    targetRef: { kind: "Pod", name: `p-${number}` },
  })),
  ports: [{ name: "", protocol: "UDP", port: 7400 }],
});

function resolve(serviceGroups: readonly object[], objects: readonly Manifest[]) {
  const domain: Manifest = {
    kind: "DiscoveryDomain",
    metadata: { name: "cell" },
    spec: { networks: [{ network: "cell", interface: "net1" }], serviceGroups },
  };
  const view = viewOf([domain, ...objects]);
  const [object] = view.list("DiscoveryDomain");
  if (object === undefined) throw new Error("no object");
  return resolveGroups(object, view);
}

const planner = [{ service: "planner" }];

describe("members", () => {
  it("are the pods that the Service selects, with the states of its slices", () => {
    const { groups, problems } = resolve(planner, [
      service("planner"),
      pod(1),
      pod(2),
      pod(3),
      pod(4, { app: "other" }),
      pod(5, { deletionTimestamp: "2026-01-01T00:00:00Z" }),
      pod(6, { phase: "Succeeded" }),
      pod(7),
      slice({
        1: { ready: true },
        2: { ready: false, serving: true, terminating: true },
        3: { ready: false },
        5: { ready: true },
        6: { ready: true },
      }),
    ]);
    expect(problems).toEqual([]);
    const [group] = groups;
    expect([...(group?.members ?? [])].map(([name, { state }]) => `${name} ${state}`)).toEqual([
      "default/p-1 Ready",
      "default/p-2 Draining",
      "default/p-3 NotReady",
      // Its deletion is known before its slice says so.
      "default/p-5 Draining",
      // Nobody has published it yet.
      "default/p-7 NotReady",
    ]);
    expect(group?.members.get("default/p-1")?.addresses).toEqual(["10.0.0.1"]);
  });

  it("have the weight that their annotation says; one that says nothing sensible counts as 1, and is told of", () => {
    const weight = (text: string): PodFacts => ({ annotations: { [GROUP_WEIGHT_ANNOTATION]: text } });
    const pods = [pod(1, weight("3")), pod(2, weight("0")), pod(3, weight("-1")), pod(4, weight("1001"))];
    const { groups, problems } = resolve(planner, [service("planner"), ...pods]);
    expect([...(groups[0]?.members.values() ?? [])].map((member) => member.weight)).toEqual([3, 0, 1, 1]);
    expect(problems).toHaveLength(2);
    expect(problems[0]).toBe(
      'spec.serviceGroups[0].service: annotation causeway.dev/group-weight of Pod default/p-3 is "-1", which is no whole ' +
        "number from 0 to 1000; it counts as 1",
    );
  });
});

describe("what makes no sense is told with field and fix, and disturbs no other group", () => {
  it.each<[string, readonly Manifest[], RegExp]>([
    [
      "a Service that is not there",
      [],
      /^spec\.serviceGroups\[0\]\.service: there is no Service default\/bad; create it, or name another one$/,
    ],
    [
      "a Service without a service network",
      [{ kind: "Service", metadata: { name: "bad" }, spec: { selector: { app: "bad" } } }],
      /is no service-i; it lacks the label service\.kubernetes\.io\/service-proxy-name: causeway$/,
    ],
    ["a Service without a selector", [service("bad", {})], /it lacks spec\.selector, by which its pods are found$/],
    [
      "a Service without pods",
      [service("bad")],
      /selects no pod, so nobody is introduced to its group; compare spec\.selector/,
    ],
  ])("%s", (_, objects, message) => {
    const { groups, problems } = resolve(
      [{ service: "bad" }, { service: "planner" }],
      [service("planner"), pod(1), ...objects],
    );
    expect(problems).toHaveLength(1);
    expect(problems[0]).toMatch(message);
    expect(groups.find((group) => group.service === "planner")?.members.size).toBe(1);
  });

  it("a pod that two Services select is a member of the first group", () => {
    const { groups, problems } = resolve(
      [{ service: "planner" }, { service: "second" }],
      [service("planner"), service("second", { app: "planner" }), pod(1)],
    );
    expect(groups.map(({ members }) => members.size)).toEqual([1, 0]);
    expect(problems[0]).toMatch(
      /^spec\.serviceGroups\[1\]\.service: Pod default\/p-1 is a member of the group of Service default\/planner already/,
    );
  });
});
