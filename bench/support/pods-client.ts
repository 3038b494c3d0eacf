import { readFileSync } from "node:fs";
import { setTimeout as delay } from "node:timers/promises";
import { pino } from "pino";
import { KubernetesStore } from "#shared/store/kubernetes/kubernetes-store.ts";

/* Follows pods, or Services when there are to be none, and prints what it takes: `node pods-client.ts URL CA-FILE PODS`. */

const [, , url = "", caFile = "", pods = "0"] = process.argv;

function memory(): { readonly rssMB: number; readonly peakMB: number } {
  const status = readFileSync("/proc/self/status", "utf8");
  const of = (field: string): number => (Number(new RegExp(`${field}:\\s+(\\d+)`).exec(status)?.[1]) * 1024) / 1e6;
  return { rssMB: of("VmRSS"), peakMB: of("VmHWM") };
}

const abort = new AbortController();
const store = new KubernetesStore({
  config: {
    server: new URL(url),
    namespace: "default",
    ca: () => readFileSync(caFile, "utf8"),
    tlsServerName: undefined,
    skipsVerify: false,
    token: () => "token",
    certificate: () => undefined,
  },
  log: pino({ level: "warn" }),
  signal: abort.signal,
  userAgent: "bench",
});
const began = performance.now();
const view = await store.watch([{ kind: pods === "0" ? "Service" : "Pod" }], () => undefined, abort.signal);
const seconds = (performance.now() - began) / 1000;
await delay(500);
globalThis.gc?.();
await delay(500);
process.stdout.write(`${JSON.stringify({ ...memory(), seconds, pods: view.list("Pod").length })}\n`);
process.exit();
