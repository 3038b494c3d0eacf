import fc from "fast-check";
import { expect, test } from "vitest";
import type { EndpointSlice } from "#shared/api/core.ts";
import { attach } from "#shared/resolve/attach.ts";
import { resolveIntent } from "#shared/resolve/intent.ts";
import type { MemoryStore } from "#shared/store/memory-store.ts";
import type { ObjectView } from "#shared/store/object-store.ts";
import { scenario, service, viewOf } from "../test/support/scenario.ts";
import { ForwardingProblems } from "./forwarding-problems.ts";

const PORTS = [80, 81, 82];

/** What is found wrong, as the routes' conditions say it. */
function found(problems: ForwardingProblems, view: ObjectView): readonly unknown[] {
  const { routes } = attach(view);
  return routes.map((report) => [report.route.metadata.name, problems.conditionsOf(report)]);
}

const listeners = PORTS.map((port) => ({ protocol: "TCP", port }) as const);
/** Routes that lead to the same targets, by NAT to targets of their own, too, and to an ordinary Service beside others. */
const worlds: Readonly<Record<string, () => MemoryStore>> = {
  DSR: () => scenario({ mode: "DSR", targets: 3, listeners }),
  NAT: () => scenario({ mode: "NAT", targets: 3, listeners, targetPort: 80 }),
  "NAT, targets apart": () =>
    scenario({ mode: "NAT", listeners, targetPort: 80, targetsOf: (at) => [1, 2].map((n) => 2 * at + n) }),
  "an ordinary Service": () =>
    scenario({ mode: "NAT", targets: 3, listeners, targetPort: 80, ordinary: (at) => at === 0 }),
};

interface Change {
  readonly slice: number;
  readonly endpoint: number;
  readonly what: "ready" | "port" | "gone" | "address" | "network";
  readonly to: number;
}
const change: fc.Arbitrary<Change> = fc.record({
  slice: fc.nat(5),
  endpoint: fc.nat(2),
  what: fc.constantFrom("ready", "port", "gone", "address", "network"),
  to: fc.nat(3),
});

/** @param others All slices: an address may be taken from one of them. */
function changed(
  slice: EndpointSlice,
  others: readonly EndpointSlice[],
  { endpoint, what, to }: Change,
): EndpointSlice {
  const other = slice.endpoints.map((one, at) => {
    if (at !== endpoint) return one;
    if (what === "ready") return { ...one, conditions: { ready: to > 1, serving: to > 0, terminating: to === 1 } };
    const taken = others.filter(({ addressType }) => addressType === slice.addressType)[to]?.endpoints[0];
    return what === "address" ? { ...one, addresses: taken?.addresses ?? one.addresses } : one;
  });
  if (what === "gone") return { ...slice, endpoints: other.filter((_, at) => at !== endpoint) };
  return what === "port"
    ? { ...slice, ports: slice.ports.map((port) => ({ ...port, port: PORTS[to] ?? 79 })) }
    : { ...slice, endpoints: other };
}

test.each(Object.entries(worlds))("%s: after any changes it knows what it would find anew", async (_, world) => {
  await fc.assert(
    fc.asyncProperty(fc.array(change, { maxLength: 12 }), async (changes) => {
      const store = world();
      const view = await viewOf(store);
      const kept = new ForwardingProblems();
      for (const one of [undefined, ...changes]) {
        const slice = view.list("EndpointSlice")[one?.slice ?? 0];
        if (one?.what === "network") {
          const annotations = { "k8s.v1.cni.cncf.io/service-network": one.to > 1 ? "svc-net" : "elsewhere" };
          store.put(service(`tcp-${PORTS[one.slice % 3]}`, PORTS[one.slice % 3] ?? 0, "TCP", { annotations }));
        } else if (one !== undefined && slice !== undefined) {
          store.put(changed(slice, view.list("EndpointSlice"), one));
        }
        const before = found(kept, view);
        const isSlice = one !== undefined && one.what !== "network" && slice !== undefined;
        const { namespace = "", name = "" } = slice?.metadata ?? {};
        const concerns = !isSlice || kept.concerns(name, view.get("EndpointSlice", namespace, name));
        const isNew = concerns && kept.refresh(attach(view), view.list("EndpointSlice"));
        const anew = new ForwardingProblems();
        anew.refresh(attach(view), view.list("EndpointSlice"));
        expect(found(kept, view)).toEqual(found(anew, view));
        if (!isNew) expect(found(kept, view)).toEqual(before);
      }
    }),
    { numRuns: 60 },
  );
});

test.each([
  { world: "DSR", resolvedAgain: 0 },
  { world: "NAT, targets apart", resolvedAgain: 0 },
  // Whether a target's port has one owner depends on who takes flows.
  { world: "NAT", resolvedAgain: 1 },
])("$world: a pod's readiness has $resolvedAgain Gateways looked into, a changed port has one", async (each) => {
  const store = worlds[each.world]?.();
  if (store === undefined) throw new TypeError(`no world ${each.world}`);
  const view = await viewOf(store);
  let resolved = 0;
  const problems = new ForwardingProblems((...args) => {
    resolved += 1;
    return resolveIntent(...args);
  });
  const look = (): number => {
    resolved = 0;
    problems.refresh(attach(view), view.list("EndpointSlice"));
    return resolved;
  };
  expect([look(), look()]).toEqual([1, 0]);
  const first = { slice: 0, endpoint: 0 } as const;
  const [slice] = view.list("EndpointSlice");
  if (slice === undefined) throw new TypeError("no slice");
  store.put(changed(slice, [], { ...first, what: "ready", to: 0 }));
  expect(look()).toBe(each.resolvedAgain);
  store.put(changed(slice, [], { ...first, what: "port", to: 3 }));
  expect(look()).toBe(1);
});
