/*
 * BFD as a frontend has it, beside a main thread that is busy half of the time: node bfd-watch.ts INTERFACE LOCAL=NEIGHBOUR…
 * Prints a line when all sessions are up, and how often they fell and why for each line that it reads.
 */
import { createInterface } from "node:readline";
import { BfdThread } from "#shared/bfd/bfd-thread.ts";
import { ip } from "#shared/net/ip.ts";

const BUSY_MS = 50;
const [device = "", ...pairs] = process.argv.slice(2);
const log = { debug: () => undefined, info: () => undefined, warn: () => undefined, error: console.error };
const thread = new BfdThread(log, () => {
  const states = [...thread.reports().values()].map(({ state }) => state);
  if (states.length === pairs.length && states.every((state) => state === "Up")) console.log("up");
});
thread.want(
  pairs.map((pair) => {
    const [local = "", neighbour = ""] = pair.split("=");
    return { local: ip(local), neighbour: ip(neighbour), interface: device, intervalMs: 100, multiplier: 3 };
  }),
);
const busy = setInterval(() => {
  const endMs = performance.now() + BUSY_MS;
  while (performance.now() < endMs);
}, 2 * BUSY_MS);
const lines = createInterface({ input: process.stdin });
lines.on("line", () => {
  const reports = [...thread.reports().values()];
  console.log(
    JSON.stringify(reports.map(({ neighbour, falls, state, diagnostic }) => ({ neighbour, falls, state, diagnostic }))),
  );
});
lines.on("close", () => {
  clearInterval(busy);
  void thread.close();
});
