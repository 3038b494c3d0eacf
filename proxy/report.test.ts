import { expect, it } from "vitest";
import { intentOf, scenario } from "../test/support/scenario.ts";
import { programmedOf } from "./report.ts";

const readyOf = async (options: Parameters<typeof scenario>[0], interfaces: readonly string[]): Promise<boolean[]> =>
  programmedOf(await intentOf(scenario(options)), 1, new Set(interfaces)).vips.map(({ ready }) => ready);

it("a VIP may be announced while a target of its own can be reached by an interface that is there", async () => {
  expect(await readyOf({}, ["ext0", "svc0"])).toEqual([true, true]);
  expect(await readyOf({}, ["ext0"])).toEqual([false, false]);
  expect(await readyOf({ targets: 0 }, ["ext0", "svc0"])).toEqual([false, false]);
});

it("no interface withdraws everything, and names the VIPs still", async () => {
  const intent = await intentOf(scenario());
  const { vips } = programmedOf(intent, 7, new Set());
  expect(vips.map(({ address }) => address)).toEqual(intent.vips);
  expect(vips.some(({ ready }) => ready)).toBe(false);
});

it("a VIP of which no flow reaches a target is not ready, whatever its tables hold; the other family's is", async () => {
  const intent = await intentOf(scenario(), undefined, "edge", {
    isUnreachable: (_, __, address) => address.includes("."),
  });
  const { vips } = programmedOf(intent, 1, new Set(["ext0", "svc0"]));
  expect(vips.map(({ address, ready }) => [address, ready])).toEqual([
    ["198.51.100.10", false],
    ["2001:db8:100::10", true],
  ]);
});
