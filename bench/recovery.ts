/*
 * How long each fault is felt: 20 rounds each (`--rounds`) on a lab with two instances, eight targets, BFD at 100 ms x 3 and
 * graceful restart. *Noticed*: from the fault to the first change that it makes the system do in a kernel, that of the
 * router's routes (an instance) or of the instances' rulesets (a target). *Not served*: from the
 * beginning of the first new TCP connection that was not accepted at once to that of the last one, both families together; 0
 * when all were. 200 connections are held, 200 new ones are made a second. `--only KIND` measures one fault.
 */
import { setTimeout as delay } from "node:timers/promises";
import { parseArgs } from "node:util";
import { ChangeWatch } from "../test/support/change-watch.ts";
import { FaultLab, GATEWAYS } from "../test/support/faults/fault-lab.ts";
import { describe, type Fault } from "../test/support/faults/faults.ts";
import { outageMs } from "../test/support/faults/held-traffic.ts";
import { Ordeal } from "../test/support/faults/ordeal.ts";
import { median, printTable, reportJson } from "./support/figures.ts";

const LOAD = { connections: 200, newPerSecond: 200 };
/** Longer than any of them is felt, and shorter than BGP's hold time. */
const LASTS_MS = 1500;
/** Figures of the field: Network Service Mesh's endpoint, and its forwarder or the whole of it; Meridio-2's BFD, and its dead node. */
const FIELD: Readonly<Record<string, string>> = {
  "kill-target": "NSM 2 s",
  "kill-instance": "NSM 8-9 s; Meridio-2 BFD 300 ms x 3",
  "freeze-instance": "Meridio-2 BFD 300 ms x 3",
  "cut-instance": "Meridio-2: dead node 5 m 40 s",
};
const INSTANCE = ["kill-instance", "freeze-instance", "cut-instance"];
const FAULTS: readonly Fault[] = [
  { kind: "kill-target", target: "target-3" },
  { kind: "kill-instance", node: "gateway-a" },
  { kind: "freeze-instance", node: "gateway-a" },
  { kind: "cut-instance", node: "gateway-a" },
  { kind: "kill-process", node: "gateway-a", process: "proxy" },
  { kind: "kill-process", node: "gateway-a", process: "frontend" },
  { kind: "kill-process", node: "cluster", process: "controller" },
  { kind: "kill-process", node: "cluster", process: "node" },
  { kind: "restart-router" },
  { kind: "flush", node: "gateway-a" },
];

const { values: args } = parseArgs({
  options: { json: { type: "string" }, rounds: { type: "string", default: "20" }, only: { type: "string" } },
});
const rounds = Number(args.rounds);

const lab = await FaultLab.start("recovery");
const router = await ChangeWatch.routes(lab.lab, "router");
const rulesets = await Promise.all(GATEWAYS.map((node) => ChangeWatch.nftables(lab.lab, node)));
const NOTHING = Number.NaN;

/** ms until the first change in a kernel that is the system's answer; NaN where there is none. */
function noticedMs(fault: Fault, sinceMs: number): number {
  const firsts = INSTANCE.includes(fault.kind)
    ? [router.first("198.51.100.1", sinceMs), router.first("2001:db8:100::1", sinceMs)]
    : fault.kind === "kill-target"
      ? rulesets.map((watch) => watch.first("changed", sinceMs))
      : [];
  const seen = firsts.flatMap((ms) => ms ?? []);
  return seen.length === 0 ? NOTHING : Math.max(...seen) - sinceMs;
}

interface Measured {
  readonly noticed: number;
  readonly outage: number;
  readonly broken: number;
  readonly own: number;
}

async function measure(fault: Fault): Promise<Measured> {
  const ordeal = await Ordeal.start(lab, { load: LOAD });
  const sinceMs = performance.now();
  await ordeal.begin(fault);
  await delay(LASTS_MS);
  const noticed = noticedMs(fault, sinceMs);
  await ordeal.end(fault);
  await lab.converged();
  const { seen } = await ordeal.stop();
  await lab.heal();
  const own = "target" in fault ? seen.broken.filter(({ target }) => target === fault.target).length : 0;
  return { noticed, outage: outageMs(seen), broken: seen.broken.length - own, own };
}

const spread = (values: readonly number[]): string => {
  const known = values.filter((value) => !Number.isNaN(value));
  if (known.length === 0) return "-";
  return [Math.min(...known), median(known), Math.max(...known)].map((ms) => ms.toFixed(0)).join(" / ");
};

const results = [];
try {
  for (const fault of FAULTS.filter(({ kind }) => args.only === undefined || kind === args.only)) {
    const seen: Measured[] = [];
    for (let round = 0; round < rounds; round++) seen.push(await measure(fault));
    const noticed = seen.map((one) => one.noticed);
    const outages = seen.map(({ outage }) => outage);
    const [own, broken] = (["own", "broken"] as const).map((key) => seen.reduce((sum, one) => sum + one[key], 0));
    results.push({ fault, noticed, outages, own, broken });
    console.error(`${describe(fault)}: ${spread(noticed)}; ${spread(outages)}`);
  }
} finally {
  for (const watch of [router, ...rulesets]) watch.close();
  await lab.close();
}

printTable(
  ["fault", "noticed, ms: min / median / max", "not served, ms", "own broken", "others", "the field"],
  results.map(({ fault, noticed, outages, own, broken }) => [
    describe(fault),
    spread(noticed),
    spread(outages),
    String(own),
    String(broken),
    FIELD[fault.kind] ?? "",
  ]),
);
reportJson({ rounds, load: LOAD, results });
