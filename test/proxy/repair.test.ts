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
    "nft add element inet causeway alive4 '{ 77 : drop }'",
    "nft add element netdev causeway vips4 '{ 198.51.100.77 comment \"mine\" }'",
    "nft add map inet causeway mine '{ type ipv4_addr : ipv4_addr; elements = { 192.0.2.1 : 192.0.2.2 }; }'",
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

  const rulesOf = (table: string, chain: string): { handle: number; text: string }[] =>
    bed
      .exec("g", `nft -a list chain ${table} ${chain}`)
      .split("\n")
      .flatMap((line) => {
        const [, text, handle] = /^\t\t(.*) # handle (\d+)$/.exec(line) ?? [];
        return text === undefined || text.startsWith("type ") ? [] : [{ handle: Number(handle), text }];
      });
  const chainsOf = (table: string, prefix: string): string[] =>
    [...bed.exec("g", `nft list table ${table}`).matchAll(/chain (\S+) \{/g)]
      .flatMap(([, name]) => name ?? [])
      .filter((name) => name.startsWith(prefix));

  describe("a rule inside a chain of ours, when the number of rules stays", () => {
    const damage = (table: string, prefix: string, change: (text: string) => string): void => {
      const chain = chainsOf(table, prefix)[0] ?? "";
      const rule = rulesOf(table, chain).find(({ text }) => change(text) !== text);
      if (rule === undefined) throw new Error(`no such rule in ${chain}`);
      bed.exec("g", `nft 'replace rule ${table} ${chain} handle ${rule.handle} ${change(rule.text)}'`);
    };
    const damages: Record<string, () => void> = {
      "a leg leads elsewhere": () =>
        damage("netdev causeway", "leg-", (text) => text.replace(/10\.1\.0\.\d/, "10.1.0.99")),
      "a guard lets all pass": () => damage("inet causeway", "forward-", (text) => text.replace(/ drop$/, " accept")),
      "a rule of a hook leads elsewhere": () =>
        damage("netdev causeway", "ingress-ext0", (text) => text.replace("protocol ip goto", "protocol arp goto")),
    };

    it.each(Object.entries(damages))("%s", (_, act) => {
      bed.kernel.lookAtRules();
      const before = state();
      act();
      expect(state()).not.toBe(before);
      expect(bed.kernel.changedByOthers()).toBe(true);
      bed.program(intent);
      expect(state().split("\n").sort()).toEqual(before.split("\n").sort());
    });

    it("control: who has not looked at the rules does not see it", () => {
      const before = state();
      const chain = chainsOf("inet causeway", "forward-")[0] ?? "";
      // A change of our own, after which nobody has looked.
      bed.exec("g", `nft add rule inet causeway ${chain} accept`);
      bed.program(intent);
      expect(state().split("\n").sort()).toEqual(before.split("\n").sort());
      damages["a guard lets all pass"]?.();
      bed.program(intent);
      expect(state().split("\n").sort()).not.toEqual(before.split("\n").sort());
      bed.exec("g", "nft flush ruleset");
      bed.program(intent);
      expect(state().split("\n").sort()).toEqual(before.split("\n").sort());
    });
  });

  it("an interface that is another one before anybody looked: legs lead to the new one", () => {
    const list = (): string => withoutDynamic(bed.exec("g", "nft -s list table netdev causeway"));
    const before = list();
    const mtu = "1500";
    bed.exec("g", "ip link delete svc0");
    // So that the new one gets another index.
    bed.exec("g", "ip link add spare type bridge");
    bed.exec(
      "g",
      `sh -c 'ip link add svc0 mtu ${mtu} type veth peer name gone; ip link set svc0 up; ip addr add 10.1.0.200/16 dev svc0; ip addr add fd00:1::c8/64 dev svc0 nodad'`,
    );
    expect(list()).not.toBe(before);
    bed.kernel.forget();
    bed.program(intent);
    expect(list().split("\n").sort()).toEqual(before.split("\n").sort());
  });

  it.each([
    "net.ipv4.ip_forward=0",
    "net.ipv6.conf.all.forwarding=0",
    "net.ipv4.conf.all.rp_filter=1",
    "net.ipv4.conf.svc0.rp_filter=1",
    "net.ipv4.conf.svc0.accept_local=0",
    "net.ipv4.fib_multipath_hash_policy=0",
    "net.ipv6.neigh.svc0.retrans_time_ms=2000",
  ])("setting %s is noticed and repaired", (damage) => {
    const [key = ""] = damage.split("=");
    const read = (): string => bed.exec("g", `sysctl -n ${key}`);
    bed.program(intent);
    const before = read();
    expect(bed.kernel.settingsChanged()).toBe(false);
    bed.exec("g", `sysctl -qw ${damage}`);
    expect(read()).not.toBe(before);
    expect(bed.kernel.settingsChanged()).toBe(true);
    const { devices } = bed.kernel.observe(intent);
    expect(bed.kernel.applyRouting(intent, devices)).toMatchObject({ changes: 0, repaired: { settings: 1 } });
    expect(read()).toBe(before);
    expect(bed.kernel.settingsChanged()).toBe(false);
  });

  it("says how much was put back, and takes nothing that the objects changed for it", async () => {
    const apply = (of: Intent): unknown => {
      bed.kernel.networkChanged();
      return bed.kernel.applyRouting(of, bed.kernel.observe(of).devices).repaired;
    };
    const nothing = { routes: 0, rules: 0, addresses: 0, settings: 0 };
    expect(apply(intent)).toEqual(nothing);
    const fewer = await intentOf(scenario({ targets: 1 }));
    expect(apply(fewer)).toEqual(nothing);
    expect(apply(intent)).toEqual(nothing);
    const [leg] = bed.exec("g", "ip route show table all proto 201").match(/table (?!7701)\d+/) ?? [];
    bed.exec("g", `ip route flush ${leg}`);
    bed.exec("g", "ip rule delete pref 101");
    bed.exec("g", "ip rule add pref 150 fwmark 7 lookup 100 proto 201");
    bed.exec("g", "ip addr delete 198.51.100.10/32 dev lo");
    expect(apply(intent)).toMatchObject({ routes: 1, rules: 2, addresses: 1, settings: 0 });
    expect(apply(intent)).toEqual(nothing);
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
