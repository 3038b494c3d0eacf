import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { addressKey, type InterfaceAddress } from "./addresses.ts";
import type { Plan } from "./apply-plan.ts";
import { planAddresses } from "./plan-addresses.ts";
import { planRoutes } from "./plan-routes.ts";
import { planRules } from "./plan-rules.ts";
import { type CanonicalRoute, canonicalRoute, isGatewayRoute, type Route, routeKey, routeText } from "./routes.ts";
import { type Rule, ruleText } from "./rules.ts";

const hopV4 = fc.record({
  gateway: fc.constantFrom("192.0.2.1", "192.0.2.2", "192.0.2.3"),
  weight: fc.integer({ min: 1, max: 3 }),
});
const hopV6 = fc.record({
  gateway: fc.constantFrom("fe80::1", "FE80::0:2", "fe80::3"),
  ifindex: fc.constantFrom(2, 3),
});
const device = fc.record({ ifindex: fc.constantFrom(2, 3) });
const metric = fc.option(fc.constantFrom(0, 5, 1024), { nil: undefined });
const table = fc.constantFrom(100, 4_000_000_000);

const route: fc.Arbitrary<Route> = fc.oneof(
  fc.record({
    destination: fc.constantFrom("10.0.0.0/8", "0.0.0.0/0"),
    table,
    metric,
    nextHops: fc.array(hopV4, { minLength: 1, maxLength: 3 }),
  }),
  fc.record({
    destination: fc.constantFrom("fd00::/8", "::/0"),
    table,
    metric,
    nextHops: fc.array(hopV6, { minLength: 1, maxLength: 3 }),
  }),
  fc.record({
    destination: fc.constantFrom("10.0.0.0/8", "FD00:0::/8"),
    table,
    metric,
    nextHops: fc.array(device, { minLength: 1, maxLength: 1 }),
  }),
  fc.record({
    destination: fc.constantFrom("10.0.0.0/8", "fd00::/8"),
    table,
    metric,
    type: fc.constantFrom("unreachable", "blackhole"),
    nextHops: fc.constant([]),
  }),
);
const keyOf = (value: Route) => routeKey(canonicalRoute(value));
const textOf = (value: Route) => routeText(canonicalRoute(value));
const desiredRoutes = fc.uniqueArray(route, { selector: keyOf, maxLength: 8 });
/** What the kernel may hold: several routes of one key, but of IPv6 gateway routes one (they merge), and no twins. */
const actualRoutes = fc.uniqueArray(route, {
  selector: (value) => {
    const canonical = canonicalRoute(value);
    return canonical.family === 6 && isGatewayRoute(canonical) ? `${keyOf(value)} ecmp` : textOf(value);
  },
  maxLength: 12,
});

/** The kernel's rules for add, replace and delete; calls back after each step with what is there. */
function applyToModel(plan: Plan<CanonicalRoute>, actual: readonly Route[], step: (there: CanonicalRoute[]) => void) {
  const there = actual.map(canonicalRoute);
  for (const added of plan.add) {
    expect(there.map(routeKey)).not.toContain(routeKey(added));
    there.push(added);
    step(there);
  }
  for (const next of plan.replace) {
    const same = there.filter((candidate) => routeKey(candidate) === routeKey(next));
    const alike = same.find(
      (candidate) => candidate.family === 4 || isGatewayRoute(candidate) === isGatewayRoute(next),
    );
    const victim = alike ?? same[0];
    if (!victim) throw new Error("replace of nothing");
    there.splice(there.indexOf(victim), 1, next);
    step(there);
  }
  for (const gone of plan.delete) {
    const index = there.findIndex((candidate) => routeText(candidate) === routeText(gone));
    expect(index).toBeGreaterThanOrEqual(0);
    there.splice(index, 1);
    step(there);
  }
  return there;
}

