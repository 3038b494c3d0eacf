import { afterAll, beforeAll, expect, test } from "vitest";
import { addAddress, applyAddresses, deleteAddress, listAddresses } from "#shared/kernel/addresses.ts";
import { KernelExistsError, KernelNotFoundError } from "#shared/kernel/kernel-error.ts";
import { getLink, listedSysctl, listLinks } from "#shared/kernel/links.ts";
import { listNeighbours } from "#shared/kernel/neighbours.ts";
import { type NetlinkSocket, openNetlink } from "#shared/kernel/netlink-socket.ts";
import { readSysctl, withNetns, writeSysctl } from "#shared/kernel/network-namespace.ts";
import { planAddresses } from "#shared/kernel/plan-addresses.ts";
import { planRules } from "#shared/kernel/plan-rules.ts";
import { addRule, applyRules, deleteRule, listRules, type Rule, ruleText } from "#shared/kernel/rules.ts";
import { makeTestbed, type Testbed } from "./testbed.ts";

const PROTOCOL = 77;
let bed: Testbed;
let socket: NetlinkSocket;
let a0: number;

beforeAll(() => {
  bed = makeTestbed("rules");
  socket = openNetlink({ netns: bed.netns });
  a0 = getLink(socket, "a0").ifindex;
});
afterAll(() => {
  socket.close();
  bed.remove();
});

const RULES: Rule[] = [
  { family: 4, priority: 100, action: { kind: "lookup", table: 4_000_000_000 }, protocol: PROTOCOL },
  { family: 4, priority: 101, action: { kind: "goto", priority: 200 }, fwmark: 0x10, fwmask: 0xf0, protocol: PROTOCOL },
  {
    family: 4,
    priority: 102,
    action: { kind: "unreachable" },
    from: "10.1.0.0/16",
    to: "10.2.0.1/32",
    protocol: PROTOCOL,
  },
  { family: 4, priority: 103, action: { kind: "blackhole" }, iif: "a0", oif: "later0", protocol: PROTOCOL },
  { family: 6, priority: 106, action: { kind: "lookup", table: 7 }, iif: "a0", ipProtocol: 132, protocol: PROTOCOL },
  { family: 4, priority: 104, action: { kind: "lookup", table: 254 }, fwmark: 0, protocol: PROTOCOL },
  {
    family: 4,
    priority: 105,
    action: { kind: "lookup", table: 254 },
    suppressPrefixLength: 0,
    invert: true,
    fwmark: 9,
    protocol: PROTOCOL,
  },
  { family: 6, priority: 100, action: { kind: "lookup", table: 5 }, from: "fd01::/64", iif: "a1", protocol: PROTOCOL },
  { family: 6, priority: 200, action: { kind: "nop" }, protocol: PROTOCOL },
];

test("rules are added, listed, found by ip, planned and deleted", () => {
  const foreign = listRules(socket).length;
  expect(applyRules(socket, planRules(RULES, []))).toEqual([]);
  const ours = listRules(socket, { protocol: PROTOCOL });
  expect(ours.map(ruleText).sort()).toEqual(RULES.map(ruleText).sort());
  expect(ours.every(({ unknown }) => unknown.length === 0)).toBe(true);
  expect(planRules(RULES, ours)).toEqual({ add: [], replace: [], delete: [] });
  expect(bed.ipJson("-4", "rule").length + bed.ipJson("-6", "rule").length).toBe(foreign + RULES.length);
  const [first] = RULES;
  if (first) expect(() => addRule(socket, first)).toThrow(KernelExistsError);
  const half = RULES.slice(4);
  expect(applyRules(socket, planRules(half, ours))).toEqual([]);
  expect(listRules(socket, { protocol: PROTOCOL }).map(ruleText).sort()).toEqual(half.map(ruleText).sort());
  expect(applyRules(socket, planRules([], listRules(socket, { protocol: PROTOCOL })))).toEqual([]);
  expect(listRules(socket)).toHaveLength(foreign);
  if (first) expect(() => deleteRule(socket, first)).toThrow(KernelNotFoundError);
});

test("a rule that selects on more than is known is not taken for ours", () => {
  bed.ip("rule", "add", "ipproto", "tcp", "dport", "80", "table", "100", "pref", "300", "protocol", "77");
  const wanted: Rule = { family: 4, priority: 300, action: { kind: "lookup", table: 100 }, protocol: PROTOCOL };
  const actual = listRules(socket, { protocol: PROTOCOL });
  expect(actual[0]?.unknown.length).toBeGreaterThan(0);
  expect(planRules([wanted], actual)).toMatchObject({ add: [{ priority: 300 }], delete: [{ priority: 300 }] });
  applyRules(socket, planRules([wanted], actual));
  expect(listRules(socket, { protocol: PROTOCOL }).map(ruleText)).toEqual([ruleText(wanted)]);
  deleteRule(socket, wanted);
});

