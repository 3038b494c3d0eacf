/*
 * What a process pays for the Kubernetes API: resident memory of a KubernetesStore that follows nothing, and one that
 * follows so many pods of some 7 kB.
 *
 *   node bench/kubernetes-memory.ts [--pods 10000] [--json FILE]
 *
 * Server (the tests' API double) and client are processes of their own; the client has the flags of bin/causeway. VmRSS
 * is read after a collection of garbage, VmHWM is the peak.
 */
import { spawn } from "node:child_process";
import { writeFileSync } from "node:fs";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { z } from "zod";
import { ApiDouble } from "../test/cluster/api-double/api-double.ts";
import { printTable, reportJson } from "./support/figures.ts";
import { fillWithPods } from "./support/many-pods.ts";

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { pods: { type: "string", default: "10000" }, json: { type: "string" } },
});
const [role, caFile = ""] = positionals;
const CLIENT = fileURLToPath(new URL("support/pods-client.ts", import.meta.url));

const figuresSchema = z.object({ rssMB: z.number(), peakMB: z.number(), seconds: z.number(), pods: z.int() });

async function server(): Promise<void> {
  const double = new ApiDouble();
  await double.start();
  double.allow("token", "bench");
  const bytes = fillWithPods(double, Number(values.pods));
  writeFileSync(caFile, double.ca);
  process.stdout.write(`${JSON.stringify({ url: double.url, bytes })}\n`);
}

function started(...args: readonly string[]) {
  const child = spawn(process.execPath, args, {
    stdio: ["ignore", "pipe", "inherit"],
    env: { ...process.env, MALLOC_ARENA_MAX: "1" },
  });
  const line = new Promise<unknown>((resolve) =>
    createInterface({ input: child.stdout }).once("line", (text) => resolve(JSON.parse(text))),
  );
  return { child, line };
}

async function compare(): Promise<void> {
  const ca = `/tmp/causeway-bench-${process.pid}.pem`;
  const { child, line } = started(import.meta.filename, "server", ca, "--pods", values.pods);
  const served = z.object({ url: z.string(), bytes: z.int() }).parse(await line);
  const flags = ["--max-semi-space-size=1", "--expose-gc"];
  const results = [];
  for (const pods of ["0", values.pods]) {
    // Once to compile, once to measure.
    const command = [...flags, CLIENT, served.url, ca, pods];
    await started(...command).line;
    results.push(figuresSchema.parse(await started(...command).line));
  }
  child.kill();
  printTable(
    ["pods", "resident MB", "peak MB", "first list s"],
    results.map((r) => [String(r.pods), r.rssMB.toFixed(1), r.peakMB.toFixed(1), r.seconds.toFixed(2)]),
  );
  reportJson({ bytesServed: served.bytes, results });
}

if (role === "server") await server();
else await compare();
