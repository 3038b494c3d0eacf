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
