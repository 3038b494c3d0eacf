/*
 * A proxy for the network namespace that it is started in: node proxy-process.ts RUN_DIR. Each line of its input lists the
 * VIPs of its Gateway from then on. It ends by SIGTERM, and the end of its input.
 */
import { createInterface } from "node:readline";
import pino from "pino";
import { systemClock } from "#shared/process/clock.ts";
import { runProxy } from "../../proxy/run-proxy.ts";
import { scenario } from "../support/scenario.ts";

const [runDir] = process.argv.slice(2);
if (runDir === undefined) throw new Error("usage: proxy-process.ts RUN_DIR");
const withVips = (line: string) => scenario({ targets: 1, vips: line.split(" ") });

const stop = new AbortController();
process.once("SIGTERM", () => stop.abort());
const lines = createInterface({ input: process.stdin })[Symbol.asyncIterator]();
const first = await lines.next();
const store = withVips(first.value ?? "");
const proxy = await runProxy({
  store,
  gateway: { namespace: "default", name: "edge" },
  pod: { namespace: "default", name: "gateway-1" },
  runDir,
  log: pino({ level: "warn" }, pino.destination(2)),
  clock: systemClock,
  signal: stop.signal,
  drainMs: 30_000,
});
for await (const line of lines) for (const gateway of withVips(line).list("Gateway")) store.put(gateway);
await proxy.done;
