import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { Intent } from "#shared/resolve/intent-types.ts";
import { withoutDynamic } from "../support/nft-listing.ts";
import { intentOf, scenario } from "../support/scenario.ts";
import { Testbed } from "../support/testbed.ts";

describe("changes by somebody else", () => {
  let bed: Testbed;
  let intent: Intent;
  beforeAll(async () => {
    bed = new Testbed({ prefix: "cw-r", targets: 2, vips: ["198.51.100.10", "2001:db8:100::10"] });
    intent = await intentOf(scenario({ targets: 2 }));
    bed.program(intent);
  });
  afterAll(() => bed.close());

  const state = (): string =>
    withoutDynamic(
      bed.exec(
        "g",
        "sh -c 'nft -s list ruleset; ip rule; ip -6 rule; ip route show table all; ip -6 route show table all; ip addr show dev lo'",
      ),
    );

  it("our own changes are not taken for somebody else's", () => {
    expect(bed.kernel.changedByOthers()).toBe(false);
    bed.program(intent);
    expect(bed.kernel.changedByOthers()).toBe(false);
  });

  it.each([
    "nft flush ruleset",
    "nft delete table inet causeway",
    "nft flush chain netdev causeway ingress-ext0",
    "nft delete element inet causeway vips4 '{ 198.51.100.10 }'",
  ])("%s is noticed and repaired", (damage) => {
    const before = state();
    bed.exec("g", damage);
    expect(bed.kernel.changedByOthers()).toBe(true);
    expect(state()).not.toBe(before);
    bed.program(intent);
    // Sets list their elements in an order of their own.
    expect(state().split("\n").sort()).toEqual(before.split("\n").sort());
    expect(bed.kernel.changedByOthers()).toBe(false);
  });

  it.each(["ip rule delete pref 101", "ip -6 rule delete pref 100", "ip addr delete 198.51.100.10/32 dev lo"])(
    "%s is repaired",
    (damage) => {
      const before = state();
      bed.exec("g", damage);
      expect(state()).not.toBe(before);
      bed.program(intent);
      expect(state().split("\n").sort()).toEqual(before.split("\n").sort());
    },
  );

  it("an interface that goes takes its chains along, and gets them back when it returns", () => {
    const chains = (): string => bed.exec("g", "nft list chains netdev");
    expect(chains()).toContain("ingress-svc0");
    bed.exec("g", "ip link delete svc0");
    bed.kernel.forget();
    bed.program(intent);
    expect(chains()).not.toContain("ingress-svc0");
    bed.exec("g", "ip link add svc0 type veth peer name gone");
    bed.exec("g", "ip link set svc0 up");
    bed.kernel.forget();
    bed.program(intent);
    expect(chains()).toContain('device "svc0"');
  });
});
