import fc from "fast-check";
import { describe, expect, test } from "vitest";
import {
  type EndpointSlice,
  endpointSliceSchema,
  type Pod,
  podSchema,
  type Service,
  serviceSchema,
} from "#shared/api/core.ts";
import { NETWORK_STATUS_ANNOTATION, SERVICE_NETWORK_ANNOTATION, SERVICE_PROXY_LABEL } from "#shared/api/names.ts";
import { planSlices as planSlicesAt, type SlicePlan } from "./plan-slices.ts";

/** Half a minute before the grace period of a terminating pod ends. */
const NOW_MS = Date.parse("2025-12-31T23:59:30Z");
function planSlices(
  service: Service | undefined,
  pods: readonly Pod[],
  existing: readonly EndpointSlice[],
  nowMs = NOW_MS,
): SlicePlan {
  return planSlicesAt(service, pods, existing, nowMs);
}

function service(spec: Record<string, unknown> = {}, annotation: string | undefined = "blue", name = "web"): Service {
  return serviceSchema.parse({
    apiVersion: "v1",
    kind: "Service",
    metadata: {
      name,
      namespace: "apps",
      uid: "service-uid",
      labels: { [SERVICE_PROXY_LABEL]: "causeway" },
      annotations: annotation === "" ? {} : { [SERVICE_NETWORK_ANNOTATION]: annotation },
    },
    spec: { selector: { app: "web" }, ports: [{ name: "http", port: 80, targetPort: 8080 }], ...spec },
  });
}

interface PodWish {
  ips?: readonly string[];
  ready?: boolean;
  terminating?: boolean;
  phase?: string;
  annotation?: string;
  ports?: readonly unknown[];
  spec?: Record<string, unknown>;
  labels?: Record<string, string>;
}
function pod(name: string, wish: PodWish = {}): Pod {
  const ips = wish.ips ?? [`10.0.0.${Number(name.replace(/\D/g, "")) % 250}`];
  return podSchema.parse({
    apiVersion: "v1",
    kind: "Pod",
    metadata: {
      name,
      namespace: "apps",
      uid: `uid-${name}`,
      labels: { app: "web", ...wish.labels },
      annotations: { [NETWORK_STATUS_ANNOTATION]: wish.annotation ?? JSON.stringify([{ name: "apps/blue", ips }]) },
      ...(wish.terminating ? { deletionTimestamp: "2026-01-01T00:00:00Z" } : {}),
    },
    spec: { nodeName: "n1", containers: [{ name: "c", ports: wish.ports ?? [] }], ...wish.spec },
    status: {
      phase: wish.phase ?? "Running",
      conditions: [{ type: "Ready", status: (wish.ready ?? true) ? "True" : "False" }],
    },
  });
}

/** What the store holds after the plan, read back through the schema as a store would. */
function carryOut(existing: readonly EndpointSlice[], plan: SlicePlan): EndpointSlice[] {
  const slices = new Map(existing.map((slice) => [slice.metadata.name, slice]));
  for (const name of plan.delete) slices.delete(name);
  for (const slice of plan.apply) slices.set(slice.metadata.name, endpointSliceSchema.parse(structuredClone(slice)));
  return [...slices.values()].sort((a, b) => (a.metadata.name < b.metadata.name ? -1 : 1));
}
const addressesOf = (slices: readonly EndpointSlice[]): string[] =>
  slices.flatMap(({ endpoints }) => endpoints.flatMap(({ addresses }) => addresses)).sort();

