/*
 * BFD at 100 ms x 3 towards a BIRD while the machine forwards all that it can and the proxy changes 100 services over and over.
 *
 *   sh scripts/sandbox.sh node bench/bfd-load.ts [--rounds N] [--seconds N] [--no-priority] [--json FILE]
 *
 * One gateway between a client and a switch (test/support/testbed.ts) with the tables of 100 services. On each core one
 * process sends 64-byte frames to VIPs without a pause; veth has the same core forward them. BFD's packets go the same way, by
 * the same veth. Beside it the proxy's own code programs all 100 services from one set of targets to another, as fast as it can,
 * and the main thread of the process that has the BFD sessions computes for half of the time. A fall is counted where it was
 * noticed: `ours` did not hear BIRD for 300 ms, `BIRD's` did not hear us.
 *
 * Where the machine's own root runs it (unshare --net --mount --pid instead of scripts/sandbox.sh), the BFD thread has real-time
 * priority; --no-priority takes it away.
 */
import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { availableParallelism, tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { setTimeout as delay } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { z } from "zod";
import { intentOf, scenario } from "../test/support/scenario.ts";
import { Testbed } from "../test/support/testbed.ts";
import { printTable, reportJson } from "./support/figures.ts";

const SERVICES = 100;
const FIRST_PORT = 10_000;
const SESSIONS = ["192.0.2.2=192.0.2.1", "2001:db8:2::2=2001:db8:2::1"];
/** RFC 5880, section 4.1. */
const NOT_HEARD = 1;

const { values: flags } = parseArgs({
  options: {
    rounds: { type: "string", default: "5" },
    seconds: { type: "string", default: "30" },
    "no-priority": { type: "boolean", default: false },
    json: { type: "string" },
  },
});
const reportsSchema = z.array(
  z.object({ neighbour: z.string(), falls: z.int(), state: z.string(), diagnostic: z.int() }),
);
type Reports = z.infer<typeof reportsSchema>;

const folder = mkdtempSync(join(tmpdir(), "cw-bfd-"));
const children: ChildProcess[] = [];
const bed = new Testbed({ prefix: "cw-bl", targets: 4 });
const scenarioOf = (targets: readonly number[]) =>
  intentOf(
    scenario({
      targets: 4,
      listeners: Array.from({ length: SERVICES }, (_, i) => ({ protocol: "UDP" as const, port: FIRST_PORT + i })),
      targetsOf: () => targets,
    }),
  );

function start(...command: string[]): ChildProcess {
  const [program = "", ...args] = command;
  const child = spawn(program, args, { stdio: ["pipe", "pipe", "inherit"] });
  children.push(child);
  return child;
}
const inside = (node: string, ...command: string[]): ChildProcess =>
  start("ip", "netns", "exec", bed.name(node), ...command);

/** Without the capability there is no priority. */
const drop = flags["no-priority"] ? ["setpriv", "--bounding-set=-sys_nice", "--inh-caps=-sys_nice"] : [];

/** A router is a machine of its own: where it may be, BIRD is served before the load. */
const asMachine = spawnSync("chrt", ["--rr", "1", "true"]).status === 0 ? ["chrt", "--rr", "1"] : [];

function startBird(): void {
  const config = join(folder, "bird.conf");
  writeFileSync(
    config,
    `router id 192.0.2.1;\nlog "${join(folder, "bird.log")}" all;\nprotocol device {}\nprotocol bfd {\n  interface "eth0" { interval 100 ms; multiplier 3; };\n  neighbor 192.0.2.2;\n  neighbor 2001:db8:2::2;\n}\n`,
  );
  inside("c", ...asMachine, "bird", "-f", "-c", config, "-s", join(folder, "bird.ctl"));
}

function startLoad(): ChildProcess[] {
  const mac = bed.exec("g", "cat /sys/class/net/ext0/address").trim();
  const flood = fileURLToPath(new URL("./support/flood.ts", import.meta.url));
  return Array.from({ length: availableParallelism() }, (_, core) => {
    const vip = core % 2 === 0 ? "198.51.100.10" : "2001:db8:100::10";
    const what = [String(core), `/run/netns/${bed.name("c")}`, "eth0", mac, vip, String(FIRST_PORT), String(SERVICES)];
    return start(process.execPath, flood, ...what);
  });
}

/** The process with the BFD sessions. */
class Watch {
  readonly #child: ChildProcess;
  readonly #up = Promise.withResolvers<void>();
  #answer: (line: string) => void = () => undefined;

  constructor(child: ChildProcess) {
    if (child.stdout === null) throw new Error("no output of the BFD process");
    this.#child = child;
    createInterface({ input: child.stdout }).on("line", (line) => {
      if (line.startsWith("[")) this.#answer(line);
      else this.#up.resolve();
    });
  }

  /** All sessions have been up at once. */
  up(): Promise<void> {
    return this.#up.promise;
  }

  async ask(): Promise<Reports> {
    const line = await new Promise<string>((resolve) => {
      this.#answer = resolve;
      this.#child.stdin?.write("\n");
    });
    return reportsSchema.parse(JSON.parse(line));
  }

  async end(): Promise<void> {
    const ended = once(this.#child, "exit");
    this.#child.stdin?.end();
    await ended;
  }
}

const received = (): number => Number(bed.exec("s", "cat /sys/class/net/gw/statistics/rx_packets"));

const results: {
  round: number;
  seconds: number;
  falls: number;
  ours: number;
  birds: number;
  mpps: number;
  programs: number;
}[] = [];
try {
  const [all, three] = [await scenarioOf([1, 2, 3, 4]), await scenarioOf([1, 2, 3])];
  bed.program(all);
  startBird();
  for (let round = 1; round <= Number(flags.rounds); round++) {
    const program = fileURLToPath(new URL("./support/bfd-watch.ts", import.meta.url));
    const watch = new Watch(inside("g", ...drop, process.execPath, program, "ext0", ...SESSIONS));
    await watch.up();
    const load = startLoad();
    await delay(1_000);
    const before = received();
    const startMs = performance.now();
    let programs = 0;
    let seen: Reports = await watch.ask();
    let [ours, birds] = [0, 0];
    while (performance.now() - startMs < Number(flags.seconds) * 1_000) {
      bed.program(programs++ % 2 === 0 ? three : all);
      const now = await watch.ask();
      for (const { neighbour, falls, diagnostic } of now) {
        const more = falls - (seen.find((one) => one.neighbour === neighbour)?.falls ?? 0);
        if (diagnostic === NOT_HEARD) ours += more;
        else birds += more;
      }
      seen = now;
    }
    const seconds = (performance.now() - startMs) / 1_000;
    const mpps = (received() - before) / seconds / 1e6;
    for (const child of load) child.kill("SIGKILL");
    await watch.end();
    results.push({ round, seconds, falls: ours + birds, ours, birds, mpps, programs });
    await delay(500);
  }
} finally {
  for (const child of children) child.kill("SIGKILL");
  bed.close();
  rmSync(folder, { recursive: true });
}
printTable(
  ["round", "seconds", "falls", "ours", "BIRD's", "Mpps forwarded", "times 100 services"],
  results.map((r) =>
    [r.round, r.seconds.toFixed(0), r.falls, r.ours, r.birds, r.mpps.toFixed(2), r.programs].map(String),
  ),
);
reportJson({ priority: !flags["no-priority"], results });