test("rules differing only in selectors converge although the kernel deletes loosely", () => {
  const lookup = { kind: "lookup", table: 9 } as const;
  const narrow: Rule = { family: 4, priority: 7, from: "10.1.0.0/16", action: lookup, protocol: PROTOCOL };
  const wide: Rule = { family: 4, priority: 7, action: lookup, protocol: PROTOCOL };
  applyRules(socket, planRules([narrow, wide], []));
  let rounds = 0;
  for (; rounds < 3; rounds++) {
    const plan = planRules([narrow], listRules(socket, { protocol: PROTOCOL }));
    if (plan.add.length + plan.delete.length === 0) break;
    expect(applyRules(socket, plan)).toEqual([]);
  }
  expect(rounds).toBeLessThan(3);
  expect(listRules(socket, { protocol: PROTOCOL }).map(ruleText)).toEqual([ruleText(narrow)]);
  deleteRule(socket, narrow);
});

test("addresses are added, listed, planned and deleted", () => {
  const before = listAddresses(socket, { ifindex: a0 });
  const wanted = [
    { ifindex: a0, address: "192.0.2.1", prefixLength: 32, scope: "link", protocol: 88 },
    {
      ifindex: a0,
      address: "2001:db8::1",
      prefixLength: 128,
      scope: "global",
      noDad: true,
      noPrefixRoute: true,
      protocol: 88,
    },
  ] as const;
  const plan = planAddresses([...before, ...wanted], before);
  expect(applyAddresses(socket, plan)).toEqual([]);
  const after = listAddresses(socket, { ifindex: a0 });
  expect(after.filter(({ protocol }) => protocol === 88)).toMatchObject([...wanted]);
  expect(after.find(({ address }) => address === "2001:db8::1")?.tentative).toBe(false);
  expect(listAddresses(socket, { family: 4 }).every(({ family }) => family === 4)).toBe(true);
  const json = bed.ipJson("addr", "show", "dev", "a0");
  expect(JSON.stringify(json)).toContain('"192.0.2.1"');
  expect(() => addAddress(socket, wanted[0])).toThrow(KernelExistsError);
  expect(() => addAddress(socket, { ...wanted[0], prefixLength: 33 })).toThrow(/0 to 32/);
  expect(applyAddresses(socket, planAddresses(before, after))).toEqual([]);
  expect(listAddresses(socket, { ifindex: a0 })).toEqual(before);
  expect(() => deleteAddress(socket, wanted[0])).toThrow(KernelNotFoundError);
});

test("links and neighbours are what ip says", () => {
  const links = listLinks(socket);
  expect(links.map(({ name }) => name).sort()).toEqual(["a0", "a1", "lo"]);
  const [json] = bed.ipJson("link", "show", "dev", "a0");
  const link = getLink(socket, "a0");
  expect(json).toMatchObject({ ifindex: link.ifindex, address: link.mac, mtu: link.mtu });
  expect(link).toMatchObject({ kind: "veth", up: true, carrier: true, linkNetnsId: expect.any(Number) });
  expect(getLink(socket, link.ifindex)).toEqual(link);
  expect(() => getLink(socket, "nope0")).toThrow(KernelNotFoundError);
  const settings = Object.keys(link.ipv4Conf ?? {});
  expect(settings).toHaveLength(6);
  for (const setting of settings) {
    const key = `net/ipv4/conf/a0/${setting}`;
    const other = readSysctl(bed.netns, key) === "0" ? "1" : "0";
    writeSysctl(bed.netns, key, other);
    expect(listedSysctl(listLinks(socket), key), key).toBe(other);
  }
  expect(listedSysctl(links, "net/ipv4/conf/a0/proxy_arp")).toBeUndefined();
  expect(listedSysctl(links, "net/ipv4/conf/nope0/rp_filter")).toBeUndefined();
  bed.ip("neigh", "replace", "10.9.0.2", "lladdr", "02:00:00:00:00:09", "nud", "permanent", "dev", "a0");
  expect(listNeighbours(socket, { ifindex: a0 })).toContainEqual({
    family: 4,
    ifindex: a0,
    address: "10.9.0.2",
    mac: "02:00:00:00:00:09",
    state: "permanent",
  });
});

test("sysctls are those of the namespace, and the thread comes back", () => {
  const key = "net/ipv4/conf/a0/forwarding";
  writeSysctl(bed.netns, key, 1);
  expect(readSysctl(bed.netns, key)).toBe("1");
  writeSysctl(bed.netns, key, 0);
  expect(readSysctl(bed.netns, key)).toBe("0");
  expect(() => readSysctl(undefined, key)).toThrow(KernelNotFoundError);
  expect(() => readSysctl(bed.netns, "net/../kernel/hostname")).toThrow(/must look like/);
  expect(() => writeSysctl(bed.netns, key, "many")).toThrow(/sysctl net\/ipv4\/conf\/a0\/forwarding in network/);
  expect(() => withNetns("/run/netns/cw-none", () => 1)).toThrow(KernelNotFoundError);
  expect(() => withNetns("/proc/self/ns/mnt", () => 1)).toThrow(/EINVAL/);
  expect(() => withNetns(bed.netns, () => Promise.resolve())).toThrow(/synchronous/);
  expect(() =>
    withNetns(bed.netns, () => {
      throw new RangeError("mine");
    }),
  ).toThrow(RangeError);
  expect(() => readSysctl(undefined, key)).toThrow(KernelNotFoundError);
});
