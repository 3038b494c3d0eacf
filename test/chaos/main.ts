/*
 * `npm run chaos -- --rounds N [--seed S]`: rounds of random faults over a running lab with 1,000 held connections of
 * both families and new ones beside them. The same seed gives the same steps. Exit status 0 when every promise of
 * docs/operations.md was kept.
 */
import { randomInt } from "node:crypto";
import { parseArgs } from "node:util";
import { FaultLab } from "../support/faults/fault-lab.ts";
import { planRound } from "./plan-round.ts";
import { runRound } from "./run-round.ts";

const { values } = parseArgs({
  options: {
    rounds: { type: "string", default: "1" },
    seed: { type: "string" },
    steps: { type: "string", default: "4" },
  },
});

function whole(name: "rounds" | "seed" | "steps", text: string, least: number, most: number): number {
  const value = /^[0-9]+$/.test(text) ? Number(text) : Number.NaN;
  if (value >= least && value <= most) return value;
  throw new RangeError(`--${name} ${JSON.stringify(text)} must be a whole number from ${least} to ${most}`);
}

const SEEDS = 2 ** 31;
const rounds = whole("rounds", values.rounds, 1, 100_000);
const steps = whole("steps", values.steps, 1, 8);
const first = values.seed === undefined ? randomInt(SEEDS) : whole("seed", values.seed, 0, SEEDS - 1);

console.log(`${rounds} rounds of ${steps} steps, seed ${first}`);
const lab = await FaultLab.start("chaos");
const failed: number[] = [];
try {
  for (let round = 0; round < rounds; round++) {
    const seed = (first + round) % SEEDS;
    console.log(`round ${round + 1}, seed ${seed}`);
    const result = await runRound(lab, planRound(seed, steps), { log: (line) => console.log(line) });
    const { failures, held, newConnections, outageMs } = result;
    console.log(
      `  held ${held}, new ${newConnections}, longest time not served at once ${outageMs} ms: ${failures.length === 0 ? "ok" : "FAILED"}`,
    );
    if (failures.length === 0) continue;
    failed.push(seed);
    for (const failure of failures) console.log(`  ${failure}`);
    console.log(`  again: npm run chaos -- --rounds 1 --steps ${steps} --seed ${seed}`);
  }
} finally {
  await lab.close();
}
console.log(
  failed.length === 0
    ? `all ${rounds} rounds kept every promise`
    : `${failed.length} of ${rounds} rounds failed, seeds ${failed.join(", ")}`,
);
process.exitCode = failed.length === 0 ? 0 : 1;