describe("slices", () => {
  test("what a slice says", () => {
    const labels = { "topology.kubernetes.io/zone": "z1" };
    const spec = { hostname: "h", subdomain: "web" };
    const plan = planSlices(service(), [pod("p1", { labels, spec })], []);
    expect(plan).toMatchObject({ delete: [], targets: 1, problems: [] });
    expect(plan.apply).toHaveLength(1);
    expect(plan.apply[0]).toMatchObject({
      metadata: {
        namespace: "apps",
        labels: {
          "kubernetes.io/service-name": "web",
          "endpointslice.kubernetes.io/managed-by": "causeway.dev",
          "service.kubernetes.io/service-proxy-name": "causeway",
        },
        ownerReferences: [{ kind: "Service", name: "web", uid: "service-uid", controller: true }],
      },
      addressType: "IPv4",
      ports: [{ name: "http", protocol: "TCP", port: 8080 }],
      endpoints: [
        {
          addresses: ["10.0.0.1"],
          conditions: { ready: true, serving: true, terminating: false },
          hostname: "h",
          nodeName: "n1",
          zone: "z1",
          targetRef: { kind: "Pod", namespace: "apps", name: "p1", uid: "uid-p1" },
        },
      ],
    });
  });

  test.each([
    ["ready", {}, {}, { ready: true, serving: true, terminating: false }],
    ["not ready", { ready: false }, {}, { ready: false, serving: false, terminating: false }],
    ["terminating", { terminating: true }, {}, { ready: false, serving: true, terminating: true }],
    [
      "publishNotReadyAddresses",
      { ready: false, terminating: true },
      { publishNotReadyAddresses: true },
      { ready: true, serving: false, terminating: true },
    ],
  ])("conditions: %s", (_name, wish, spec, conditions) => {
    expect(planSlices(service(spec), [pod("p1", wish)], []).apply[0]?.endpoints[0]?.conditions).toEqual(conditions);
  });

  test("pods that have ended are no targets; one that is pending has no addresses yet", () => {
    const pods = [
      pod("p1", { phase: "Succeeded" }),
      pod("p2", { phase: "Failed" }),
      pod("p3", { phase: "Pending", annotation: "[]" }),
    ];
    expect(planSlices(service(), pods, [])).toMatchObject({ apply: [], delete: [], targets: 0, problems: [] });
  });

  test("a terminating pod stays until its grace period is over, and the plan says when that is", () => {
    const pods = [pod("p1", { terminating: true }), pod("p2")];
    const before = planSlices(service(), pods, []);
    const slices = carryOut([], before);
    expect(addressesOf(slices)).toEqual(["10.0.0.1", "10.0.0.2"]);
    // Half a minute of grace, and 10 s for kubelets and clocks that are late.
    expect(before.againMs).toBe(40_000);
    const last = planSlices(service(), pods, slices, NOW_MS + 39_999);
    expect(last).toMatchObject({ apply: [], delete: [], againMs: 1 });
    const over = planSlices(service(), pods, slices, NOW_MS + 40_000);
    expect(over.againMs).toBeUndefined();
    expect(addressesOf(carryOut(slices, over))).toEqual(["10.0.0.2"]);
  });

  test("a time of deletion that is none is refused", () => {
    const metadata = { name: "p1", deletionTimestamp: "soon" };
    const { error } = podSchema.safeParse({ apiVersion: "v1", kind: "Pod", metadata });
    expect(error?.issues[0]).toMatchObject({
      path: ["metadata", "deletionTimestamp"],
      message: "must be a time like 2026-01-31T12:00:00Z",
    });
  });

  test("a set of slices for each family", () => {
    const plan = planSlices(service(), [pod("p1", { ips: ["10.0.0.1", "2001:db8::1"] }), pod("p2")], []);
    expect(plan.apply.map(({ addressType, endpoints }) => [addressType, endpoints.length])).toEqual([
      ["IPv4", 2],
      ["IPv6", 1],
    ]);
  });

  test("named ports are resolved for each pod; other numbers, other slices; a pod without the port is reported", () => {
    const ports = (containerPort: number): unknown[] => [
      { name: "web", containerPort: 1, protocol: "UDP" },
      { name: "web", containerPort },
    ];
    const named = service({ ports: [{ name: "http", port: 80, targetPort: "web" }] });
    const plan = planSlices(named, [pod("p1", { ports: ports(81) }), pod("p2", { ports: ports(82) }), pod("p3")], []);
    const found = plan.apply.map(({ ports: used, endpoints }) => [
      used.map(({ port }) => port),
      endpoints.map(({ targetRef }) => targetRef?.name),
    ]);
    expect(found).toEqual(
      expect.arrayContaining([
        [[81], ["p1"]],
        [[82], ["p2"]],
        [[], ["p3"]],
      ]),
    );
    expect(plan.problems).toEqual(["Pod apps/p3: no container has a TCP port named web"]);
  });

  test("targetPort absent: the Service's port; a port without a name", () => {
    expect(planSlices(service({ ports: [{ port: 53, protocol: "UDP" }] }), [pod("p1")], []).apply[0]?.ports).toEqual([
      { name: "", protocol: "UDP", port: 53 },
    ]);
  });

  test("a pod whose annotation is bad is reported by name; the others are targets", () => {
    const plan = planSlices(
      service(),
      [pod("p1", { annotation: "{" }), pod("p2"), pod("p3", { annotation: "[]" })],
      [],
    );
    expect(addressesOf(plan.apply)).toEqual(["10.0.0.2"]);
    expect(plan.problems).toHaveLength(2);
    expect(plan.problems[0]).toMatch(/^Pod apps\/p1: annotation k8s.v1.cni.cncf.io\/network-status does not parse/);
    expect(plan.problems[1]).toMatch(/^Pod apps\/p3: .*does not list apps\/blue/);
  });
});

