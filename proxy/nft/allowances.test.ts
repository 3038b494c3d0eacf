import { expect, test } from "vitest";
import { REASSEMBLY } from "#shared/instance/instance-settings.ts";
import { TableBuilder } from "#shared/nft/table-builder.ts";
import { intentOf, scenario } from "../../test/support/scenario.ts";
import {
  ANSWERS,
  allowanceChain,
  CONNECTIONS,
  FRAGMENTS,
  ICMP_ERRORS,
  NEIGHBOURS,
  neighbourChain,
} from "./allowances.ts";
import { fastPath } from "./fast-path.ts";
import { TABLE } from "./table-name.ts";

test("one sender's fragments take less room than there is", () => {
  // A page for a frame, as drivers take it, and what the kernel keeps beside.
  const bytes = 4096 + 512;
  expect((FRAGMENTS.burst + FRAGMENTS.perSecond * REASSEMBLY.seconds) * bytes).toBeLessThanOrEqual(REASSEMBLY.bytes);
});

test("ten senders are needed to use up what user space translates", () => {
  expect(ICMP_ERRORS.perSecond * 10).toBeLessThanOrEqual(1000);
});

test("an allowance is whole again when its sender is forgotten", () => {
  for (const { perSecond, burst } of [FRAGMENTS, ANSWERS, ICMP_ERRORS, CONNECTIONS, NEIGHBOURS]) {
    expect(burst / perSecond).toBeLessThanOrEqual(10);
  }
});

test("sides and families have sets of their own; who is far away is known by its network", () => {
  const builder = new TableBuilder("netdev", TABLE);
  const chains = (["outside", "link", "inside"] as const).flatMap((side) =>
    ([4, 6] as const).flatMap((family) => [
      allowanceChain(builder, ANSWERS, { side, family }, "accept"),
      neighbourChain(builder, { side, family }),
    ]),
  );
  expect(new Set(chains).size).toBe(12);
  const { dynamic } = builder.finish();
  expect(dynamic.size).toBe(18);
  expect(dynamic.get("answers-outside6-4096")?.declaration).toContain("@nh,64,64;");
  expect(dynamic.get("answers-link6-4096")?.declaration).toContain("@nh,64,128;");
});

test("packets of a flow meet no allowance", async () => {
  const intent = await intentOf(scenario());
  const { chains, maps } = fastPath(intent, {
    interfaces: new Map([
      ["ext0", { mtu: 1500 }],
      ["svc0", { mtu: 1500 }],
    ]),
    nextHops: new Map(),
    own: [],
    returnVia: { 4: [], 6: [] },
  });
  const flow = [...chains].filter(([name]) => /^(flow|leg)-/.test(name));
  expect(flow.length).toBeGreaterThan(0);
  for (const [, rules] of flow) expect(rules.join()).not.toContain("limit");
  expect([...maps.keys()].filter((name) => name.startsWith("flow-exact"))).toHaveLength(2);
});
