import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { planRoutes } from "#shared/kernel/plan-routes.ts";
import { canonicalRoute } from "#shared/kernel/routes.ts";
import { ruleText } from "#shared/kernel/rules.ts";
import { ip } from "#shared/net/ip.ts";
import type { PodNetwork } from "./desired-pod-network.ts";
import { isOurTable, podRoutes, podRules, podSysctls, tableIds } from "./pod-routing.ts";

const network: PodNetwork = {
  vips: [ip("198.51.100.10")],
  problems: [],
  paths: [
    {
      key: "default/a",
      gateway: "default/a",
      mode: "DSR",
      interfaces: ["net1"],
      families: {
        4: {
          sources: [ip("198.51.100.10")],
          nextHops: [
            { network: "default/net", address: ip("10.1.0.251"), interface: "net1" },
            { network: "default/net", address: ip("10.1.0.252"), interface: "gone0" },
          ],
        },
        6: { sources: [ip("2001:db8::1")], nextHops: [] },
      },
    },
    {
      key: "default/b@default/net",
      gateway: "default/b",
      mode: "NAT",
      interfaces: ["net2"],
      families: {
        4: {
          sources: [ip("10.2.0.1")],
          nextHops: [{ network: "default/net", address: ip("10.2.0.251"), interface: "net2" }],
        },
      },
    },
  ],
};

describe("table numbers", () => {
  test("differ, lie in the reserved range and do not depend on the order", () => {
    fc.assert(
      fc.property(fc.uniqueArray(fc.string(), { maxLength: 40 }), (keys) => {
        const ids = tableIds(keys);
        expect(new Set(ids.values()).size).toBe(keys.length);
        expect([...ids.values()].every(isOurTable)).toBe(true);
        expect(tableIds([...keys].reverse())).toEqual(ids);
      }),
    );
  });
});

test("a rule for each VIP; in NAT mode the pod's own specific routes come first", () => {
  const ids = tableIds(["default/a", "default/b@default/net"]);
  expect(podRules(network).map(ruleText)).toEqual([
    `IPv4 rule 7701: from 198.51.100.10/32 to all lookup ${ids.get("default/a")} proto 201`,
    `IPv6 rule 7701: from 2001:db8::1/128 to all lookup ${ids.get("default/a")} proto 201`,
    "IPv4 rule 7700: from 10.2.0.1/32 to all lookup 254 suppress_prefixlength 0 proto 201",
    `IPv4 rule 7701: from 10.2.0.1/32 to all lookup ${ids.get("default/b@default/net")} proto 201`,
  ]);
});

test("next hops on absent interfaces are left out; families without a live instance keep what is there", () => {
  const index = new Map([
    ["net1", 3],
    ["net2", 4],
  ]);
  const { routes, kept } = podRoutes(network, (name) => index.get(name));
  expect(routes.map(({ destination, nextHops }) => [destination, nextHops])).toEqual([
    ["0.0.0.0/0", [{ gateway: "10.1.0.251", ifindex: 3, onlink: true }]],
    // DSR: an instance that asks for the VIP gets its own answer.
    ["10.1.0.251/32", [{ ifindex: 3 }]],
    ["0.0.0.0/0", [{ gateway: "10.2.0.251", ifindex: 4, onlink: true }]],
  ]);
  expect(kept.map(({ family, path }) => [family, path.key])).toEqual([[6, "default/a"]]);
  expect(planRoutes(routes, routes.map(canonicalRoute))).toEqual({ add: [], replace: [], delete: [] });
});

test.each([
  ["0", "0", false],
  ["0", "1", true],
  ["1", "0", true],
  ["1", "2", false],
  ["2", "1", false],
])("rp_filter all=%s interface=%s is changed: %s", (all, own, changed) => {
  const wanted = podSysctls(network, all).find(({ key }) => key.endsWith("net1/rp_filter"));
  expect(wanted?.accepts(own)).toBe(!changed);
});

test("ARP settings are for DSR only", () => {
  const keys = podSysctls(network, "0").map(({ key }) => key);
  const of = (setting: string): string[] => keys.filter((key) => key.endsWith(`/${setting}`));
  expect(of("arp_announce")).toEqual(["net/ipv4/conf/net1/arp_announce"]);
  expect(of("arp_ignore")).toEqual(["net/ipv4/conf/net1/arp_ignore"]);
  for (const setting of ["rp_filter", "arp_notify"]) {
    expect(of(setting)).toEqual(["net1", "net2"].map((device) => `net/ipv4/conf/${device}/${setting}`));
  }
});
