import { performance } from "node:perf_hooks";
import { setTimeout } from "node:timers/promises";
import { ip } from "#shared/net/ip.ts";
import { HealthThread } from "../../proxy/health/health-thread.ts";
import type { ProbeReport, WantedProbe } from "../../proxy/health/probe-spec.ts";

/*
 * Asks so many addresses (10.1.0.1 and so on, by svc0) by the proxy's thread: TYPE COUNT INTERVAL-MS. Prints what that costs in
 * ten seconds as a line of JSON, then a line for each address that is lost or back.
 */
const SETTLE_MS = 3_000;
const MEASURE_MS = 10_000;

const [typeText = "", countText = "", intervalText = ""] = process.argv.slice(2);
const TYPES = ["TCP", "UDP", "HTTP", "ICMP"] as const;
const type = TYPES.find((one) => one === typeText) ?? "TCP";
const intervalMs = Number(intervalText);

const probes = Array.from({ length: Number(countText) }, (_, i): WantedProbe => {
  const address = ip(`10.1.${(i + 1) >> 8}.${(i + 1) & 255}`);
  return {
    id: address,
    address,
    interface: "svc0",
    type,
    port: type === "ICMP" ? 0 : type === "HTTP" ? 8081 : 8080,
    intervalMs,
    timeoutMs: intervalMs * 0.75,
    failureThreshold: 3,
    successThreshold: 2,
    payload: type === "HTTP" ? "GET /good HTTP/1.1\r\nHost: x\r\n\r\n" : type === "UDP" ? "ping" : "",
    answer: "",
    leaving: false,
    initial: "pending",
  };
});

const states = new Map<string, ProbeReport["state"]>();
let measured = false;
const thread = new HealthThread({
  log: { debug: () => {}, info: () => {}, warn: console.error, error: console.error },
  probes: () => probes,
  onNews: ({ reports }) => {
    for (const { id, state } of reports) {
      if (measured && states.get(id) !== state) {
        process.stdout.write(`${JSON.stringify({ address: id, state, atMs: Date.now() })}\n`);
      }
      states.set(id, state);
    }
  },
});
thread.tell();
await setTimeout(SETTLE_MS);
const loop = performance.eventLoopUtilization();
const before = process.cpuUsage();
await setTimeout(MEASURE_MS);
const { system, user } = process.cpuUsage(before);
process.stdout.write(
  `${JSON.stringify({
    cpuPercent: (system + user) / (MEASURE_MS * 10),
    mainPercent: performance.eventLoopUtilization(loop).utilization * 100,
    up: [...states.values()].filter((state) => state === "up").length,
  })}\n`,
);
measured = true;
