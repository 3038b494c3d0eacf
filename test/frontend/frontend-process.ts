/*
 * A frontend as a process of its own, for tests that kill it:
 * node frontend-process.ts RUN_DIR OBJECTS.json
 */
import { readFileSync } from "node:fs";
import pino from "pino";
import { z } from "zod";
import { isKind, KINDS } from "#shared/api/kinds.ts";
import { systemClock } from "#shared/process/clock.ts";
import { MemoryStore } from "#shared/store/memory-store.ts";
import { runFrontend } from "../../frontend/run-frontend.ts";
import { GATEWAY, POD } from "./gateway-objects.ts";

const [runDir, file] = process.argv.slice(2);
if (runDir === undefined || file === undefined) throw new Error("usage: frontend-process.ts RUN_DIR OBJECTS.json");
const store = new MemoryStore();
for (const object of z.array(z.looseObject({ kind: z.string() })).parse(JSON.parse(readFileSync(file, "utf8")))) {
  if (!isKind(object.kind)) throw new Error(`unknown kind ${object.kind}`);
  store.put(KINDS[object.kind].schema.parse(object));
}
const stop = new AbortController();
for (const signal of ["SIGTERM", "SIGINT"] as const) process.once(signal, () => stop.abort());
const frontend = await runFrontend({
  store,
  pod: POD,
  gateway: GATEWAY,
  runDir,
  log: pino({ level: "info" }, pino.destination(2)),
  clock: systemClock,
  signal: stop.signal,
  drainMs: 300,
  path: process.env.PATH ?? "",
});
await frontend.done;
