/*
 * Resident memory of each process of a lab, at rest and after traffic.
 *
 *   sh bin/causeway lab run -- node bench/memory.ts [--json FILE]
 *
 * `lab run` names the lab and its VIPs in the environment. The figures are the kernel's VmRSS as `lab status` tells it:
 * twenty times at rest, then, after 400 TCP connections and 400 UDP exchanges over each family that has a VIP, twenty times more.
 * Pages of libraries and of Node itself that processes share count in each of them.
 */
import { execFileSync } from "node:child_process";
import { setTimeout } from "node:timers/promises";
import { labStatusSchema } from "../lab/lab-status.ts";
import { median, printTable, reportJson } from "./support/figures.ts";

const GOAL_MB = 90;
const SAMPLES = 20;
const PAUSE_MS = 250;

const { CAUSEWAY_LAB: lab, LAB_VIP4: vip4, LAB_VIP6: vip6 } = process.env;
if (lab === undefined) throw new Error("run this by `causeway lab run`: CAUSEWAY_LAB is not in the environment");

const causeway = (...args: string[]): string =>
  execFileSync("sh", ["bin/causeway", ...args], { encoding: "utf8", stdio: ["ignore", "pipe", "inherit"] });

async function sample(): Promise<ReadonlyMap<string, readonly number[]>> {
  const found = new Map<string, number[]>();
  for (let i = 0; i < SAMPLES; i++) {
    const status = labStatusSchema.parse(JSON.parse(causeway("lab", "status", "--name", lab ?? "", "--json")));
    for (const node of status.nodes) {
      for (const { name, rssBytes } of node.processes) {
        const key = `${node.name} ${name}`;
        if (rssBytes !== undefined) found.set(key, [...(found.get(key) ?? []), rssBytes / 1e6]);
      }
    }
    await setTimeout(PAUSE_MS);
  }
  return found;
}

const atRest = await sample();
const echo = [...(vip4 === undefined ? [] : [`${vip4}:8080`]), ...(vip6 === undefined ? [] : [`[${vip6}]:8080`])];
for (const to of echo) {
  for (const protocol of ["tcp", "udp"]) {
    const traffic = ["traffic", "--to", to, "--protocol", protocol, "--connections", "400"];
    causeway("lab", "exec", "--name", lab, "client", "--", "sh", "bin/causeway", ...traffic);
  }
}
const afterTraffic = await sample();

const results = [...afterTraffic].map(([what, values]) => ({
  process: what,
  atRestMB: median(atRest.get(what) ?? []),
  afterTrafficMB: median(values),
  mostMB: Math.max(...values, ...(atRest.get(what) ?? [])),
}));
printTable(
  ["process", "at rest MB", "after traffic MB", "most MB", "goal"],
  results.map((r) => [
    r.process,
    r.atRestMB.toFixed(1),
    r.afterTrafficMB.toFixed(1),
    r.mostMB.toFixed(1),
    `< ${GOAL_MB}`,
  ]),
);
reportJson({ lab, goalMB: GOAL_MB, results });
