/*
 * Participants of Fast DDS that come at once, each with a writer and a reader of one topic: by the relay of `causeway
 * discovery`, by Fast DDS's own discovery server on the same machine, and, for comparison, by multicast with nobody's help.
 * One after the other in each round. Participants are in up to ten processes in a namespace of their own, relay and server in
 * another one behind a veth pair. Printed: the time until every participant knows every other one, and until every reader has
 * matched every writer, from the start of the first process, creation of the participants included; CPU of the helper until then, and in the 5 s after it; its resident
 * memory then; and the CPU of all participants until then. Medians of the rounds, and the relay's as ratios to the server's.
 *
 *   sh scripts/sandbox.sh node bench/discovery-server.ts [--rounds 5] [--sizes 2,20,100] [--json FILE]
 *
 * Needs Debian's libfastrtps-dev and fastdds-tools.
 */
import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { setTimeout as delay } from "node:timers/promises";
import { parseArgs } from "node:util";
import { FleetBed } from "../test/discovery/support/fleet-bed.ts";
import { median, printTable, reportJson } from "./support/figures.ts";

const WAYS = ["relay", "server", "multicast"] as const;
type Way = (typeof WAYS)[number];
const PROCESSES = 10;
const SERVER_PORT = 11_811;
const REST_MS = 5_000;
const TIMEOUT_MS = 120_000;

const { values } = parseArgs({
  options: {
    rounds: { type: "string", default: "5" },
    sizes: { type: "string", default: "2,20,100" },
    json: { type: "string" },
  },
});
const sizes = values.sizes.split(",").map(Number);

const folder = mkdtempSync(join(tmpdir(), "causeway-bench-"));
const program = join(folder, "fast-fleet");
const source = join(import.meta.dirname, "support/fast-fleet.cpp");
execFileSync("g++", ["-O1", "-o", program, source, "-lfastrtps", "-lfastcdr"]);

/** CPU time of a process in ms; fields 14 and 15 of proc(5), counted from behind the name, in ticks of 10 ms. */
function cpuMs(pid: number): number {
  const fields = readFileSync(`/proc/${pid}/stat`, "utf8").split(") ")[1]?.split(" ") ?? [];
  return (Number(fields[11]) + Number(fields[12])) * 10;
}

function residentMb(pid: number): number {
  return Number(/^VmRSS:\s+(\d+)/m.exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1]) / 1_000;
}

function pidOf({ pid }: { readonly pid?: number | undefined }): number {
  if (pid === undefined) throw new Error("a process did not start");
  return pid;
}

async function ended(child: ChildProcess): Promise<void> {
  child.kill("SIGKILL");
  if (child.exitCode === null && child.signalCode === null) await once(child, "exit");
}

/** Starts the server. Resolves when it says that it runs. */
async function startServer(address: string): Promise<ChildProcess> {
  const command = ["fast-discovery-server", "-i", "0", "-l", address, "-p", String(SERVER_PORT)];
  const child = spawn("ip", ["netns", "exec", "fleet-relay", ...command], { stdio: ["ignore", "pipe", "inherit"] });
  for await (const line of createInterface({ input: child.stdout })) if (line.includes("Server is running")) break;
  return child;
}

/** One process with some of the participants; times of the epoch at which they know all, and have matched all. */
function startParticipants(count: number, all: number, ...way: readonly string[]) {
  const child = spawn(program, [String(count), String(all), ...way], { stdio: ["pipe", "pipe", "inherit"] });
  const [known, matched] = [Promise.withResolvers<number>(), Promise.withResolvers<number>()];
  createInterface({ input: child.stdout }).on("line", (line) => {
    const [what, time] = line.split(" ");
    if (what === "known") known.resolve(Number(time));
    if (what === "matched") matched.resolve(Number(time));
  });
  return { child, times: Promise.all([known.promise, matched.promise]) };
}

interface Round {
  readonly knownMs: number;
  readonly matchedMs: number;
  readonly helperMs: number;
  readonly restMs: number;
  readonly helperMb: number;
  readonly participantsMs: number;
}

