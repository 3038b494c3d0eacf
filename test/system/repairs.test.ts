import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { withoutDynamic } from "../support/nft-listing.ts";
import { at, SystemLab, until } from "../support/system-lab.ts";

const GATEWAY = "gateway-a";
const VIPS = [at("198.51.100.1", 8080), at("2001:db8:100::1", 8080)];

/** Replaces one rule that drops in the forward hook's chain: their number stays. */
const LET_ALL_PASS = `chain=$(nft list table inet causeway | sed -n 's/.*chain \\(forward-[0-9a-f]*\\) .*/\\1/p' | head -1)
    handle=$(nft -a list chain inet causeway $chain | sed -n 's/.* drop # handle \\([0-9]*\\)$/\\1/p' | head -1)
    nft replace rule inet causeway $chain handle $handle accept`;

let lab: SystemLab;
beforeAll(async () => {
  lab = await SystemLab.start("repairs", { example: "default" });
});
afterAll(() => lab?.close());

/** All that the proxy keeps in its namespace, in no order: sets list their elements as they like. */
async function state(): Promise<string> {
  const text = await lab.sh(
    GATEWAY,
    `nft -s list ruleset
     ip rule; ip -6 rule; ip route show table all proto 201; ip -6 route show table all proto 201
     ip -o addr | grep -v link | sed 's/^[0-9]*: //'
     sysctl net.ipv4.ip_forward net.ipv4.conf.svc0.accept_local net.ipv6.conf.all.forwarding net.ipv4.conf.all.rp_filter`,
  );
  return withoutDynamic(text).split("\n").toSorted().join("\n");
}

const repairsOf = async (what: string): Promise<number> =>
  (await lab.proxy(GATEWAY))?.repairs.find((repair) => repair.what === what)?.count ?? 0;

async function expectService(): Promise<void> {
  for (const to of VIPS) {
    const report = await lab.traffic({ to, protocol: "tcp", more: ["--connections", "40"] });
    expect(report).toMatchObject({ answered: 40, lost: 0 });
  }
}

describe("what somebody else changes in an instance is put back by the proxy, and told", () => {
  it.each([
    ["the ruleset is flushed", "ruleset", "nft flush ruleset"],
    ["a rule in a chain of ours lets all pass", "ruleset", LET_ALL_PASS],
    ["the rules for marks are deleted", "rules", "ip rule del pref 101; ip -6 rule del pref 101"],
    [
      "the routes to the targets are flushed",
      "routes",
      "for t in $(ip route show table all proto 201 | sed -n 's/.* table \\([0-9]*\\) .*/\\1/p' | grep -v 7701); do ip route flush table $t; done",
    ],
    [
      "VIPs are taken off the loopback",
      "addresses",
      "ip addr del 198.51.100.1/32 dev lo; ip addr del 2001:db8:100::1/128 dev lo",
    ],
    ["forwarding is switched off", "settings", "sysctl -qw net.ipv4.ip_forward=0 net.ipv6.conf.all.forwarding=0"],
    ["replies are taken for spoofed", "settings", "sysctl -qw net.ipv4.conf.svc0.accept_local=0"],
    ["an interface goes down and up", "routes", "ip link set svc0 down; ip link set svc0 up"],
  ])("%s", async (_, what, damage) => {
    const [before, repairs] = [await state(), await repairsOf(what)];
    await lab.sh(GATEWAY, damage);
    await until(
      () => repairsOf(what),
      (count) => count > repairs,
      20_000,
      () => `nobody has put the ${what} back`,
    );
    await until(
      state,
      (now) => now === before,
      20_000,
      (now) => `not as before: ${now}`,
    );
    expect(lab.log(GATEWAY, "proxy")).toContain(`${what}: changed by somebody else; repaired`);
    await expectService();
  });

  it("control: while the proxy is dead, nobody puts anything back", async () => {
    const before = await state();
    await lab.lab("stop", GATEWAY, "proxy");
    await lab.sh(GATEWAY, "ip rule del pref 101");
    expect(await state()).not.toBe(before);
    await lab.lab("start", GATEWAY, "proxy");
    await until(
      state,
      (now) => now === before,
      20_000,
      (now) => `not as before: ${now}`,
    );
  });
});

describe("a neighbour that has another MAC address and tells nobody is found again", () => {
  const quiet = "sysctl -qw net.ipv4.conf.svc0.arp_notify=0 net.ipv6.conf.svc0.ndisc_notify=0";
  const move = `${quiet}; ip link set svc0 address 02:00:00:00:77:01`;

  it("a target", async () => {
    await expectService();
    await lab.sh("target-1", move);
    // SYNs are sent again for so long; without the settings the kernel looks again after half a minute.
    for (const to of VIPS) {
      const report = await lab.traffic({ to, protocol: "tcp", more: ["--connections", "40", "--timeout", "8000"] });
      expect(report).toMatchObject({ answered: 40, lost: 0 });
    }
  });
});
