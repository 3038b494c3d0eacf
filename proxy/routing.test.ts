import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { instanceSettings } from "#shared/instance/instance-settings.ts";
import { GUARD_TABLE, ICMP_TABLE, RETURN_TABLE, ROUTE_PROTOCOL } from "#shared/instance/marks.ts";
import { vipAddresses } from "#shared/instance/vip-addresses.ts";
import type { Rule } from "#shared/kernel/rules.ts";
import { FAMILIES, type Family, ip } from "#shared/net/ip.ts";
import type { Intent, Leg } from "#shared/resolve/intent-types.ts";
import { intentOf, scenario } from "../test/support/scenario.ts";
import { LOCAL_TABLE, routingRoutes, routingRules } from "./routing.ts";

const dsr = await intentOf(scenario({ targets: 2 }));
const nat = await intentOf(scenario({ targets: 2, mode: "NAT" }));

/** The intent with these legs instead, each with an address of the families. */
function withLegs(intent: Intent, ids: readonly number[], families: readonly Family[] = FAMILIES): Intent {
  const legs = ids.map((id, index): [number, Leg] => {
    const addresses = {
      ...(families.includes(4) ? { 4: ip(`10.${index >> 16}.${(index >> 8) & 255}.${index & 255}`) } : {}),
      ...(families.includes(6) ? { 6: ip(`fd00::${(index + 1).toString(16)}`) } : {}),
    };
    return [
      id,
      { id, key: `leg-${id}`, target: `t-${id}`, network: "n", interface: "svc0", addresses, state: "accepting" },
    ];
  });
  return { ...intent, legs: new Map(legs) };
}

const ids = (max: number) => fc.uniqueArray(fc.integer({ min: 0x10000, max: 0x7fffffff }), { maxLength: max });

/** What the kernel does with a mark: the first rule that decides, and how many it looked at. */
function walk(rules: readonly Rule[], family: Family, mark: number): { table: number | undefined; looked: number } {
  const own = rules.filter((rule) => rule.family === family).sort((a, b) => a.priority - b.priority);
  let looked = 0;
  let from = 0;
  for (const { action, fwmark, fwmask = 0xffffffff, priority, ipProtocol } of own) {
    if (priority < from) continue;
    looked += 1;
    // A packet of ICMP: the guard of VIPs asks for the transport protocol.
    if (ipProtocol !== undefined) continue;
    // JavaScript's & is signed; marks are not.
    if (fwmark !== undefined && (mark & fwmask) >>> 0 !== fwmark) continue;
    if (action.kind === "goto") from = action.priority;
    else return { table: action.kind === "lookup" ? action.table : undefined, looked };
  }
  return { table: undefined, looked };
}