async function round(size: number, way: Way): Promise<Round> {
  const bed = new FleetBed(1);
  await using stack = new AsyncDisposableStack();
  stack.defer(() => bed.close());
  const { address } = bed.relay;
  if (way === "relay") await bed.relay.start();
  const server = way === "server" ? await startServer(address) : undefined;
  if (server !== undefined) stack.defer(() => ended(server));
  const helper = way === "multicast" ? undefined : pidOf(server ?? bed.relay);
  const helperCpu = (): number => (helper === undefined ? 0 : cpuMs(helper));
  const before = helperCpu();
  const beganMs = Date.now();
  const processes = Math.min(PROCESSES, size);
  const where = way === "multicast" ? [] : [address, way === "relay" ? "7400" : String(SERVER_PORT)];
  const all = Array.from({ length: processes }, (_, at) => {
    const count = Math.floor(((at + 1) * size) / processes) - Math.floor((at * size) / processes);
    const started = startParticipants(count, size, way, ...where);
    stack.defer(() => ended(started.child));
    return started;
  });
  const timeout = delay(TIMEOUT_MS, undefined, { ref: false });
  const times = await Promise.race([Promise.all(all.map((one) => one.times)), timeout]);
  if (times === undefined) console.error(`${size} participants by ${way}: not all matched within ${TIMEOUT_MS} ms`);
  const lastOf = (which: 0 | 1): number =>
    times === undefined ? Number.POSITIVE_INFINITY : Math.max(...times.map((pair) => pair[which])) - beganMs;
  const helperMs = helperCpu() - before;
  const participantsMs = all.reduce((sum, { child }) => sum + cpuMs(pidOf(child)), 0);
  await delay(REST_MS);
  return {
    knownMs: lastOf(0),
    matchedMs: lastOf(1),
    helperMs,
    restMs: helperCpu() - before - helperMs,
    helperMb: helper === undefined ? 0 : residentMb(helper),
    participantsMs,
  };
}

const rounds = new Map<string, Round[]>();
try {
  for (let at = 0; at < Number(values.rounds); at++) {
    for (const size of sizes) {
      for (const way of WAYS) {
        const key = `${size} ${way}`;
        rounds.set(key, [...(rounds.get(key) ?? []), await round(size, way)]);
      }
    }
  }
} finally {
  rmSync(folder, { recursive: true, force: true });
}

const middle = (size: number, way: Way): Round => {
  const all = rounds.get(`${size} ${way}`) ?? [];
  return {
    knownMs: median(all.map(({ knownMs }) => knownMs)),
    matchedMs: median(all.map(({ matchedMs }) => matchedMs)),
    helperMs: median(all.map(({ helperMs }) => helperMs)),
    restMs: median(all.map(({ restMs }) => restMs)),
    helperMb: median(all.map(({ helperMb }) => helperMb)),
    participantsMs: median(all.map(({ participantsMs }) => participantsMs)),
  };
};
const results = sizes.flatMap((participants) =>
  WAYS.map((way) => ({
    participants,
    way,
    ...middle(participants, way),
    longestMs: Math.max(...(rounds.get(`${participants} ${way}`) ?? []).map(({ matchedMs }) => matchedMs)),
  })),
);
printTable(
  [
    "participants by",
    "all know all ms",
    "all match ms",
    "longest",
    "helper CPU ms",
    "in 5 s after",
    "helper MB",
    "participants' CPU ms",
  ],
  results.map(({ participants, way, knownMs, matchedMs, longestMs, helperMs, restMs, helperMb, participantsMs }) => [
    `${participants} ${way}`,
    ...[knownMs, matchedMs, longestMs, helperMs, restMs, helperMb, participantsMs].map((value) => value.toFixed(0)),
  ]),
);
const ratios = sizes.map((participants) => {
  const [relay, server] = [middle(participants, "relay"), middle(participants, "server")];
  return {
    participants,
    known: relay.knownMs / server.knownMs,
    matched: relay.matchedMs / server.matchedMs,
    cpu: relay.helperMs / server.helperMs,
    memory: relay.helperMb / server.helperMb,
    participantsCpu: relay.participantsMs / server.participantsMs,
  };
});
printTable(
  ["relay to server", "all know all", "all match", "CPU", "memory", "participants' CPU"],
  ratios.map(({ participants, ...all }) => [
    String(participants),
    ...Object.values(all).map((value) => value.toFixed(2)),
  ]),
);
reportJson({ results, ratios });
