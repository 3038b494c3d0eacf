import { join } from "node:path";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import pino, { type Logger } from "pino";
import { type Clock, systemClock } from "./clock.ts";
import { type Endpoints, type ListenAddress, serve, serveTcp } from "./http-server.ts";
import { type OpenedStore, openStore, type StoreOptions } from "./open-store.ts";

/** What every process of the system is started with. */
export interface ProcessOptions extends StoreOptions {
  /** Folder of the process's socket, `<run-dir>/<process>.sock`. */
  readonly runDir: string;
  readonly logLevel: string;
  /** Where it answers over TCP as well. */
  readonly listen?: ListenAddress;
}

export interface ProcessContext extends OpenedStore {
  readonly log: Logger;
  readonly clock: Clock;
  readonly runDir: string;
  /** Aborts on SIGTERM and SIGINT. */
  readonly signal: AbortSignal;
}

/** A process at work: what it tells about itself, and when it has ended. */
export interface RunningProcess extends Endpoints {
  readonly done: Promise<void>;
}

/**
 * Starts a process: log, store, signals and HTTP endpoints, then `start`. Resolves when it has ended. A second SIGTERM
 * or SIGINT ends it at once.
 */
export async function runProcess(
  name: "controller" | "proxy" | "frontend" | "node" | "discovery" | "topics",
  options: ProcessOptions,
  start: (context: ProcessContext) => Promise<RunningProcess>,
): Promise<void> {
  const log = pino({ name, level: options.logLevel, base: {} });
  const stop = new AbortController();
  for (const signal of ["SIGTERM", "SIGINT"] as const) {
    process.on(signal, () => {
      if (stop.signal.aborted) process.exit(1);
      log.info({ signal }, "stopping");
      stop.abort();
    });
  }
  // The store must outlive the process's own shutdown: the last status is written while it stops.
  const closeStore = new AbortController();
  const { runDir } = options;
  const clock = systemClock;
  const opened = await openStore({ ...options, name, log, clock, signal: closeStore.signal, env: process.env });
  const giveUp = (): void => closeStore.abort();
  stop.signal.addEventListener("abort", giveUp);
  let running: RunningProcess;
  try {
    running = await start({ ...opened, log, clock, runDir, signal: stop.signal });
  } catch (error) {
    if (!stop.signal.aborted) throw error;
    log.info("stopped before all objects had been read");
    // Half of a process has nothing to end in order.
    process.exit(0);
  } finally {
    stop.signal.removeEventListener("abort", giveUp);
  }
  const onError = (err: unknown): void => log.error({ err }, "cannot answer a request");
  const servers = [await serve(join(runDir, `${name}.sock`), running, onError)];
  if (options.listen !== undefined) servers.push(await serveTcp(options.listen, running, onError));
  log.info({ pid: process.pid, runDir }, "started");
  trimHeap();
  try {
    await running.done;
  } finally {
    for (const server of servers) server.close();
    closeStore.abort();
  }
  log.info("stopped");
}

/** Long enough for a process to have read its objects and met its peers; then once more when all is quiet. */
const SETTLED_MS = [5_000, 30_000] as const;
/** A collection stops everything for up to half a second: it waits for a second with less work than this share. */
const QUIET_SHARE = 0.1;
const QUIET_MS = 1_000;
const MAX_LOOKS = 60;

/** Starting leaves garbage that V8 would keep for long, because an idle process has no reason to collect it. */
function trimHeap(): void {
  for (const delayMs of SETTLED_MS) setTimeout(() => trimWhenQuiet(MAX_LOOKS), delayMs).unref();
}

/** A process that is never quiet collects its garbage anyway. */
function trimWhenQuiet(looks: number): void {
  if (looks === 0) return;
  const before = performance.eventLoopUtilization();
  const timer = setTimeout(() => {
    if (performance.eventLoopUtilization(before).utilization > QUIET_SHARE) return trimWhenQuiet(looks - 1);
    setFlagsFromString("--expose-gc");
    runInNewContext("gc({ type: 'major', flavor: 'last-resort' })");
  }, QUIET_MS);
  timer.unref();
}
