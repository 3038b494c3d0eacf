/*
 * The node agent with 100 pods and two gateway instances: what it costs at rest, how soon it is done when an instance
 * falls silent, and how soon it repairs what somebody else has changed.
 *
 *   sh scripts/sandbox.sh node bench/return-path.ts [--rounds N] [--json FILE]
 *
 * Pods, in network namespaces of their own, and the instances' addresses are on one bridge. Silence: the instance's port is
 * taken off the bridge, so that packets are lost while every carrier stays. The time runs until the kernel of the last of
 * all pods has told of its new route. Repair: a route, a rule or the VIP is deleted in one pod, until the kernel tells that
 * it is back; a setting is read every millisecond. CPU: of the agent's process, user and system, in percent of one core.
 */
import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { parseArgs } from "node:util";
import { isKind, KINDS } from "#shared/api/kinds.ts";
import { type KernelObjectKind, watchKernel } from "#shared/kernel/netlink-events.ts";
import { readSysctl, writeSysctl } from "#shared/kernel/network-namespace.ts";
import { pod } from "../test/node/pods.ts";
import { scenario } from "../test/support/scenario.ts";
import { median, printTable, reportJson } from "./support/figures.ts";

const PODS = 100;
const REST_MS = 20_000;
const LIMIT_MS = 20_000;
const INSTANCES = [251, 252];
const { values: flags } = parseArgs({
  options: { rounds: { type: "string", default: "20" }, json: { type: "string" } },
});
const rounds = Number(flags.rounds);

const folder = mkdtempSync(join(tmpdir(), "cw-return-"));
const at = (name: string): string => join(folder, name);
const netns = (name: string): string => `/run/netns/${name}`;
const ip = (...args: string[]): string =>
  execFileSync("ip", args, { encoding: "utf8", stdio: ["ignore", "pipe", "inherit"] });
const hostOf = (n: number): string => `${Math.floor(n / 250)}.${n % 250}`;

function build(): void {
  for (const name of ["manifests", "state", "run", "pods"]) mkdirSync(at(name));
  ip("link", "add", "br0", "type", "bridge", "mcast_snooping", "0");
  ip("link", "set", "br0", "up");
  const attach = (name: string, host: string, host6: string): void => {
    ip("netns", "add", name);
    ip("link", "add", name, "type", "veth", "peer", "name", "svc0", "netns", name);
    ip("link", "set", name, "master", "br0", "up");
    const batch = `link set lo up\naddr add ${host}/16 dev svc0\naddr add ${host6}/64 dev svc0 nodad\nlink set svc0 up\n`;
    writeFileSync(at("batch"), batch);
    ip("-n", name, "-batch", at("batch"));
  };
  for (let n = 1; n <= PODS; n++) {
    attach(`pod-${n}`, `10.1.${hostOf(n)}`, `fd00:1::${n.toString(16)}`);
    writeFileSync(join(at("pods"), `default_pod-${n}`), netns(`pod-${n}`));
  }
  for (const n of INSTANCES) attach(`gw-${n}`, `10.1.0.${n}`, `fd00:1::${n}`);
  const store = scenario({ targets: PODS });
  for (let n = 1; n <= PODS; n++) {
    store.put(pod({ name: `pod-${n}`, ips: [`10.1.${hostOf(n)}`, `fd00:1::${n.toString(16)}`] }));
  }
  for (const n of INSTANCES) store.put(pod({ name: `gw-${n}`, ips: [`10.1.0.${n}`, `fd00:1::${n}`], gateway: "edge" }));
  const objects = Object.keys(KINDS)
    .filter(isKind)
    .flatMap((kind) => [...store.list(kind)]);
  const text = objects.map((object) => JSON.stringify(object)).join("\n---\n");
  writeFileSync(join(at("manifests"), "objects.yaml"), text);
}

/** Clock ticks of user and system time; 100 a second. */
function cpuMs(pid: number): number {
  const fields = readFileSync(`/proc/${pid}/stat`, "utf8").split(") ")[1]?.split(" ") ?? [];
  return (Number(fields[11]) + Number(fields[12])) * 10;
}

const rssMb = (pid: number): number =>
  Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1]) / 1000;

/** Milliseconds until each of the namespaces has told of a change, after `act`. */
async function timeOf(
  names: readonly string[],
  kind: KernelObjectKind,
  act: () => void,
  enough: () => boolean,
): Promise<number> {
  const told = new Map<string, number>();
  const stop = new AbortController();
  for (const name of names) {
    watchKernel({
      netns: netns(name),
      groups: [kind],
      signal: stop.signal,
      quietMs: 1,
      onChange: () => told.set(name, performance.now()),
      onError: (error) => {
        throw error;
      },
    });
  }
  const startMs = performance.now();
  act();
  while (!(told.size === names.length && enough())) {
    if (performance.now() - startMs > LIMIT_MS) throw new Error(`${told.size} of ${names.length} told of a ${kind}`);
    await delay(1);
  }
  stop.abort();
  return Math.max(...told.values()) - startMs;
}