describe("life of the slices", () => {
  const existing = carryOut([], planSlices(service(), [pod("p1"), pod("p2")], []));

  test("nothing changes: nothing is written", () => {
    expect(planSlices(service(), [pod("p2"), pod("p1")], existing)).toMatchObject({ apply: [], delete: [] });
  });

  test.each([
    ["the Service is gone", undefined],
    ["the annotation is gone", service({}, "")],
    ["the selector is gone", service({ selector: {} })],
  ])("%s: they go", (_name, now) => {
    expect(planSlices(now, [pod("p1")], existing).delete).toEqual(existing.map(({ metadata }) => metadata.name));
  });

  test("an annotation that does not parse is reported and changes nothing", () => {
    const plan = planSlices(service({}, "a/b/c"), [pod("p1")], existing);
    expect(plan).toMatchObject({ apply: [], delete: [], targets: 2 });
    expect(plan.problems[0]).toContain('"a/b/c"');
  });

  test("the last pod goes, the port changes: the old slices go", () => {
    const old = existing.map(({ metadata }) => metadata.name);
    expect(planSlices(service(), [], existing)).toMatchObject({ apply: [], delete: old });
    const moved = planSlices(service({ ports: [{ name: "http", port: 80, targetPort: 9 }] }), [pod("p1")], existing);
    expect(moved.delete).toEqual(old);
    expect(moved.apply).toHaveLength(1);
  });

  test("a new uid of the Service is written to the owner references", () => {
    const recreated = service();
    recreated.metadata.uid = "other";
    expect(planSlices(recreated, [pod("p1"), pod("p2")], existing).apply).toHaveLength(1);
  });

  test("at most 100 in a slice; one more pod touches one slice, one pod less another", () => {
    const pods = Array.from({ length: 250 }, (_, index) =>
      pod(`p${index}`, { ips: [`10.9.${index >> 7}.${index & 127}`] }),
    );
    const slices = carryOut([], planSlices(service(), pods, []));
    expect(slices.map(({ endpoints }) => endpoints.length).sort()).toEqual([100, 100, 50]);
    const added = planSlices(service(), [...pods, pod("q1")], slices);
    expect(added.apply.map(({ endpoints }) => endpoints.length)).toEqual([51]);
    const removed = planSlices(service(), pods.slice(1), slices);
    expect(removed.apply.map(({ endpoints }) => endpoints.length)).toEqual([99]);
    const replaced = planSlices(service(), [...pods.slice(1), pod("q1")], slices);
    expect(replaced.apply.map(({ endpoints }) => endpoints.length)).toEqual([100]);
  });

  test("a new pod goes where a write is due anyway, else where it is fullest", () => {
    const pods = Array.from({ length: 200 }, (_, index) => pod(`p${index}`, { ips: [`10.9.1.${index}`] }));
    const [first, second] = carryOut([], planSlices(service(), pods, []));
    if (first === undefined || second === undefined) throw new Error("two slices expected");
    const slices = [
      { ...first, endpoints: first.endpoints.slice(0, 30) },
      { ...second, endpoints: second.endpoints.slice(0, 60) },
    ];
    const names = new Set(slices.flatMap(({ endpoints }) => endpoints.map(({ targetRef }) => targetRef?.name)));
    const there = pods.filter(({ metadata }) => names.has(metadata.name));
    const newcomer = pod("q1", { ips: ["10.9.2.1"] });
    const written = (from: readonly Pod[]) =>
      planSlices(service(), from, slices).apply.map(({ metadata, endpoints }) => [metadata.name, endpoints.length]);
    expect(written([...there, newcomer])).toEqual([[second.metadata.name, 61]]);
    const left = there.filter(({ metadata }) => metadata.name !== first.endpoints[0]?.targetRef?.name);
    expect(written([...left, newcomer])).toEqual([[first.metadata.name, 30]]);
  });

  test("a slice that somebody overfilled is put right", () => {
    const pods = Array.from({ length: 130 }, (_, index) => pod(`p${index}`, { ips: [`10.9.1.${index}`] }));
    const [first, second] = carryOut([], planSlices(service(), pods, []));
    if (first === undefined || second === undefined) throw new Error("two slices expected");
    const overfull = { ...first, endpoints: [...first.endpoints, ...second.endpoints] };
    const after = carryOut([overfull], planSlices(service(), pods, [overfull]));
    expect(after.every(({ endpoints }) => endpoints.length <= 100)).toBe(true);
    expect(new Set(addressesOf(after)).size).toBe(130);
  });

  test("names do not meet, however alike the Services' names are", () => {
    const names = ["web", "web-1", `${"x".repeat(232)}-a`, `${"x".repeat(232)}-b`].map(
      (name) => planSlices(service({}, "blue", name), [pod("p1")], []).apply[0]?.metadata.name ?? "",
    );
    expect(new Set(names).size).toBe(4);
    expect(names.every((name) => name.length <= 253)).toBe(true);
  });
});

