/*
 * What a change of targets costs while its exceptions last (decision 012), with 10,000 and 100,000 live TCP flows.
 *
 *   sh scripts/sandbox.sh node bench/moves.ts [--json FILE] [--part rate|change] [--rounds N] [--changes N] [--mode DSR|NAT] [--core N]
 *
 * Rate: packets per second of one gateway, as a ratio to the same gateway in steady state, measured as in
 * bench/forwarding.ts: all variants are there at once, in namespaces of their own, and each round sends all flows twice through
 * each of them, the second time with the clock. `kept` is the number of flows that the kernel knows in one family, `bytes`
 * the kernel's memory for one of them (Slab, so other work on the machine shows in it).
 *
 * Change: from the change of EndpointSlices to the kernel as in bench/change.ts (100 services of 997 slots, DSR unless said),
 * the keeper of flows included, while slots are moved and flows are kept. In turn a service loses a pod, which goes on as a
 * target that terminates, or gets it back, in both families. A look at the kept flows follows a change every 5 s or less often.
 * `keeping` Off is what a change costs without any of it. `flows` are those that were sent once before the first change that is counted, half of each family.
 */
import { readFileSync, writeFileSync } from "node:fs";
import { parseArgs } from "node:util";
import { FAMILIES, type Family, ip } from "#shared/net/ip.ts";
import type { TableState } from "#shared/nft/table-state.ts";
import { attach } from "#shared/resolve/attach.ts";
import { resolveIntent } from "#shared/resolve/intent.ts";
import type { Intent } from "#shared/resolve/intent-types.ts";
import { TableCache } from "#shared/resolve/tables.ts";
import { FlowKeeper } from "../proxy/moves/flow-keeper.ts";
import { fastPath } from "../proxy/nft/fast-path.ts";
import { slowPath } from "../proxy/nft/slow-path.ts";
import { object, type ScenarioOptions, scenario, slice, viewOf } from "../test/support/scenario.ts";
import { sh, Testbed } from "../test/support/testbed.ts";
import { fourOf20 } from "./support/combinations.ts";
import { median, printTable, quantile, reportJson } from "./support/figures.ts";
import { fill } from "./support/frames.ts";
import { BURST, FrameBatch, PacketSender, pinTo, threadCpuNs } from "./support/packet-sender.ts";

const VIP = { 4: ip("198.51.100.10"), 6: ip("2001:db8:100::10") } as const;
const GATEWAY = { namespace: "default", name: "edge" };
const FIRST_PORT = 10_000;
const SERVICES = 100;
const TARGETS = 20;
const LIVE_FLOWS = [10_000, 100_000] as const;
const FRAME_BYTES = 80;
const GOAL_RATIO = 0.85;
const GOAL_P99_MS = 30;

const { values: args } = parseArgs({
  options: {
    json: { type: "string" },
    part: { type: "string", default: "" },
    rounds: { type: "string", default: "7" },
    changes: { type: "string", default: "400" },
    mode: { type: "string", default: "DSR" },
    core: { type: "string", default: "1" },
  },
});
const mode = args.mode === "NAT" ? "NAT" : "DSR";

/** One gateway between a sender and targets that need not be there, with its own clock. */
class Gateway {
  readonly bed: Testbed;
  readonly #keeper: FlowKeeper;
  readonly #sender: PacketSender;
  readonly #mac: string;
  #nowMs = 1_000_000;
  #tables: readonly TableState[] = [];
  intent: Intent | undefined;

  constructor(prefix: string) {
    this.bed = new Testbed({ prefix, targets: 0 });
    this.#keeper = new FlowKeeper(this.bed.kernel, () => this.#nowMs);
    const entries = Array.from({ length: TARGETS }, (_, i) => i + 1).flatMap((n) =>
      [`10.1.0.${n}`, `fd00:1::${n.toString(16)}`].map(
        (address) => `neigh add ${address} lladdr 02:00:00:00:00:01 dev svc0 nud permanent`,
      ),
    );
    const file = `/run/${prefix}-neighbours`; // a tmpfs of the sandbox
    writeFileSync(file, `${entries.join("\n")}\n`);
    sh(`ip -n ${this.bed.name("g")} -batch ${file}`);
    this.bed.exec(
      "s",
      `nft 'add table netdev end; add counter netdev end got; add chain netdev end in { type filter hook ingress device "gw" priority -500; }; add rule netdev end in ether type { ip, ip6 } counter name got drop'`,
    );
    this.#sender = new PacketSender(`/run/netns/${this.bed.name("c")}`, "eth0");
    this.#mac = this.bed.exec("g", "cat /sys/class/net/ext0/address").trim();
  }

