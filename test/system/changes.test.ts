import { setTimeout as delay } from "node:timers/promises";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { planChanges } from "../chaos/plan-round.ts";
import { FaultLab, TARGETS } from "../support/faults/fault-lab.ts";
import type { Fault } from "../support/faults/faults.ts";
import { outageMs } from "../support/faults/held-traffic.ts";
import type { Ordeal } from "../support/faults/ordeal.ts";
import { Trials } from "../support/faults/trials.ts";

/** Between two changes, every connection speaks at least twice. */
const PAUSE_MS = 600;

let lab: FaultLab;
let trials: Trials;
beforeAll(async () => {
  lab = await FaultLab.start("changes", { instancesFail: false });
  trials = new Trials(lab);
});
afterEach(() => lab?.heal());
afterAll(async () => {
  console.log(trials?.figures.join("\n"));
  await lab?.close();
});

const targets = (count: number): Fault => ({ kind: "members", targets: TARGETS.slice(0, count) });

/** Targets are added, 3 to 4 and 4 to 8, and the weights of the two tracks change. */
async function grow(ordeal: Ordeal): Promise<void> {
  for (const change of [targets(4), targets(8), { kind: "weights", weights: { odd: 80, even: 20 } } as const]) {
    await ordeal.begin(change);
    await delay(PAUSE_MS);
  }
}

describe("no connection of a target that serves breaks", () => {
  it("when targets are added, 3 to 4 and 4 to 8, and weights changed", async () => {
    lab.setMembers(TARGETS.slice(0, 3));
    const { seen, failures } = await trials.see("targets added, weights changed", grow);
    expect(failures).toEqual([]);
    expect(seen.newTargets).toEqual(TARGETS);
  });

  it("while a target is drained", async () => {
    const { failures } = await trials.see("a target drained", async (ordeal) => {
      await ordeal.begin({ kind: "drain", target: "target-2", graceSeconds: 60 });
      await delay(PAUSE_MS);
    });
    expect(failures).toEqual([]);
  });

  it("before its own ends, when all of 8 are replaced, one every 2 s", async () => {
    lab.setMembers(TARGETS);
    const { failures } = await trials.see("8 targets replaced", async (ordeal) => {
      const replaced: Promise<void>[] = [];
      for (const target of TARGETS) {
        const drain: Fault = { kind: "drain", target, graceSeconds: 4 };
        await ordeal.begin(drain);
        replaced.push(ordeal.end(drain));
        await delay(2000);
      }
      await Promise.all(replaced);
    });
    expect(failures).toEqual([]);
  });

  it("when 20 changes overlap within 10 s", async () => {
    const { failures } = await trials.see("20 changes", async (ordeal) => {
      for (const change of planChanges(20, 20)) {
        await ordeal.begin(change);
        await delay(500);
      }
    });
    expect(failures).toEqual([]);
  });

  it("when another one is killed", async () => {
    const kill: Fault = { kind: "kill-target", target: "target-3" };
    const { seen, failures } = await trials.see("a target killed", async (ordeal) => {
      await ordeal.begin(kill);
      await delay(PAUSE_MS);
      await ordeal.end(kill);
    });
    expect(failures).toEqual([]);
    // A quarter of all is its own.
    expect(seen.broken.length).toBeGreaterThan(100);
  });
});

/** Negative controls: without what guards them, the same tests see the fault. */
describe("seen without what guards", () => {
  it("targets added, and weights changed, without flow keeping", async () => {
    await lab.setFlowKeeping("Off");
    lab.setMembers(TARGETS.slice(0, 3));
    const { seen } = await trials.see("targets added, weights changed, without flow keeping", grow);
    await lab.setFlowKeeping("On");
    expect(seen.broken.length).toBeGreaterThan(100);
  });

  it("a target taken away without being drained", async () => {
    const { failures } = await trials.see("a target taken away", async (ordeal) => {
      await ordeal.begin({ kind: "members", targets: TARGETS.filter((_, index) => index < 4 && index !== 1) });
      await delay(PAUSE_MS);
    });
    expect(failures).not.toEqual([]);
  });

  it("a target killed, while no controller tells of it", async () => {
    const kill: Fault = { kind: "kill-target", target: "target-3" };
    const controller: Fault = { kind: "kill-process", node: "cluster", process: "controller" };
    const { seen } = await trials.see("a target killed without a controller", async (ordeal) => {
      await ordeal.begin(controller);
      await ordeal.begin(kill);
      await delay(1200);
      await ordeal.end(kill);
      await ordeal.end(controller);
    });
    expect(outageMs(seen)).toBeGreaterThan(1000);
  });
});