test("any history ends in slices that hold exactly the targets, and is at rest then", () => {
  const wish = fc.record({
    ready: fc.boolean(),
    terminating: fc.boolean(),
    ips: fc.constantFrom(["10.0.1.1"], ["10.0.1.1", "2001:db8::1"], ["2001:db8::1"]),
    ports: fc.constantFrom([{ name: "web", containerPort: 81 }], [{ name: "web", containerPort: 82 }], []),
  });
  const cluster = fc.dictionary(
    fc.integer({ min: 0, max: 300 }).map((n) => `p${n}`),
    wish,
    { maxKeys: 260, size: "max" },
  );
  const named = service({ ports: [{ name: "http", port: 80, targetPort: "web" }] });
  fc.assert(
    fc.property(fc.array(cluster, { minLength: 1, maxLength: 4 }), (history) => {
      let slices: EndpointSlice[] = [];
      for (const state of history) {
        const pods = Object.entries(state).map(([name, one]) =>
          pod(name, { ...one, ips: one.ips.map((address) => address.replace(/1$/, `${Number(name.slice(1)) % 200}`)) }),
        );
        const plan = planSlices(named, pods, slices);
        slices = carryOut(slices, plan);
        const held = slices.flatMap(({ addressType, endpoints }) =>
          endpoints.map(({ targetRef }) => `${addressType} ${targetRef?.name}`),
        );
        const wanted = Object.entries(state).flatMap(([name, { ips }]) =>
          ips.map((address) => `${address.includes(":") ? "IPv6" : "IPv4"} ${name}`),
        );
        expect(held.sort()).toEqual(wanted.sort());
        expect(slices.every(({ endpoints }) => endpoints.length > 0 && endpoints.length <= 100)).toBe(true);
        expect(planSlices(named, [...pods].reverse(), slices)).toMatchObject({ apply: [], delete: [] });
      }
    }),
    { numRuns: 40 },
  );
}, 60_000);
