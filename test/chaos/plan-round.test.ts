import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { FIRST_TARGETS, GATEWAYS, TARGETS } from "../support/faults/fault-lab.ts";
import type { Fault } from "../support/faults/faults.ts";
import { planChanges, planRound } from "./plan-round.ts";

const seeds = fc.integer({ min: 0, max: 2 ** 31 - 1 });

/** Walks through faults and changes, and checks at each that the service can go on. */
function expectServed(faults: readonly (readonly Fault[])[]): void {
  let members: readonly string[] = FIRST_TARGETS;
  const draining = new Set<string>();
  for (const together of faults) {
    const killed = together.flatMap((fault) => (fault.kind === "kill-target" ? [fault.target] : []));
    for (const fault of together) {
      if (fault.kind === "members") {
        expect(fault.targets).toEqual(expect.arrayContaining([...members]));
        members = fault.targets;
      } else if (fault.kind === "drain") {
        expect(draining.has(fault.target)).toBe(false);
        expect(members).toContain(fault.target);
        draining.add(fault.target);
      } else if (fault.kind === "weights") {
        expect(fault.weights.odd + fault.weights.even).toBe(100);
      } else if (fault.kind === "kill-target") {
        expect(draining.has(fault.target)).toBe(false);
      } else if ("node" in fault) {
        expect([...GATEWAYS, "cluster"]).toContain(fault.node);
      }
      for (const parity of [0, 1]) {
        const serving = members.filter((target) => Number(target.at(-1)) % 2 === parity && !draining.has(target));
        expect(serving.filter((target) => !killed.includes(target)).length).toBeGreaterThan(0);
      }
    }
    expect(TARGETS).toEqual(expect.arrayContaining([...members]));
  }
}

describe("a round of chaos", () => {
  it("is the same for the same seed, and can be written down", () => {
    fc.assert(
      fc.property(seeds, (seed) => {
        const round = planRound(seed, 4);
        expect(planRound(seed, 4)).toEqual(round);
        expect(JSON.parse(JSON.stringify(round))).toEqual(round);
      }),
    );
  });

  it("leaves each track a target that serves, and no more than one thing broken at a time", () => {
    fc.assert(
      fc.property(seeds, (seed) => {
        const round = planRound(seed, 8);
        expectServed(round.map(({ fault, changes }) => [fault, ...changes.map(({ change }) => change)]));
        for (const { changes, lastsMs } of round) {
          const times = changes.map(({ afterMs }) => afterMs);
          expect(times).toEqual(times.toSorted((a, b) => a - b));
          for (const afterMs of times) expect(afterMs).toBeLessThanOrEqual(lastsMs);
        }
      }),
    );
  });

  it("moves no flow to another instance once targets have changed", () => {
    const moving = ["kill-instance", "freeze-instance", "cut-instance", "restart-instance", "flush", "restart-router"];
    const changing = ["members", "weights", "drain", "kill-target"];
    fc.assert(
      fc.property(seeds, fc.integer({ min: 1, max: 8 }), (seed, steps) => {
        const all = planRound(seed, steps).flatMap(({ fault, changes }) => [
          fault,
          ...changes.map(({ change }) => change),
        ]);
        const changed = all.findIndex(({ kind }) => changing.includes(kind));
        const moved = all.findLastIndex(
          (fault) => moving.includes(fault.kind) || (fault.kind === "kill-process" && fault.process === "frontend"),
        );
        expect(changed === -1 || moved < changed).toBe(true);
      }),
    );
  });

  it("has every kind of fault and of change in it, seen over many seeds", () => {
    const rounds = Array.from({ length: 200 }, (_, seed) => planRound(seed, 4)).flat();
    const kinds = rounds.flatMap(({ fault, changes }) => [fault.kind, ...changes.map(({ change }) => change.kind)]);
    expect([...new Set(kinds)].sort()).toEqual([
      ...["cut-instance", "drain", "flush", "freeze-instance", "kill-instance", "kill-process", "kill-target"],
      ...["members", "restart-instance", "restart-router", "weights"],
    ]);
  });

  it("changes targets and weights without end", () => {
    fc.assert(fc.property(seeds, (seed) => expectServed(planChanges(seed, 20).map((change) => [change]))));
  });
});