const allPods = Array.from({ length: PODS }, (_, i) => `pod-${i + 1}`);
const routes = (name: string): string =>
  ip("-n", name, "route", "show", "table", "all", "proto", "201") +
  ip("-n", name, "-6", "route", "show", "table", "all", "proto", "201");

async function settled(): Promise<void> {
  for (;;) {
    if (allPods.every((name) => INSTANCES.every((n) => routes(name).includes(`fd00:1::${n}`)))) return;
    await delay(200);
  }
}

async function silence(): Promise<number[]> {
  const tookMs: number[] = [];
  for (let round = 0; round < rounds; round++) {
    await settled();
    // The damping of an instance that has fallen is forgotten only after a minute: another agent knows nothing of it.
    const gone = INSTANCES[round % 2];
    tookMs.push(
      await timeOf(
        allPods,
        "route",
        () => ip("link", "set", `gw-${gone}`, "nomaster"),
        () => !routes(allPods.at(-1) ?? "").includes(`.${gone} `),
      ),
    );
    ip("link", "set", `gw-${gone}`, "master", "br0");
    await restart();
  }
  return tookMs;
}

async function repair(kind: KernelObjectKind, ...damage: string[]): Promise<number[]> {
  const tookMs: number[] = [];
  for (let round = 0; round < rounds; round++) {
    const name = `pod-${1 + ((round * 7) % PODS)}`;
    const before = ip(
      "-n",
      name,
      ...(kind === "address" ? ["addr"] : kind === "rule" ? ["rule"] : ["route", "show", "table", "all"]),
    );
    const now = (): string =>
      ip(
        "-n",
        name,
        ...(kind === "address" ? ["addr"] : kind === "rule" ? ["rule"] : ["route", "show", "table", "all"]),
      );
    tookMs.push(
      await timeOf(
        [name],
        kind,
        () => ip("-n", name, ...damage),
        () => now().length === before.length,
      ),
    );
    await delay(150);
  }
  return tookMs;
}

async function repairSetting(): Promise<number[]> {
  const tookMs: number[] = [];
  for (let round = 0; round < rounds; round++) {
    const name = `pod-${1 + ((round * 7) % PODS)}`;
    const key = "net/ipv4/conf/svc0/arp_ignore";
    const startMs = performance.now();
    writeSysctl(netns(name), key, 0);
    while (readSysctl(netns(name), key) !== "1") await delay(1);
    tookMs.push(performance.now() - startMs);
    await delay(Math.random() * 700);
  }
  return tookMs;
}

let agent: ChildProcess | undefined;
async function restart(): Promise<void> {
  if (agent !== undefined) {
    const ended = new Promise((resolve) => agent?.once("exit", resolve));
    agent.kill("SIGTERM");
    await ended;
  }
  const folders = [
    "--manifests",
    at("manifests"),
    "--state",
    at("state"),
    "--run-dir",
    at("run"),
    "--pod-namespaces",
    at("pods"),
  ];
  agent = spawn("sh", ["bin/causeway", "node", ...folders, "--log-level", "error"], {
    stdio: ["ignore", "ignore", "inherit"],
  });
  await settled();
  // Long enough that every instance has been heard.
  await delay(2_000);
}

build();
try {
  await restart();
  const pid = agent?.pid ?? 0;
  await delay(8_000);
  const before = cpuMs(pid);
  await delay(REST_MS);
  const cpuPercent = ((cpuMs(pid) - before) / REST_MS) * 100;
  const memoryMb = rssMb(pid);
  const results = [
    { what: "a route deleted", tookMs: await repair("route", "route", "flush", "proto", "201", "table", "all") },
    { what: "a rule deleted", tookMs: await repair("rule", "rule", "del", "pref", "7701") },
    { what: "the VIP deleted", tookMs: await repair("address", "addr", "del", "198.51.100.10/32", "dev", "lo") },
    { what: "a setting changed", tookMs: await repairSetting() },
    { what: `an instance silent, all ${PODS} pods`, tookMs: await silence() },
  ];
  console.log(`${PODS} pods at rest: ${cpuPercent.toFixed(1)} % of a core, ${memoryMb.toFixed(0)} MB`);
  printTable(
    ["what", "min ms", "median ms", "max ms"],
    results.map(({ what, tookMs }) => [
      what,
      ...[Math.min(...tookMs), median(tookMs), Math.max(...tookMs)].map((ms) => ms.toFixed(0)),
    ]),
  );
  reportJson({ pods: PODS, rounds, cpuPercent, memoryMb, results });
} finally {
  agent?.kill("SIGKILL");
  rmSync(folder, { recursive: true });
}
