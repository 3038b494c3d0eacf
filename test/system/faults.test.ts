import { setTimeout as delay } from "node:timers/promises";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { FaultLab } from "../support/faults/fault-lab.ts";
import { begin, end, type Fault, promised, describe as textOf } from "../support/faults/faults.ts";
import { HeldTraffic, outageMs, type Seen } from "../support/faults/held-traffic.ts";
import { until } from "../support/system-lab.ts";

/** How long a fault lasts: each of the 1,000 connections speaks four times in it. */
const LASTS_MS = 1000;

let lab: FaultLab;
beforeAll(async () => {
  lab = await FaultLab.start("faults");
  await lab.converged();
});
afterEach(() => lab?.heal());
afterAll(async () => {
  console.log(figures.join("\n"));
  await lab?.close();
});

const figures: string[] = [];

/** What 1,000 connections and new ones beside them see of a fault, until the lab is whole again. */
async function seenDuring(fault: Fault, meanwhile: () => Promise<void> = () => delay(LASTS_MS)): Promise<Seen> {
  await lab.converged();
  const traffic = await HeldTraffic.start(lab.lab);
  await begin(lab, fault);
  await meanwhile();
  await end(lab, fault);
  await lab.converged();
  const seen = await traffic.stop();
  figures.push(
    `${textOf(fault)}: ${seen.broken.length} of ${seen.held} broken, not served at once for ${outageMs(seen)} ms`,
  );
  return seen;
}

function expectPromised(seen: Seen, fault: Fault): void {
  const { own, servedWithinMs } = promised(fault);
  expect(seen.held).toBe(1000);
  expect(seen.broken.filter(({ target }) => target !== own)).toEqual([]);
  expect(seen.newConnections).toBeGreaterThan(100);
  if (servedWithinMs === 0) expect(seen.outages).toEqual([]);
  else expect(outageMs(seen)).toBeLessThan(servedWithinMs);
}

/** Waits until the router sends nothing to an instance any more. */
const routerLeft = async (node: string): Promise<void> => {
  await until(
    () => lab.status(),
    ({ vips }) => vips.every(({ nextHops }) => !nextHops.includes(node)),
    15_000,
    () => `the router still sends to ${node}`,
  );
};

/** An instance that hangs while a target is killed, of which it does not know. */
async function frozenDuringKill(noticed: () => Promise<void>): Promise<Seen> {
  const kill: Fault = { kind: "kill-target", target: "target-3" };
  return await seenDuring({ kind: "freeze-instance", node: "gateway-a" }, async () => {
    await noticed();
    await begin(lab, kill);
    await delay(1200);
    await end(lab, kill);
  });
}

describe("1,000 connections and new ones survive", () => {
  const rows: Fault[] = [
    { kind: "kill-instance", node: "gateway-a" },
    { kind: "cut-instance", node: "gateway-a" },
    { kind: "kill-process", node: "gateway-a", process: "proxy" },
    { kind: "kill-process", node: "gateway-a", process: "frontend" },
    { kind: "kill-process", node: "cluster", process: "controller" },
    { kind: "kill-process", node: "cluster", process: "node" },
  ];
  it.each(rows.map((fault) => ({ title: textOf(fault), fault })))("$title", async ({ fault }) => {
    expectPromised(await seenDuring(fault), fault);
  });

  /** A frozen instance forwards on by tables that nobody changes: when a target is killed, it must be out of the way. */
  it("freeze-instance gateway-a, and a change that it does not follow", async () => {
    expect(outageMs(await frozenDuringKill(() => routerLeft("gateway-a")))).toBeLessThan(1000);
  });
});

/** Negative controls: without what guards them, the same tests see the fault. */
describe("seen without what guards", () => {
  it("cut-instance, without BFD", async () => {
    await lab.setBfd(false);
    const seen = await seenDuring({ kind: "cut-instance", node: "gateway-a" }, () => routerLeft("gateway-a"));
    expect(outageMs(seen)).toBeGreaterThan(1000);
  });

  it("freeze-instance, without BFD", async () => {
    await lab.setBfd(false);
    const seen = await frozenDuringKill(() => delay(300));
    expect(outageMs(seen)).toBeGreaterThan(1000);
  });

  it("kill-target, while no controller tells of it", async () => {
    const kill: Fault = { kind: "kill-target", target: "target-3" };
    const seen = await seenDuring({ kind: "kill-process", node: "cluster", process: "controller" }, async () => {
      await begin(lab, kill);
      await delay(1200);
      await end(lab, kill);
    });
    expect(outageMs(seen)).toBeGreaterThan(1000);
  });

  it("kill-process proxy, if the tables died with it", async () => {
    const fault: Fault = { kind: "kill-process", node: "gateway-a", process: "proxy" };
    const seen = await seenDuring(fault, async () => {
      await lab.lab.exec("gateway-a", "nft", "flush", "ruleset");
      await delay(LASTS_MS);
    });
    expect(seen.broken).not.toEqual([]);
    expect(seen.outages).not.toEqual([]);
  });

  it("kill-instance, if the other instance had other tables", async () => {
    const other: Fault = { kind: "kill-process", node: "gateway-b", process: "proxy" };
    const reseed =
      "(echo flush ruleset; nft list ruleset | sed 's/seed 0x[0-9a-f]*/seed 0x1/') >reseeded; nft -f reseeded";
    await begin(lab, other);
    await lab.lab.sh("gateway-b", `cd "$(mktemp -d)"; ${reseed}`);
    const traffic = await HeldTraffic.start(lab.lab);
    const fault: Fault = { kind: "kill-instance", node: "gateway-a" };
    await begin(lab, fault);
    await delay(LASTS_MS);
    const seen = await traffic.stop();
    expect(seen.broken.length).toBeGreaterThan(100);
  });
});
