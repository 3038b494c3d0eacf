/*
 * From the change of a pod at the API server to the EndpointSlice that says so, at 500 Services with 10 pods each, a route to
 * each (where GATEWAY_API_CRDS names the Gateway API's definitions) and 50 changes a second, and the memory that the
 * controller takes.
 *
 *   node bench/kubernetes-churn.ts [--seconds 30] [--causeway PATH] [--at-start] [--json FILE]
 *
 * --causeway runs the controller of another checkout. With --at-start changes begin as soon as the controller has read
 * everything, while it deals with what it found.
 *
 * The API server (the tests' double), the controller (`causeway controller --kubeconfig`) and this are three processes. A
 * change is a pod's readiness, after the controller has dealt with all that was there at its start, written by a merge patch of its status; the time runs from before the patch is sent until a
 * watch of the EndpointSlices shows the pod's address as ready, or not, as it was written.
 */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdirSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { request } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { pino } from "pino";
import { z } from "zod";
import { systemClock } from "#shared/process/clock.ts";
import { ApiClient } from "#shared/store/kubernetes/api-client.ts";
import { kubeconfig } from "#shared/store/kubernetes/kubeconfig.ts";
import { KubernetesStore } from "#shared/store/kubernetes/kubernetes-store.ts";
import { printTable, quantile, reportJson } from "./support/figures.ts";

const { values } = parseArgs({
  options: {
    seconds: { type: "string", default: "30" },
    causeway: { type: "string", default: fileURLToPath(new URL("../bin/causeway", import.meta.url)) },
    "at-start": { type: "boolean", default: false },
    json: { type: "string" },
  },
});
const SERVICES = 500;
const PODS_EACH = 10;
const PERIOD_MS = 20;
const SERVER = fileURLToPath(new URL("support/churn-server.ts", import.meta.url));

const folder = mkdtempSync(join(tmpdir(), "cw-churn-"));
const [controllerConfig, benchConfig] = [join(folder, "controller.yaml"), join(folder, "bench.yaml")];
const server = spawn(process.execPath, [SERVER, String(SERVICES), String(PODS_EACH), folder], {
  stdio: ["ignore", "pipe", "inherit"],
});
await once(server.stdout, "data");
mkdirSync(join(folder, "run"));
const began = performance.now();
const args = ["controller", "--kubeconfig", controllerConfig, "--run-dir", join(folder, "run"), "--log-level", "warn"];
const controller = spawn("sh", [values.causeway, ...args], { stdio: ["ignore", "inherit", "inherit"] });
const died = (code: number | null): void => {
  server.kill();
  throw new Error(`the controller ended with ${code}`);
};
controller.once("exit", died);

/** A pod's address, and since when it shall be ready, or not. */
const pending = new Map<string, { readonly ready: boolean; readonly sinceMs: number }>();
const latencies: number[] = [];
/** Changes that were seen: Unix times in ms. */
const seenChanges: { readonly address: string; readonly sinceMs: number }[] = [];
const stop = new AbortController();
const config = kubeconfig(benchConfig, systemClock);
const store = new KubernetesStore({ config, log: pino({ level: "warn" }), signal: stop.signal, userAgent: "bench" });
const seen = new Map<string, boolean>();
const view = await store.watch(
  [{ kind: "EndpointSlice" }],
  ({ namespace, name }) => {
    const now = performance.now();
    for (const { addresses, conditions } of view.get("EndpointSlice", namespace, name)?.endpoints ?? []) {
      const [address = ""] = addresses;
      const ready = conditions.ready === true;
      seen.set(address, ready);
      const change = pending.get(address);
      if (change?.ready !== ready) continue;
      pending.delete(address);
      latencies.push(now - change.sinceMs);
      seenChanges.push({ address, sinceMs: performance.timeOrigin + change.sinceMs });
    }
  },
  stop.signal,
);
while (seen.size < (values["at-start"] ? 1 : SERVICES * PODS_EACH)) await delay(5);
const startSeconds = (performance.now() - began) / 1000;

/** Whether the controller has dealt with all that was there: statuses come after slices, and changes after both. */
function isReady(): Promise<boolean> {
  return new Promise((resolve, reject) => {
    const asked = request({ socketPath: join(folder, "run", "controller.sock"), path: "/readyz" }, (answer) => {
      answer.resume();
      resolve(answer.statusCode === 200);
    });
    asked.on("error", reject);
    asked.end();
  });
}
while (!values["at-start"] && !(await isReady())) await delay(50);
const readySeconds = (performance.now() - began) / 1000;

/** CPU time that a process has used, in ms: in ticks of 10 ms. */
function cpuMs(pid: number | undefined): number {
  const fields = readFileSync(`/proc/${pid}/stat`, "utf8")
    .replace(/^.*\) /, "")
    .split(" ");
  return (Number(fields[11]) + Number(fields[12])) * 10;
}
const cpuBefore = [cpuMs(controller.pid), cpuMs(server.pid)] as const;