describe("plans", () => {
  test("routes: applying the plan gives what is desired, and no destination that stays is ever without a route", () => {
    fc.assert(
      fc.property(desiredRoutes, actualRoutes, (desired, actual) => {
        const before = new Set(actual.map(keyOf));
        const staying = desired.map(keyOf).filter((key) => before.has(key));
        const result = applyToModel(planRoutes(desired, actual), actual, (there) => {
          const keys = new Set(there.map(routeKey));
          for (const key of staying) expect(keys).toContain(key);
        });
        expect(result.map(routeText).sort()).toEqual(desired.map(textOf).sort());
      }),
      { numRuns: 1000 },
    );
  });

  test("routes: nothing to do where all is as desired, and the order of the input does not matter", () => {
    fc.assert(
      fc.property(desiredRoutes, actualRoutes, (desired, actual) => {
        expect(planRoutes(desired, desired)).toEqual({ add: [], replace: [], delete: [] });
        const shuffled = desired.map((value) => ({ ...value, nextHops: value.nextHops.toReversed() })).reverse();
        expect(planRoutes(shuffled, actual)).toEqual(planRoutes(desired, actual));
      }),
    );
  });

  test("routes: two different routes of one key are refused by name", () => {
    const one: Route = { destination: "10.0.0.0/8", table: 1, nextHops: [{ ifindex: 1 }] };
    expect(() => planRoutes([one, { ...one, nextHops: [{ ifindex: 2 }] }], [])).toThrow(/10\.0\.0\.0\/8 table 1/);
    expect(planRoutes([one, one], []).add).toHaveLength(1);
  });

  const rule: fc.Arbitrary<Rule> = fc.record({
    family: fc.constant(4 as const),
    priority: fc.nat(5),
    fwmark: fc.option(fc.nat(2), { nil: undefined }),
    from: fc.option(fc.constantFrom("10.0.0.0/8", "0.0.0.0/0"), { nil: undefined }),
    action: fc.oneof(
      fc.record({ kind: fc.constant("lookup" as const), table: fc.constantFrom(1, 2) }),
      fc.constant({ kind: "unreachable" as const }),
      fc.constant({ kind: "goto" as const, priority: 9 }),
    ),
  });

  test("rules: add then delete gives what is desired; twins go; same is nothing to do", () => {
    fc.assert(
      fc.property(fc.array(rule, { maxLength: 8 }), fc.array(rule, { maxLength: 8 }), (desired, actual) => {
        const plan = planRules(desired, actual);
        const there = [...actual, ...plan.add].map(ruleText);
        for (const gone of plan.delete) {
          const index = there.indexOf(ruleText(gone));
          expect(index).toBeGreaterThanOrEqual(0);
          there.splice(index, 1);
        }
        expect(there.sort()).toEqual([...new Set(desired.map(ruleText))].sort());
        const unique = [...new Map(desired.map((value) => [ruleText(value), value])).values()];
        expect(planRules(unique, unique)).toEqual({ add: [], replace: [], delete: [] });
        expect(planRules(desired.toReversed(), actual).add.map(ruleText)).toEqual(plan.add.map(ruleText));
      }),
    );
  });

  const address: fc.Arbitrary<InterfaceAddress> = fc.record({
    ifindex: fc.constantFrom(1, 2),
    address: fc.constantFrom("192.0.2.1", "2001:db8::1", "2001:DB8:0::1"),
    prefixLength: fc.constantFrom(24, 32),
    scope: fc.constantFrom("global" as const, "link" as const),
  });

  test("addresses: add then delete gives what is desired", () => {
    fc.assert(
      fc.property(fc.array(address), fc.array(address), (desired, actual) => {
        const plan = planAddresses(desired, actual);
        const there = new Set(actual.map(addressKey));
        for (const added of plan.add) there.add(addressKey(added));
        for (const gone of plan.delete) expect(there.delete(addressKey(gone))).toBe(true);
        expect([...there].sort()).toEqual([...new Set(desired.map(addressKey))].sort());
        expect(planAddresses(desired, desired)).toEqual({ add: [], replace: [], delete: [] });
      }),
    );
  });
});
