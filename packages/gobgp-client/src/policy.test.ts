import { expect, test } from "vitest";
import { planPolicies } from "./policy.ts";

test("each peer's statements end with one that refuses; families have sets of their own; local paths pass", () => {
  const plan = planPolicies({
    peers: [
      {
        peer: "192.0.2.1",
        importPrefixes: [{ prefix: "0.0.0.0/0" }, { prefix: "::/0" }],
        exportPrefixes: [{ prefix: "198.51.100.0/24", minLength: 32 }],
      },
      { peer: "2001:DB8::1", importPrefixes: [], exportPrefixes: "all" },
    ],
  });
  const text = (statements: typeof plan.import) =>
    statements.map((s) => [s.prefixSet ?? s.neighborSet ?? "local", s.accept ? "accept" : "reject"].join(": "));
  expect(text(plan.import)).toEqual([
    "local: accept",
    "import 192.0.2.1 ipv4-unicast: accept",
    "import 192.0.2.1 ipv6-unicast: accept",
    "peer 192.0.2.1: reject",
    "peer 2001:db8::1: reject",
  ]);
  expect(text(plan.export)).toEqual([
    "export 192.0.2.1 ipv4-unicast: accept",
    "peer 192.0.2.1: reject",
    "peer 2001:db8::1: accept",
  ]);
  // A statement about a peer always names it: an empty neighbour set would match everybody.
  for (const statement of [...plan.import.slice(1), ...plan.export]) expect(statement.neighborSet).toBeDefined();
  expect(plan.neighborSets).toEqual([
    { name: "peer 192.0.2.1", network: "192.0.2.1/32" },
    { name: "peer 2001:db8::1", network: "2001:db8::1/128" },
  ]);
  expect(plan.prefixSets.at(-1)?.prefixes).toMatchObject([{ minLength: 32, maxLength: 32 }]);
  expect(plan.acceptByDefault).toBe(false);
  expect(planPolicies({ peers: [], unlistedPeers: "accept" }).acceptByDefault).toBe(true);
});

test("attributes go with what is accepted on export, and `own` lets nothing out that was learned", () => {
  const plan = planPolicies({
    peers: [
      {
        peer: "192.0.2.1",
        importPrefixes: [],
        exportPrefixes: "own",
        exportAttributes: { communities: ["65000:1"], med: 5, prepend: { asn: 65000, times: 2 } },
      },
    ],
  });
  const set = {
    communities: ["65000:1"],
    largeCommunities: [],
    localPref: undefined,
    med: 5,
    prepend: { asn: 65000, times: 2 },
  };
  const neighborSet = "peer 192.0.2.1";
  expect(plan.export).toEqual([
    { name: "export 192.0.2.1 own", localPathsOnly: true, neighborSet, accept: true, set },
    { name: "export 192.0.2.1 rest", neighborSet, accept: false },
  ]);
});

test("hostile attributes are refused with their field", () => {
  const plan = (exportAttributes: object) => () =>
    planPolicies({ peers: [{ peer: "192.0.2.1", importPrefixes: [], exportPrefixes: "own", exportAttributes }] });
  expect(plan({ communities: ["65536:1"] })).toThrow(/exportAttributes\.communities\[0\]/);
  expect(plan({ largeCommunities: ["1:2"] })).toThrow(/exportAttributes\.largeCommunities\[0\]/);
  expect(plan({ med: -1 })).toThrow(/exportAttributes\.med/);
  expect(plan({ prepend: { asn: 0, times: 1 } })).toThrow(/exportAttributes\.prepend\.asn/);
});
