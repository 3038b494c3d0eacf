import { setTimeout as delay } from "node:timers/promises";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { FaultLab, GATEWAYS } from "../support/faults/fault-lab.ts";
import { type Fault, describe as textOf } from "../support/faults/faults.ts";
import { HeldTraffic, outageMs } from "../support/faults/held-traffic.ts";
import type { Ordeal } from "../support/faults/ordeal.ts";
import { Trials } from "../support/faults/trials.ts";
import { until } from "../support/system-lab.ts";

/** How long a fault lasts: each of the 1,000 connections speaks twice in it. */
const LASTS_MS = 1000;

let lab: FaultLab;
let trials: Trials;
beforeAll(async () => {
  lab = await FaultLab.start("faults");
  trials = new Trials(lab);
});
afterEach(() => lab?.heal());
afterAll(async () => {
  console.log(trials?.figures.join("\n"));
  await lab?.close();
});

const CUT: Fault = { kind: "cut-instance", node: "gateway-a" };
const FREEZE: Fault = { kind: "freeze-instance", node: "gateway-a" };
const FLUSH: Fault = { kind: "flush", node: "gateway-a" };
const KILL_TARGET: Fault = { kind: "kill-target", target: "target-3" };
const RESTART_ROUTER: Fault = { kind: "restart-router" };
const kill = (process: string, node = "gateway-a"): Fault => ({ kind: "kill-process", node, process });

const stays = (fault: Fault) => (ordeal: Ordeal) => lasting(ordeal, fault, () => delay(LASTS_MS));

/** A fault, for as long as something else takes. */
async function lasting(ordeal: Ordeal, fault: Fault, meanwhile: () => Promise<unknown>): Promise<void> {
  await ordeal.begin(fault);
  await meanwhile();
  await ordeal.end(fault);
}

/** Waits until the router sends nothing to an instance any more. */
const routerLeft = (node: string) =>
  until(
    () => lab.status(),
    ({ vips }) => vips.every(({ nextHops }) => !nextHops.includes(node)),
    15_000,
    () => `the router still sends to ${node}`,
  );

describe("1,000 connections and new ones survive", () => {
  const rows: Fault[] = [
    { kind: "kill-instance", node: "gateway-a" },
    CUT,
    kill("proxy"),
    kill("frontend"),
    kill("controller", "cluster"),
    kill("node", "cluster"),
    RESTART_ROUTER,
    FLUSH,
  ];
  it.each(rows.map((fault) => ({ title: textOf(fault), fault })))("$title", async ({ title, fault }) => {
    const { seen, failures } = await trials.keep(title, stays(fault));
    expect(failures).toEqual([]);
    expect(seen.held).toBe(1000);
  });

  /** A frozen instance forwards on by tables that nobody changes: when a target is killed, it must be out of the way. */
  it("freeze-instance gateway-a, and a change that it does not follow", async () => {
    const { failures } = await trials.keep("freeze-instance and kill-target", (ordeal) =>
      lasting(ordeal, FREEZE, async () => {
        await routerLeft("gateway-a");
        await stays(KILL_TARGET)(ordeal);
      }),
    );
    expect(failures).toEqual([]);
  });

  it("a rolling restart of both instances", async () => {
    const { failures } = await trials.keep("rolling restart", async (ordeal) => {
      for (const node of GATEWAYS) {
        await lasting(ordeal, { kind: "restart-instance", node }, async () => undefined);
        await lab.converged();
      }
    });
    expect(failures).toEqual([]);
  });
});

/** Negative controls: without what guards them, the same stories show the fault. */
describe("seen without what guards", () => {
  it("cut-instance, without BFD", async () => {
    await lab.setBfd(false);
    const { seen } = await trials.see("cut-instance without BFD", (ordeal) =>
      lasting(ordeal, CUT, () => routerLeft("gateway-a")),
    );
    expect(outageMs(seen)).toBeGreaterThan(1000);
  });

  it("freeze-instance, without BFD", async () => {
    await lab.setBfd(false);
    const { seen } = await trials.see("freeze-instance and kill-target without BFD", (ordeal) =>
      lasting(ordeal, FREEZE, () => lasting(ordeal, KILL_TARGET, () => delay(1300))),
    );
    expect(outageMs(seen)).toBeGreaterThan(1000);
  });

  it("kill-process proxy and flush, if nobody repaired", async () => {
    const { seen, failures } = await trials.see("flush without a proxy", (ordeal) =>
      lasting(ordeal, kill("proxy"), () => lasting(ordeal, FLUSH, () => delay(1300))),
    );
    expect(failures).not.toEqual([]);
    expect(outageMs(seen)).toBeGreaterThan(1000);
  });

  it("kill-instance, if the other instance had other tables", async () => {
    const reseed =
      "(echo flush ruleset; nft list ruleset | sed 's/seed 0x[0-9a-f]*/seed 0x1/') >reseeded; nft -f reseeded";
    await lab.converged();
    await lab.act("stop", "gateway-b", "proxy");
    await lab.lab.sh("gateway-b", `cd "$(mktemp -d)"; ${reseed}`);
    const traffic = await HeldTraffic.start(lab.lab);
    await lab.act("stop", "gateway-a");
    await delay(LASTS_MS);
    const seen = await traffic.stop();
    expect(seen.broken.length).toBeGreaterThan(100);
  });

  it("restart-router, without graceful restart", async () => {
    await lab.setGracefulRestart(false);
    const { failures } = await trials.see("restart-router without graceful restart", stays(RESTART_ROUTER));
    await lab.setGracefulRestart(true);
    expect(failures).not.toEqual([]);
  });

  it("both instances restarted at once", async () => {
    const { failures } = await trials.see("restart of both at once", async (ordeal) => {
      const restarts = GATEWAYS.map((node): Fault => ({ kind: "restart-instance", node }));
      await Promise.all(restarts.map((restart) => ordeal.begin(restart)));
      for (const restart of restarts) await ordeal.end(restart);
    });
    expect(failures).not.toEqual([]);
  });
});