describe("routing rules", () => {
  it("lead every leg's mark to its own table, and unmarked packets past all of them", () => {
    fc.assert(
      fc.property(ids(200), (some) => {
        const rules = routingRules(withLegs(dsr, some));
        for (const family of FAMILIES) {
          for (const id of some) expect(walk(rules, family, id).table).toBe(id);
          expect(walk(rules, family, 0)).toEqual({ table: LOCAL_TABLE, looked: 5 });
        }
      }),
      { numRuns: 40 },
    );
  });

  it("are one for each leg up to 64, and buckets above, so that no mark meets more than a few more than its 64th", () => {
    const spread = (count: number) => Array.from({ length: count }, (_, index) => 0x10000 + index * 12_345);
    const gotos = (count: number) => {
      const rules = routingRules(withLegs(dsr, spread(count), [4]));
      return rules.filter(({ action, family, fwmask }) => family === 4 && action.kind === "goto" && fwmask === 0x3f);
    };
    expect(gotos(64)).toEqual([]);
    expect(gotos(65)).toHaveLength(64);
    const many = routingRules(withLegs(dsr, spread(1000), [4]));
    const looked = spread(1000).map((id) => walk(many, 4, id).looked);
    // Unmarked, return (2), 64 buckets, a 64th of the legs.
    expect(Math.max(...looked)).toBeLessThanOrEqual(3 + 64 + Math.ceil(1000 / 64));
  });

  it("never go to a priority at which no rule stands, and never back", () => {
    fc.assert(
      fc.property(ids(150), fc.constantFrom(dsr, nat), fc.constantFrom([4], [6], [4, 6]), (some, intent, families) => {
        const isFamily = (family: number): family is Family => family === 4 || family === 6;
        const rules = routingRules(withLegs(intent, some, families.filter(isFamily)));
        for (const { action, family, priority } of rules) {
          if (action.kind !== "goto") continue;
          expect(action.priority).toBeGreaterThan(priority);
          expect(rules.some((rule) => rule.family === family && rule.priority === action.priority)).toBe(true);
        }
      }),
      { numRuns: 40 },
    );
  });

  it("carry our protocol, differ from each other, and know no leg without an address of the family", () => {
    const rules = routingRules(withLegs(nat, [0x10001, 0x10002], [6]));
    expect(rules.every(({ protocol }) => protocol === ROUTE_PROTOCOL)).toBe(true);
    expect(new Set(rules.map((rule) => JSON.stringify(rule))).size).toBe(rules.length);
    expect(walk(rules, 4, 0x10001).table).toBe(LOCAL_TABLE);
    expect(walk(rules, 6, 0x10001).table).toBe(0x10001);
  });

  it("let replies leave by the routers' routes only, and deliver ICMP errors locally in NAT mode", () => {
    for (const family of FAMILIES) {
      const [lookup, otherwise] = routingRules(dsr).filter((r) => r.family === family && r.fwmark === 0x80000001);
      expect(lookup?.action).toEqual({ kind: "lookup", table: RETURN_TABLE });
      expect(otherwise?.action).toEqual({ kind: "unreachable" });
      expect(walk(routingRules(nat), family, 0x80000003).table).toBe(ICMP_TABLE);
      expect(walk(routingRules(dsr), family, 0x80000003).table).toBe(LOCAL_TABLE);
    }
  });
});

describe("routes, addresses and settings", () => {
  const devices = { loopback: 1, ifindex: new Map([["svc0", 7]]), nextHops: new Map([["10.1.0.1", ip("10.1.0.254")]]) };

  it("send each leg to its target's neighbour, or to the next hop of a target that is not on the link", () => {
    const routes = routingRoutes(dsr, devices);
    expect(routes.filter(({ type }) => type === undefined)).toHaveLength(4);
    const [leg] = [...dsr.legs.values()].filter(({ target }) => target === "default/pod-1");
    const own = routes.filter(({ table }) => table === leg?.id);
    expect(own.map(({ nextHops }) => nextHops)).toEqual([
      [{ gateway: "10.1.0.254", ifindex: 7, onlink: true }],
      [{ gateway: "fd00:1::1", ifindex: 7, onlink: true }],
    ]);
  });

  it("leave legs out whose interface is not there; local delivery is NAT's alone", () => {
    const nowhere = { ...devices, ifindex: new Map<string, number>() };
    const guard = [{ destination: "198.51.100.10/32" }, { destination: "2001:db8:100::10/128" }].map((route) => ({
      ...route,
      table: GUARD_TABLE,
      type: "blackhole",
    }));
    expect(routingRoutes(dsr, nowhere)).toMatchObject(guard);
    expect(routingRoutes(nat, nowhere)).toMatchObject([
      ...guard,
      { table: ICMP_TABLE, type: "local", destination: "0.0.0.0/0", nextHops: [{ ifindex: 1 }] },
      { table: ICMP_TABLE, type: "local", destination: "::/0", nextHops: [{ ifindex: 1 }] },
    ]);
  });

  it("have VIPs as host addresses, and each interface's settings", () => {
    expect(vipAddresses(dsr.vips, 1).map(({ address, prefixLength }) => `${address}/${prefixLength}`)).toEqual([
      "198.51.100.10/32",
      "2001:db8:100::10/128",
    ]);
    const settings = new Map(instanceSettings(["ext0"], ["svc0"]));
    expect(settings.get("net/ipv4/conf/ext0/rp_filter")).toBe("0");
    expect(settings.get("net/ipv4/conf/svc0/accept_local")).toBe("1");
    expect(settings.has("net/ipv4/conf/ext0/accept_local")).toBe(false);
  });
});
