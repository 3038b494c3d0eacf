import { expect, it } from "vitest";
import { planRound } from "../chaos/plan-round.ts";
import { runRound } from "../chaos/run-round.ts";
import { FaultLab } from "../support/faults/fault-lab.ts";
import { isOverloaded } from "../support/faults/trials.ts";

/** `npm run chaos` plays more of them, and others. */
const SEED = 7;

it("a short round of chaos breaks no promise", async () => {
  const lab = await FaultLab.start("chaos");
  const lines: string[] = [];
  const round = () => runRound(lab, planRound(SEED, 2), { log: (line) => lines.push(line) });
  try {
    let result = await round();
    if (result.failures.length > 0 && isOverloaded()) result = await round();
    const again = `again: npm run chaos -- --rounds 1 --steps 2 --seed ${SEED}`;
    expect(result.failures, [...lines, again].join("\n")).toEqual([]);
    expect(result.held).toBe(1000);
  } finally {
    await lab.close();
  }
});
