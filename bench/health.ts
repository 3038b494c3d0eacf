/*
 * What health checks cost, and how soon they see that a target is gone: one instance that asks 1,000 addresses (by default)
 * every 200 ms, and twenty times a target whose packets are all lost from one moment on.
 *
 *   sh scripts/sandbox.sh node bench/health.ts [--json FILE] [--targets N] [--rounds N] [--interval MS]
 *
 * All addresses are those of one namespace behind a veth pair, with real listeners. The process that asks is started anew for
 * each type, with nothing but the thread that the proxy has for it. CPU is that process's own in percent of a core, the
 * kernel's part of its system calls included: over veth that is the whole way to the target and back. `main` is how busy its
 * main thread's event loop is. Detection is from the rule that drops the packets to the news on the main thread; each round
 * waits until the target is back. `wrong`: other targets that were taken out meanwhile, of which there should be none.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { z } from "zod";
import { sh } from "../test/support/testbed.ts";
import { median, printTable, reportJson } from "./support/figures.ts";

const { values: args } = parseArgs({
  options: {
    json: { type: "string" },
    targets: { type: "string", default: "1000" },
    rounds: { type: "string", default: "20" },
    interval: { type: "string", default: "200" },
  },
});
const targets = Number(args.targets);
const TYPES = ["TCP", "UDP", "HTTP", "ICMP"] as const;
const ANSWERING = fileURLToPath(new URL("../test/proxy/answering-target.ts", import.meta.url));
const ASKING = fileURLToPath(new URL("./support/asking-instance.ts", import.meta.url));

const newsSchema = z.object({
  state: z.string(),
  address: z.string(),
  atMs: z.number(),
});
const costSchema = z.object({ cpuPercent: z.number(), mainPercent: z.number(), up: z.int() });

const addressOf = (n: number): string => `10.1.${n >> 8}.${n & 255}`;
sh(
  [
    "ip netns add cw-bg; ip netns add cw-bt; ip -n cw-bg link set lo up; ip -n cw-bt link set lo up",
    "ip link add svc0 netns cw-bg type veth peer name svc0 netns cw-bt",
    "ip -n cw-bg addr add 10.1.255.1/16 dev svc0; ip -n cw-bg link set svc0 up; ip -n cw-bt link set svc0 up",
    ...Array.from({ length: targets }, (_, i) => `ip -n cw-bt addr add ${addressOf(i + 1)}/16 dev svc0`),
    "ip netns exec cw-bt nft 'add table ip cut; add set ip cut gone { type ipv4_addr; }; add chain ip cut in { type filter hook prerouting priority 0; }; add rule ip cut in ip daddr @gone drop'",
    "ip netns exec cw-bt sysctl -qw net.ipv4.icmp_ratelimit=0 net.ipv4.icmp_msgs_per_sec=1000000",
  ].join("\n"),
);

const inside = (namespace: string, ...command: string[]): ChildProcess =>
  spawn("ip", ["netns", "exec", namespace, process.execPath, "--max-semi-space-size=1", ...command], {
    stdio: ["pipe", "pipe", "inherit"],
  });

const target = inside("cw-bt", ANSWERING);
if (target.stdout) await once(target.stdout, "data");

/** One JSON line of a process. */
class Lines {
  readonly #lines: AsyncIterator<string>;

  constructor(process: ChildProcess) {
    if (process.stdout === null) throw new Error("no output");
    this.#lines = createInterface({ input: process.stdout })[Symbol.asyncIterator]();
  }

  async next(): Promise<unknown> {
    const { value } = await this.#lines.next();
    return JSON.parse(value);
  }
}

const results = [];
for (const type of TYPES) {
  const asking = inside("cw-bg", ASKING, type, String(targets), args.interval);
  const lines = new Lines(asking);
  const cost = costSchema.parse(await lines.next());
  if (cost.up === 0) throw new Error(`${type}: nobody answers`);
  const detectedMs: number[] = [];
  let wrong = 0;
  /** When it is told that the address is in that state. News of others count as wrong: nothing has befallen them. */
  const told = async (address: string, state: string): Promise<number> => {
    for (;;) {
      const news = newsSchema.parse(await lines.next());
      if (news.address === address && news.state === state) return news.atMs;
      if (news.state === "down") wrong += 1;
    }
  };
  for (let round = 0; round < Number(args.rounds); round++) {
    // Somewhere in the interval.
    await new Promise((resolve) => setTimeout(resolve, Math.random() * Number(args.interval)));
    const address = addressOf(1 + Math.floor(Math.random() * targets));
    const cutMs = Date.now();
    sh(`ip netns exec cw-bt nft add element ip cut gone '{ ${address} }'`);
    detectedMs.push((await told(address, "down")) - cutMs);
    sh("ip netns exec cw-bt nft flush set ip cut gone");
    await told(address, "up");
  }
  asking.kill();
  results.push({
    type,
    ...cost,
    wrong,
    detectedMs: { least: Math.min(...detectedMs), median: median(detectedMs), most: Math.max(...detectedMs) },
  });
}
target.kill();

printTable(
  ["type", "CPU % of a core", "main loop %", "detected ms, least", "median", "most", "wrong"],
  results.map(({ type, cpuPercent, mainPercent, detectedMs, wrong }) => [
    type,
    cpuPercent.toFixed(1),
    mainPercent.toFixed(2),
    ...[detectedMs.least, detectedMs.median, detectedMs.most].map((ms) => ms.toFixed(0)),
    String(wrong),
  ]),
);
reportJson({ targets, intervalMs: Number(args.interval), results });