  /** What the proxy's loop does with an intent. @returns the number of nftables transactions. */
  program(intent: Intent, lap: (stage: Stage) => void = () => undefined): number {
    const { environment, devices } = this.bed.kernel.observe(intent);
    lap("observe");
    this.bed.kernel.applyRouting(intent, devices);
    lap("routing");
    const next = this.#keeper.next(intent);
    lap("keeper");
    const [slow, fast] = this.#tables;
    const tables = [slowPath(intent, next.moves, slow), fastPath(intent, environment, next.moves, fast)];
    this.#tables = tables;
    lap("tables");
    const transactions = this.bed.kernel.applyTables(tables);
    lap("kernel");
    this.#keeper.applied(next, intent);
    lap("look");
    this.intent = intent;
    return transactions;
  }

  wait(ms: number): void {
    this.#nowMs += ms;
  }

  /** Sends each flow once. @returns nanoseconds of CPU for a packet. */
  send(batch: FrameBatch, family: Family, flows: number, services: number): number {
    const bursts = Math.ceil(flows / BURST);
    const stream = { family, destinationMac: this.#mac, vip: VIP[family], flows, firstPort: FIRST_PORT, services };
    let nanoseconds = 0;
    for (let burst = 0; burst < bursts; burst++) {
      fill(batch, { ...stream, protocol: "TCP" }, burst * BURST);
      nanoseconds += this.#sender.send(batch);
      this.sent += BURST;
    }
    return nanoseconds / bursts / BURST;
  }

  sent = 0;

  /** Flows that the kernel knows, both families. */
  kept(): number {
    if (this.intent === undefined) return 0;
    return [...this.bed.kernel.kept.look(this.intent).values()].reduce((a, b) => a + b, 0);
  }

  close(): void {
    this.#sender.close();
    const arrived = Number(/packets (\d+)/.exec(this.bed.exec("s", "nft list counter netdev end got"))?.[1]);
    // The namespaces' own multicast may be counted, too.
    if (arrived < this.sent) throw new Error(`${this.bed.name("g")}: ${arrived} of ${this.sent} packets arrived`);
    this.bed.close();
  }
}

function slabBytes(): number {
  return Number(/^Slab:\s+(\d+)/m.exec(readFileSync("/proc/meminfo", "utf8"))?.[1]) * 1024;
}

const numbers = (from: number, to: number): number[] => Array.from({ length: to - from + 1 }, (_, i) => from + i);

/** Targets of one service: before the change, and after it. */
const VARIANTS: readonly {
  readonly name: string;
  readonly after?: ScenarioOptions;
  readonly before: ScenarioOptions;
  readonly settled?: boolean;
}[] = [
  { name: "steady", before: { targetsOf: () => numbers(1, 4) } },
  {
    name: "a fourth target joined",
    before: { targetsOf: () => numbers(1, 3) },
    after: { targetsOf: () => numbers(1, 4) },
  },
  {
    name: "a fourth target joined, settled",
    before: { targetsOf: () => numbers(1, 3) },
    after: { targetsOf: () => numbers(1, 4) },
    settled: true,
  },
  {
    name: "all four replaced",
    before: { targetsOf: () => numbers(1, 4) },
    after: { targetsOf: () => numbers(5, 8), terminating: numbers(1, 4) },
  },
  {
    name: "all four replaced, settled",
    before: { targetsOf: () => numbers(1, 4) },
    after: { targetsOf: () => numbers(5, 8), terminating: numbers(1, 4) },
    settled: true,
  },
];

async function oneService(options: ScenarioOptions, cache: TableCache): Promise<Intent> {
  const listeners = [{ protocol: "TCP" as const, port: FIRST_PORT }];
  const view = await viewOf(scenario({ mode, listeners, ...options }));
  return resolved(attach(view), view, cache);
}

function resolved(
  attachments: ReturnType<typeof attach>,
  view: Awaited<ReturnType<typeof viewOf>>,
  cache: TableCache,
): Intent {
  const intent = resolveIntent(attachments, view.list("EndpointSlice"), GATEWAY, cache);
  if (intent === undefined || intent.problems.length > 0) throw new Error(`no intent: ${intent?.problems[0]?.message}`);
  return intent;
}

async function measureRate(batch: FrameBatch): Promise<readonly object[]> {
  const rounds = Number(args.rounds);
  const lanes: {
    readonly name: string;
    readonly flows: number;
    readonly gateway: Gateway;
    readonly kept: number;
    readonly keptBytes: number;
    readonly nanoseconds: Record<Family, number[]>;
  }[] = [];
  for (const flows of LIVE_FLOWS) {
    for (const { name, before, after, settled } of VARIANTS) {
      const gateway = new Gateway(`cw-mv${lanes.length}`);
      const cache = new TableCache();
      gateway.program(await oneService(before, cache));
      if (after !== undefined) gateway.program(await oneService(after, cache));
      const emptyBytes = slabBytes();
      // Every flow is older than the change: its first packet after it is the one by which it is known.
      for (const family of FAMILIES) gateway.send(batch, family, flows, 1);
      const usedBytes = slabBytes() - emptyBytes;
      const { intent } = gateway;
      if (settled && intent !== undefined) {
        gateway.wait(intent.flowKeeping.idleTimeoutSeconds * 1000);
        gateway.program(intent);
      }
      const kept = gateway.kept() / FAMILIES.length;
      const keptBytes = kept === 0 ? Number.NaN : usedBytes / kept / FAMILIES.length;
      lanes.push({ name, flows, gateway, kept, keptBytes, nanoseconds: { 4: [], 6: [] } });
    }
  }
  for (let round = 0; round < rounds; round++) {
    for (const { gateway, flows, nanoseconds } of lanes) {
      for (const family of FAMILIES) {
        gateway.send(batch, family, flows, 1);
        nanoseconds[family].push(gateway.send(batch, family, flows, 1));
      }
    }
  }
  const results = lanes.flatMap(({ name, flows, kept, keptBytes, nanoseconds }) =>
    FAMILIES.map((family) => {
      const steady = lanes.find((lane) => lane.flows === flows)?.nanoseconds[family] ?? [];
      const ratios = nanoseconds[family].map((ns, round) => (steady[round] ?? Number.NaN) / ns);
      const quartiles = [quantile(ratios, 0.25), quantile(ratios, 0.75)] as const;
      const nsPerPacket = Math.round(median(nanoseconds[family]));
      return { name, family, flows, kept, keptBytes, nsPerPacket, ratio: median(ratios), quartiles };
    }),
  );
  for (const { gateway } of lanes) gateway.close();
  printTable(
    ["gateway", "IP", "flows", "kept", "bytes", "ns/packet", "ratio", "quartiles"],
    results.map((r) => [
      r.name,
      `v${r.family}`,
      String(r.flows),
      String(r.kept),
      Number.isFinite(r.keptBytes) ? r.keptBytes.toFixed(0) : "",
      String(r.nsPerPacket),
      r.ratio.toFixed(2),
      r.quartiles.map((q) => q.toFixed(2)).join("–"),
    ]),
  );
  console.log(`goal: ${GOAL_RATIO}; ${rounds} rounds\n`);
  return results;
}

/** Milliseconds of CPU of this thread, the kernel's part included, but for the last two. What comes after `kernel` delays no packet. */
type Stage =
  | "resolve"
  | "observe"
  | "routing"
  | "keeper"
  | "tables"
  | "kernel"
  | "look"
  | "all of it"
  | "by the wall clock"
  | "transactions";

/** As a controller writes it: the pod that goes is there while it terminates. */
function serviceSlice(service: number, family: Family, loses: boolean): ReturnType<typeof slice> {
  const port = FIRST_PORT + service;
  const all = fourOf20(service);
  const prefix = family === 4 ? "10.1.0." : "fd00:1::";
  const pods = all.map((n) => [`pod-${n}`, `${prefix}${n.toString(family === 4 ? 10 : 16)}`] as const);
  const going = new Set(loses ? [`pod-${all[0]}`] : []);
  return slice(`tcp-${port}`, family, port, "TCP", new Map(pods), going);
}

/** The scenario's own, with or without keeping flows. */
function parameters(keeping: string): ReturnType<typeof object> {
  return object({
    apiVersion: "causeway.dev/v1alpha1",
    kind: "GatewayParameters",
    metadata: { name: "edge", namespace: "default" },
    spec: {
      mode,
      externalNetworks: [{ interface: "ext0" }],
      serviceNetworks: [{ network: "svc-net", interface: "svc0" }],
      flowKeeping: { mode: keeping },
    },
  });
}

async function measureChange(batch: FrameBatch): Promise<readonly object[]> {
  const changes = Number(args.changes);
  const results: {
    keeping: string;
    flows: number;
    kept: number;
    stage: string;
    p50Ms: number;
    p99Ms: number;
    maxMs: number;
  }[] = [];
  const cases = [
    { keeping: "Off", flows: 0 },
    ...[0, ...LIVE_FLOWS].map((flows) => ({ keeping: "On", flows })),
  ] as const;
  for (const { keeping, flows } of cases) {
    const gateway = new Gateway(`cw-mc${keeping}${flows}`);
    const listeners = numbers(0, SERVICES - 1).map((i) => ({ protocol: "TCP" as const, port: FIRST_PORT + i }));
    const store = scenario({ mode, targets: TARGETS, listeners, targetsOf: fourOf20 });
    store.put(parameters(keeping));
    const view = await viewOf(store);
    // As the proxy does: routes are attached anew only when another kind of object changes.
    const attachments = attach(view);
    const cache = new TableCache();
    const stages = new Map<Stage, number[]>();
    const note = (stage: Stage, value: number): void => {
      stages.set(stage, [...(stages.get(stage) ?? []), value]);
    };
    gateway.program(resolved(attachments, view, cache));
    const change = (index: number): void => {
      const startNs = threadCpuNs();
      const startMs = performance.now();
      let lastNs = startNs;
      const lap = (stage: Stage): void => {
        const nowNs = threadCpuNs();
        note(stage, (nowNs - lastNs) / 1e6);
        lastNs = nowNs;
        if (stage !== "kernel") return;
        note("all of it", (nowNs - startNs) / 1e6);
        note("by the wall clock", performance.now() - startMs);
      };
      const loses = Math.floor(index / SERVICES) % 2 === 0;
      for (const family of FAMILIES) store.put(serviceSlice(index % SERVICES, family, loses));
      const intent = resolved(attachments, view, cache);
      lap("resolve");
      const transactions = gateway.program(intent, lap);
      gateway.wait(performance.now() - startMs);
      if (transactions === 0) throw new Error(`change ${index} changed nothing`);
      note("transactions", transactions);
    };
    // Each service has lost a pod once before the clock runs: so all of them have slots that are moved.
    for (let index = 0; index < SERVICES; index++) change(index);
    if (flows > 0) for (const family of FAMILIES) gateway.send(batch, family, flows / FAMILIES.length, SERVICES);
    const kept = gateway.kept();
    stages.clear();
    for (let index = SERVICES; index < SERVICES + changes; index++) change(index);
    for (const [stage, values] of stages) {
      const [p50Ms, p99Ms] = [quantile(values, 0.5), quantile(values, 0.99)];
      results.push({ keeping, flows, kept, stage, p50Ms, p99Ms, maxMs: Math.max(...values) });
    }
    gateway.close();
  }
  printTable(
    ["keeping", "flows", "kept", "stage", "p50 ms", "p99 ms", "max ms"],
    results.map((r) => [
      r.keeping,
      String(r.flows),
      String(r.kept),
      r.stage,
      r.p50Ms.toFixed(2),
      r.p99Ms.toFixed(2),
      r.maxMs.toFixed(2),
    ]),
  );
  console.log(`goal: p99 of all of it under ${GOAL_P99_MS} ms; ${changes} changes\n`);
  return results;
}

pinTo(Number(args.core));
const batch = new FrameBatch(FRAME_BYTES);
const rate = args.part === "change" ? [] : await measureRate(batch);
const change = args.part === "rate" ? [] : await measureChange(batch);
reportJson({ mode, goalRatio: GOAL_RATIO, goalP99Ms: GOAL_P99_MS, rate, change });
