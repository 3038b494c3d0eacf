/*
 * From the change of an EndpointSlice to the kernel: one instance with 100 services of 997 slots, each over four pods of
 * its own choice, IPv4 and IPv6. In turn a service loses a pod or gets it back,
 * in one family or in both.
 *
 *   sh scripts/sandbox.sh node bench/change.ts [--json FILE] [--changes N] [--mode DSR|NAT]
 *
 * In one process, as the proxy's loop does it: the store takes the object, routes attach, the intent is resolved, the
 * namespace is observed, routing and both tables are brought up to date. The last transaction's end is the time when the
 * kernel forwards by the new table. Changes are made one at a time; a garbage collection that falls into one counts. `of it
 * CPU` is this thread's own time (the kernel's part included), which other work on the machine does not lengthen.
 */
import { parseArgs } from "node:util";
import type { Family } from "#shared/net/ip.ts";
import { attach } from "#shared/resolve/attach.ts";
import { resolveIntent } from "#shared/resolve/intent.ts";
import { TableCache } from "#shared/resolve/tables.ts";
import { fastPath } from "../proxy/nft/fast-path.ts";
import { slowPath } from "../proxy/nft/slow-path.ts";
import { scenario, slice, viewOf } from "../test/support/scenario.ts";
import { Testbed } from "../test/support/testbed.ts";
import { fourOf20 } from "./support/combinations.ts";
import { printTable, quantile, reportJson } from "./support/figures.ts";
import { threadCpuNs } from "./support/packet-sender.ts";

const SERVICES = 100;
const FIRST_PORT = 10_000;
const GATEWAY = { namespace: "default", name: "edge" };
const GOAL_P99_MS = 20;
/** A service's families share a table while they have the same pods, so a slice alone makes a new table of 997 slots. */
const CASES = [
  { name: "one slice", families: [4] },
  { name: "both slices", families: [4, 6] },
] as const;

const { values: args } = parseArgs({
  options: {
    json: { type: "string" },
    changes: { type: "string", default: "400" },
    mode: { type: "string", default: "DSR" },
  },
});
const changes = Number(args.changes);
const mode = args.mode === "NAT" ? "NAT" : "DSR";

const store = scenario({
  mode,
  targets: 20,
  listeners: Array.from({ length: SERVICES }, (_, i) => ({ protocol: "TCP" as const, port: FIRST_PORT + i })),
  targetsOf: fourOf20,
});
const view = await viewOf(store);
// As the proxy does: routes are attached anew only when another kind of object changes.
const attachments = attach(view);
const bed = new Testbed({ prefix: "cw-ch", targets: 0 });
const cache = new TableCache();
const stages: Record<"resolve" | "observe" | "routing" | "tables" | "kernel" | "total" | "of it CPU", number[]> = {
  resolve: [],
  observe: [],
  routing: [],
  tables: [],
  kernel: [],
  total: [],
  "of it CPU": [],
};

/** What the proxy's loop does. @returns the number of nftables transactions. */
function converge(startMs: number): number {
  let lastMs = startMs;
  const lap = (stage: keyof typeof stages): void => {
    const nowMs = performance.now();
    stages[stage].push(nowMs - lastMs);
    lastMs = nowMs;
  };
  const intent = resolveIntent(attachments, view.list("EndpointSlice"), GATEWAY, cache);
  if (intent === undefined || intent.problems.length > 0) throw new Error(`no intent: ${intent?.problems[0]?.message}`);
  lap("resolve");
  const { environment, devices } = bed.kernel.observe(intent);
  lap("observe");
  bed.kernel.applyRouting(intent, devices);
  lap("routing");
  const tables = [slowPath(intent), fastPath(intent, environment)];
  lap("tables");
  const transactions = bed.kernel.applyTables(tables);
  lap("kernel");
  stages.total.push(lastMs - startMs);
  return transactions;
}

const beforeMs = performance.now();
converge(beforeMs);
const firstMs = performance.now() - beforeMs;

/** Changes one slice, or both of a service; times them when the kernel has them. */
function change(index: number, families: readonly Family[]): void {
  const service = index % SERVICES;
  const all = fourOf20(service);
  const numbers = Math.floor(index / SERVICES) % 2 === 0 ? all.slice(1) : all;
  const port = FIRST_PORT + service;
  const slices = families.map((family) => {
    const prefix = family === 4 ? "10.1.0." : "fd00:1::";
    const pods = numbers.map((n) => [`pod-${n}`, `${prefix}${n.toString(family === 4 ? 10 : 16)}`] as const);
    return slice(`tcp-${port}`, family, port, "TCP", new Map(pods));
  });
  const startNs = threadCpuNs();
  const startMs = performance.now();
  for (const changed of slices) store.put(changed);
  const transactions = converge(startMs);
  stages["of it CPU"].push((threadCpuNs() - startNs) / 1e6);
  if (transactions !== 1) throw new Error(`change ${index} took ${transactions} transactions instead of one`);
}

const results = CASES.flatMap(({ name, families }) => {
  for (const values of Object.values(stages)) values.length = 0;
  for (let index = 0; index < changes; index++) change(index, families);
  return Object.entries(stages).map(([stage, values]) => ({
    what: name,
    stage,
    p50Ms: quantile(values, 0.5),
    p99Ms: quantile(values, 0.99),
    maxMs: Math.max(...values),
  }));
});
bed.close();

printTable(
  ["changed", "stage", "p50 ms", "p99 ms", "max ms"],
  results.map((r) => [r.what, r.stage, r.p50Ms.toFixed(2), r.p99Ms.toFixed(2), r.maxMs.toFixed(2)]),
);
console.log(`from nothing: ${firstMs.toFixed(0)} ms; goal: p99 of the total under ${GOAL_P99_MS} ms`);
reportJson({ mode, services: SERVICES, slots: 997, changes, fromNothingMs: firstMs, goalP99Ms: GOAL_P99_MS, results });
