import { setTimeout as delay } from "node:timers/promises";
import { afterAll, afterEach, beforeAll, expect, it } from "vitest";
import { FaultLab } from "../support/faults/fault-lab.ts";
import { HeldTraffic, outageMs, type Seen } from "../support/faults/held-traffic.ts";
import { until } from "../support/system-lab.ts";

const NODE = "gateway-a";
/** What is promised is 1 s. This tells it from a loss that lasts as long as the fault. */
const LIMIT_MS = 2_500;

let lab: FaultLab;
beforeAll(async () => {
  lab = await FaultLab.start("service-link");
  await lab.converged();
});
afterEach(async () => {
  await lab?.act("mend", NODE, "svc0");
  await lab?.heal();
});
afterAll(() => lab?.close());

/** What 1,000 connections, and new ones, see of a link to the service network that loses everything. */
async function seenDuring(
  meanwhile: () => Promise<unknown>,
  before: () => Promise<unknown> = () => Promise.resolve(),
): Promise<Seen> {
  await lab.converged();
  await before();
  const traffic = await HeldTraffic.start(lab.lab);
  await lab.act("cut", NODE, "svc0");
  await meanwhile();
  await lab.act("mend", NODE, "svc0");
  await lab.act("start", NODE, "proxy");
  await lab.converged();
  const seen = await traffic.stop();
  console.log(`${seen.broken.length} of ${seen.held} broken, not served at once for ${outageMs(seen)} ms`);
  return seen;
}

const isAnnounced = async (): Promise<boolean> => {
  const { vips } = await lab.status();
  return vips.some(({ nextHops }) => nextHops.includes(NODE));
};

it("an instance that reaches nobody on its service network withdraws; no connection breaks", async () => {
  const seen = await seenDuring(async () => {
    await until(
      isAnnounced,
      (announced) => !announced,
      15_000,
      () => `the router still sends to ${NODE}`,
    );
    await delay(LIMIT_MS);
  });
  expect(seen.broken).toEqual([]);
  expect(outageMs(seen)).toBeLessThan(LIMIT_MS);
  expect(lab.lab.log(NODE, "proxy")).toContain("nobody answers on the service network");
});

it("control: while its proxy is dead it goes on attracting what it loses", async () => {
  const seen = await seenDuring(
    () => delay(2 * LIMIT_MS),
    () => lab.act("stop", NODE, "proxy"),
  );
  expect(outageMs(seen)).toBeGreaterThan(LIMIT_MS);
});
