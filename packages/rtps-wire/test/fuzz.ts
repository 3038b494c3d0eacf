/*
 * Mutates the recorded datagrams and reads all that can be read of them: node test/fuzz.ts [--datagrams N] [--seed N]
 * Ends with 1 on anything thrown that is no RtpsParseError, with the datagram that did it. Prints what was read, how fast,
 * and after each tenth the resident memory and, with `node --expose-gc`, what is left on the heap after a collection.
 */
import { parseArgs } from "node:util";
import { exercise } from "./exercise.ts";
import { mutate, randomNumbers } from "./mutate.ts";
import { vectors } from "./vectors.ts";

const { values: options } = parseArgs({
  options: { datagrams: { type: "string", default: "1000000" }, seed: { type: "string", default: "1" } },
});
const datagrams = Number(options.datagrams);
const random = randomNumbers(Number(options.seed));
const originals = Object.values(vectors).flatMap((recorded) => recorded.map(({ bytes }) => bytes));
const scratch = new Uint8Array(8192);
const pick = (): Uint8Array => originals[random(originals.length)] ?? scratch;

const totals = { faults: 0, participants: 0, endpoints: 0, gone: 0, refused: 0 };
const residentMb: number[] = [];
const heapMb: number[] = [];
const start = performance.now();
let slowestMs = 0;
for (let count = 1; count <= datagrams; count++) {
  const datagram = mutate(pick(), pick(), random, scratch);
  const began = performance.now();
  try {
    const outcome = exercise(datagram);
    if (outcome.fault) totals.faults++;
    totals.participants += outcome.participants;
    totals.endpoints += outcome.endpoints;
    totals.gone += outcome.gone;
    totals.refused += outcome.refused;
  } catch (error) {
    console.error(`datagram ${count}: ${Buffer.from(datagram).toString("hex")}`);
    throw error;
  }
  slowestMs = Math.max(slowestMs, performance.now() - began);
  if (count % Math.ceil(datagrams / 10) !== 0) continue;
  globalThis.gc?.();
  const { rss, heapUsed, external } = process.memoryUsage();
  residentMb.push(Math.round(rss / 1e6));
  heapMb.push(Math.round((heapUsed + external) / 1e5) / 10);
}
const seconds = (performance.now() - start) / 1000;
console.log(
  JSON.stringify({
    datagrams,
    perSecond: Math.round(datagrams / seconds),
    slowestMs: Math.round(slowestMs * 100) / 100,
    ...totals,
    residentMb,
    heapMb,
  }),
);