/** For how long a process was ready to run and had no processor, in ms. */
function waitedMs(pid: number | undefined): number {
  return Number(readFileSync(`/proc/${pid}/schedstat`, "utf8").split(" ")[1]) / 1e6;
}
const waitedBefore = waitedMs(controller.pid);
const changesBeganMs = performance.now();

const client = new ApiClient({ config, userAgent: "bench" });
const changes = Math.round((Number(values.seconds) * 1000) / PERIOD_MS);
const writes: Promise<unknown>[] = [];
for (let change = 0; change < changes; change++) {
  // Each pod in turn, Service after Service; every other round makes it ready again.
  const [service, at] = [change % SERVICES, Math.floor(change / SERVICES) % PODS_EACH];
  const ready = Math.floor(change / (SERVICES * PODS_EACH)) % 2 === 1;
  const sinceMs = performance.now();
  pending.set(`10.${service >> 8}.${service & 255}.${at + 1}`, { ready, sinceMs });
  const conditions = [
    { type: "Ready", status: ready ? "True" : "False", lastTransitionTime: new Date().toISOString() },
  ];
  writes.push(
    client.ask({
      method: "PATCH",
      path: `/api/v1/namespaces/default/pods/app-${service}-${at}/status`,
      contentType: "application/merge-patch+json",
      body: { status: { conditions } },
      signal: stop.signal,
    }),
  );
  await delay(Math.max(0, sinceMs + PERIOD_MS - performance.now()));
}
await Promise.all(writes);
const patienceMs = performance.now() + 10_000;
while (pending.size > 0 && performance.now() < patienceMs) await delay(20);

const cpuPerChange = [cpuMs(controller.pid) - cpuBefore[0], cpuMs(server.pid) - cpuBefore[1]].map((ms) => ms / changes);
const [controllerCpuMs = Number.NaN, serverCpuMs = Number.NaN] = cpuPerChange;

const waitedMsPerSecond = ((waitedMs(controller.pid) - waitedBefore) / (performance.now() - changesBeganMs)) * 1000;
const status = readFileSync(`/proc/${controller.pid}/status`, "utf8");
const peakMB = (Number(/VmHWM:\s+(\d+)/.exec(status)?.[1]) * 1024) / 1e6;
stop.abort();
client.close();
controller.off("exit", died);
for (const child of [controller, server]) {
  const ended = once(child, "exit");
  child.kill();
  await ended;
}

const momentsSchema = z.array(
  z.union([
    z.object({ pod: z.string(), atMs: z.number() }),
    z.object({
      slice: z.looseObject({ endpoints: z.array(z.looseObject({ addresses: z.array(z.string()) })) }),
      atMs: z.number(),
    }),
  ]),
);
/** Times at which something was written, by pod and by address. */
const written = new Map<string, number[]>();
for (const moment of momentsSchema.parse(JSON.parse(readFileSync(join(folder, "moments.json"), "utf8")))) {
  const names = "pod" in moment ? [moment.pod] : moment.slice.endpoints.flatMap(({ addresses }) => addresses);
  for (const name of names) written.set(name, [...(written.get(name) ?? []), moment.atMs]);
}
rmSync(folder, { recursive: true, force: true });
/** From the write of a pod to that of its slice, by a change that was seen. */
const parts = seenChanges.flatMap(({ address, sinceMs }) => {
  const [, high = 0, low = 0, at = 0] = address.split(".").map(Number);
  const podMs = written.get(`app-${high * 256 + low}-${at - 1}`)?.find((ms) => ms >= sinceMs - 1);
  const sliceMs = podMs && written.get(address)?.find((ms) => ms >= podMs);
  return podMs === undefined || sliceMs === undefined ? [] : [sliceMs - podMs];
});

const result = {
  changes,
  missed: pending.size,
  p50Ms: quantile(latencies, 0.5),
  p99Ms: quantile(latencies, 0.99),
  maxMs: Math.max(...latencies),
  controllerP50Ms: quantile(parts, 0.5),
  controllerP99Ms: quantile(parts, 0.99),
  controllerMaxMs: Math.max(...parts),
  controllerWaitedMsPerSecond: waitedMsPerSecond,
  firstSlicesSeconds: startSeconds,
  readySeconds,
  controllerPeakMB: peakMB,
  controllerCpuMsPerChange: controllerCpuMs,
  serverCpuMsPerChange: serverCpuMs,
};
printTable(
  [
    "changes",
    "missed",
    "p50 ms",
    "p99 ms",
    "most ms",
    "controller's p99",
    "most",
    "waited ms/s",
    "all slices after s",
    "all statuses after s",
    "controller's peak MB",
    "CPU ms a change",
    "the server's",
  ],
  [
    [
      String(changes),
      String(pending.size),
      result.p50Ms.toFixed(1),
      result.p99Ms.toFixed(1),
      result.maxMs.toFixed(1),
      result.controllerP99Ms.toFixed(1),
      result.controllerMaxMs.toFixed(1),
      waitedMsPerSecond.toFixed(0),
      startSeconds.toFixed(1),
      readySeconds.toFixed(1),
      peakMB.toFixed(0),
      controllerCpuMs.toFixed(2),
      serverCpuMs.toFixed(2),
    ],
  ],
);
reportJson(result);
