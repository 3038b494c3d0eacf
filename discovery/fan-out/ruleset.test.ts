import { expect, it } from "vitest";
import { cidr, ip } from "#shared/net/ip.ts";
import { plan } from "#shared/nft/plan.ts";
import { asListed } from "#shared/nft/table-state.ts";
import { type CopyPolicy, type FanOutIntent, type FanOutNetwork, type PlannedCopy, ruleset } from "./ruleset.ts";

const network = (number: number, mtu = 1500): FanOutNetwork => ({
  name: `default/net-${number}`,
  interface: `net${number}`,
  mac: `02:00:00:00:00:0${number}`,
  mtu,
  prefixes: [cidr(`10.71.${number}.0/24`)],
});
const policy: CopyPolicy = { ttl: "Lower", packetsPerSecondPerPublisher: 1000, octetsPerSecond: 1_000_000 };
const copy = (from: number, to: number, more: Partial<PlannedCopy> = {}): PlannedCopy => ({
  group: ip("239.255.0.1"),
  port: 7401,
  from: `default/net-${from}`,
  to: `default/net-${to}`,
  isContested: false,
  policy,
  ...more,
});
const intent = (...copies: PlannedCopy[]): FanOutIntent => ({
  networks: [network(1), network(2, 1450), network(3)],
  copies,
  leaseMs: 1000,
});
const textOf = (...copies: PlannedCopy[]): string =>
  plan([{ table: ruleset(intent(...copies)), listed: undefined }])
    .map(({ text }) => text)
    .join("");
const rulesOf = (text: string, prefix: string): string[] =>
  [...text.matchAll(new RegExp(`add rule netdev causeway-fan-out ${prefix}-[0-9a-f]+ (.*)`, "g"))].map(
    ([, rule = ""]) => rule,
  );

it("one group to two networks is one chain, with a copy for each", () => {
  const text = textOf(copy(1, 3), copy(1, 2));
  expect(text.match(/add element .*/g)).toEqual([
    expect.stringMatching(/groups-net1 \{ 239\.255\.0\.1 \. 7401 : goto copy-[0-9a-f]{12} \}/),
  ]);
  expect(rulesOf(text, "send").filter((rule) => rule.includes("dup"))).toEqual([
    'ip length <= 1450 ether saddr set 02:00:00:00:00:02 counter name "copied-net1-net2" dup to "net2"',
    'ether saddr set 02:00:00:00:00:03 counter name "copied-net1-net3" dup to "net3"',
  ]);
  expect(rulesOf(text, "send").at(-2)).toBe('ip length > 1450 counter name "too-big-net1-net2"');
});

it("a copy is made of what is native to the network, and of no copy", () => {
  expect(rulesOf(textOf(copy(1, 3)), "from").slice(0, 4)).toEqual([
    "ether saddr { 02:00:00:00:00:01, 02:00:00:00:00:02, 02:00:00:00:00:03 } accept",
    "ip frag-off & 0x1fff == 0 udp dport 7399 ip saddr != { 10.71.1.0/24 } drop",
    "ip frag-off & 0x1fff == 0 udp dport 7399 ip ttl != 255 drop",
    "ip saddr != { 10.71.1.0/24 } accept",
  ]);
});

it("a contested copy ends with the hellos", () => {
  const text = textOf(copy(1, 3, { isContested: true }), copy(2, 3));
  const copies = rulesOf(text, "send").filter((rule) => rule.includes("dup"));
  expect(copies.filter((rule) => rule.startsWith("ip protocol @alive "))).toHaveLength(1);
  expect(copies).toHaveLength(2);
  expect(text).toContain("timeout 1000ms;");
});

it("a TTL is lowered, to 31 at most, or kept", () => {
  const [lower = ""] = rulesOf(textOf(copy(1, 3)), "send").filter((rule) => rule.startsWith("ip ttl vmap"));
  const jumps = [...lower.matchAll(/([\d-]+) : jump (ttl-[0-9a-f]+)/g)];
  expect(jumps.map(([, from]) => from)).toEqual([...Array.from({ length: 30 }, (_, at) => `${at + 2}`), "32-255"]);
  const table = ruleset(intent(copy(1, 3)));
  expect(jumps.map(([, , chain = ""]) => table.chains.get(chain))).toEqual(
    Array.from({ length: 31 }, (_, at) => [`ip ttl set ${at + 1}`]),
  );
  expect(textOf(copy(1, 3, { policy: { ...policy, ttl: "Keep" } }))).not.toMatch(/add rule .*(ip ttl vmap|ip ttl < 2)/);
});

it("names of interfaces that nft takes for more than names are never its words", () => {
  const strange = { ...network(1), interface: "a;b{c" };
  const text = plan([
    {
      table: ruleset({ networks: [strange, network(3)], copies: [copy(1, 3), copy(3, 1)], leaseMs: 1000 }),
      listed: undefined,
    },
  ])
    .map((transaction) => transaction.text)
    .join("");
  expect(text.replaceAll('"a;b{c"', "")).not.toContain("a;b");
});

it("the same intent is the same table, in whatever order, and nothing is left to do", () => {
  const one = ruleset(intent(copy(1, 3), copy(1, 2), copy(2, 1)));
  const other = ruleset(intent(copy(2, 1), copy(1, 2), copy(1, 3)));
  expect(plan([{ table: other, listed: asListed(one) }])).toEqual([]);
  expect(plan([{ table: ruleset(intent(copy(1, 3))), listed: asListed(one) }])).not.toEqual([]);
});

it("nothing is nothing", () => {
  const { chains, bases, maps, dynamic } = ruleset({ networks: [], copies: [], leaseMs: 1000 });
  expect([chains.size, bases.size, maps.size, dynamic.size]).toEqual([0, 0, 0, 0]);
});
