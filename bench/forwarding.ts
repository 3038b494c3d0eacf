/*
 * Forwarded 64-byte packets per second of one gateway, as a ratio to plain IP forwarding of the same packets through the
 * same kind of namespaces.
 *
 *   sh scripts/sandbox.sh node bench/forwarding.ts [--json FILE] [--rounds N] [--core N] [--only TEXT]
 *
 * Method. Every variant has namespaces of its own: client, veth, gateway, veth, switch; all are there at once. One thread,
 * pinned to one core, sends bursts of 1,024 UDP frames of 50,000 flows through a packet socket on the client's side. veth
 * hands a packet on in the sender's own context, so `sendmmsg` returns when the whole burst has been through the gateway
 * and was counted and dropped at the switch's port: the thread's CPU time is the whole cost of the path, no queue and no
 * other core takes part, and being preempted by other work does not count. One burst takes two to four milliseconds. A
 * round is all flows twice through every variant in turn: once because the other variants have had the caches, once with
 * the clock. It gives one ratio for each variant; medians and quartiles of those are told. Everything sent must arrive, or the run fails.
 *
 * Plain forwarding is one route to one next hop, the least that can be asked of the stack. `to ECMP` is the ratio to plain
 * forwarding that spreads its flows over four next hops by addresses and ports, as the gateway does.
 *
 * The ratio is that of the whole path. It contains the generator and the counting drop at the end, the same for all
 * variants; what the path costs without a gateway is measured, too (`to the gateway only`: dropped where the gateway
 * would begin), and `gateway only` is the ratio that is left when that is taken away from both.
 */
import { writeFileSync } from "node:fs";
import { parseArgs } from "node:util";
import { FAMILIES, type Family, ip } from "#shared/net/ip.ts";
import { fastPath } from "../proxy/nft/fast-path.ts";
import { slowPath } from "../proxy/nft/slow-path.ts";
import { intentOf, type ScenarioOptions, scenario } from "../test/support/scenario.ts";
import { sh, Testbed } from "../test/support/testbed.ts";
import { fourOf20 } from "./support/combinations.ts";
import { median, printTable, quantile, reportJson } from "./support/figures.ts";
import { fill } from "./support/frames.ts";
import { BURST, FrameBatch, PacketSender, pinTo } from "./support/packet-sender.ts";

const FLOWS = 50_000;
const FIRST_PORT = 10_000;
const VIP = { 4: ip("198.51.100.10"), 6: ip("2001:db8:100::10") } as const;
/** Bursts that hold every flow. */
const BURSTS = Math.ceil(FLOWS / BURST);

type Gateway = "none" | "plain" | "plain-ecmp" | "DSR" | "NAT";

interface Variant {
  readonly name: string;
  readonly gateway: Gateway;
  readonly services: number;
  readonly targets: number;
  /** Every service has four targets in a combination of its own, and so a lookup table of its own. */
  readonly ownTables?: boolean;
  /** Least ratio to plain forwarding, where one is asked for. */
  readonly goal?: number;
}

const VARIANTS: readonly Variant[] = [
  { name: "plain forwarding", gateway: "plain", services: 1, targets: 1 },
  { name: "to the gateway only", gateway: "none", services: 1, targets: 1 },
  { name: "plain, ECMP", gateway: "plain-ecmp", services: 1, targets: 4 },
  ...(["DSR", "NAT"] as const).flatMap((gateway): Variant[] => {
    const goal = gateway === "DSR" ? 1 : 0.9;
    return [
      { name: gateway, gateway, services: 1, targets: 4, goal },
      { name: `${gateway}, shared tables`, gateway, services: 1000, targets: 4, goal: 0.95 * goal },
      { name: `${gateway}, own tables`, gateway, services: 1000, targets: 20, ownTables: true, goal: 0.95 * goal },
      { name: gateway, gateway, services: 1, targets: 1000, goal: 0.95 * goal },
    ];
  }),
];

/** Targets need not be there: their neighbours' entries are permanent, and the switch drops what comes. */
function addNeighbours(bed: Testbed, targets: number): void {
  const mac = "02:00:00:00:00:01";
  const entries = Array.from({ length: targets }, (_, i) => i + 1).flatMap((n) => [
    `neigh add 10.1.${1 + Math.floor(n / 250)}.${n % 250} lladdr ${mac} dev svc0 nud permanent`,
    `neigh add fd00:1::1:${n.toString(16)} lladdr ${mac} dev svc0 nud permanent`,
  ]);
  const file = `/run/${bed.name("neighbours")}`; // a tmpfs of the sandbox
  writeFileSync(file, `${entries.join("\n")}\n`);
  sh(`ip -n ${bed.name("g")} -batch ${file}`);
}

function countAndDrop(bed: Testbed, node: string, device: string): void {
  bed.exec(
    node,
    `nft 'add table netdev end; add counter netdev end got; add chain netdev end in { type filter hook ingress device "${device}" priority -500; }; add rule netdev end in ether type { ip, ip6 } counter name got drop'`,
  );
}

function plainRouting(bed: Testbed, targets: number): void {
  for (const key of ["ipv4.ip_forward", "ipv6.conf.all.forwarding"]) bed.exec("g", `sysctl -qw net.${key}=1`);
  // The hash of addresses and ports, as a balancer would use.
  for (const family of ["ipv4", "ipv6"]) bed.exec("g", `sysctl -qw net.${family}.fib_multipath_hash_policy=1`);
  for (const [vip, prefix] of [
    [`${VIP[4]}/32`, "10.1.1."],
    [`${VIP[6]}/128`, "fd00:1::1:"],
  ]) {
    const hops = Array.from({ length: targets }, (_, i) => `via ${prefix}${i + 1} dev svc0`);
    sh(`ip -n ${bed.name("g")} route add ${vip} ${hops.length === 1 ? hops[0] : `nexthop ${hops.join(" nexthop ")}`}`);
  }
}

async function programGateway(bed: Testbed, variant: Variant, mode: "DSR" | "NAT"): Promise<void> {
  const options: ScenarioOptions = {
    mode,
    targets: variant.targets,
    vips: Object.values(VIP),
    subnet: "10.1.1",
    subnet6: "fd00:1::1:",
    listeners: Array.from({ length: variant.services }, (_, i) => ({ protocol: "UDP" as const, port: FIRST_PORT + i })),
    ...(variant.ownTables ? { targetsOf: fourOf20 } : {}),
  };
  const intent = await intentOf(scenario(options));
  if (intent.problems.length > 0) throw new Error(`${variant.name}: ${intent.problems[0]?.message}`);
  const { environment, devices } = bed.kernel.observe(intent);
  bed.kernel.applyRouting(intent, devices);
  // The slow path's copy of a thousand tables takes no part here; without it the run starts sooner.
  const slow = variant.services === 1 ? [slowPath(intent)] : [];
  bed.kernel.applyTables([...slow, fastPath(intent, environment)]);
}

class Lane {
  readonly variant: Variant;
  readonly family: Family;
  readonly #bed: Testbed;
  readonly #sender: PacketSender;
  readonly #mac: string;
  #next = 0;
  readonly nanoseconds: number[] = [];

  constructor(variant: Variant, family: Family, bed: Testbed) {
    this.variant = variant;
    this.family = family;
    this.#bed = bed;
    this.#sender = new PacketSender(`/run/netns/${bed.name("c")}`, "eth0");
    this.#mac = bed.exec("g", "cat /sys/class/net/ext0/address").trim();
  }

  /** All flows once, which brings their state back into the caches, then all flows once with the clock. */
  run(batch: FrameBatch): void {
    for (let i = 0; i < BURSTS; i++) this.#burst(batch);
    let total = 0;
    for (let i = 0; i < BURSTS; i++) total += this.#burst(batch);
    this.nanoseconds.push(total / BURSTS / BURST);
  }

  #burst(batch: FrameBatch): number {
    const { family, variant } = this;
    const stream = { family, destinationMac: this.#mac, vip: VIP[family], flows: FLOWS, firstPort: FIRST_PORT };
    fill(batch, { ...stream, services: variant.services }, this.#next);
    this.#next += BURST;
    return this.#sender.send(batch);
  }

  get sent(): number {
    return this.#next;
  }

  /** Packets of both families that came to the end of this lane's namespaces. */
  arrived(): number {
    const node = this.variant.gateway === "none" ? "g" : "s";
    const listed = this.#bed.exec(node, "nft list counter netdev end got");
    return Number(/packets (\d+)/.exec(listed)?.[1]);
  }

  close(): void {
    this.#sender.close();
  }
}

const { values: args } = parseArgs({
  options: {
    json: { type: "string" },
    rounds: { type: "string", default: "9" },
    core: { type: "string", default: "1" },
    only: { type: "string", default: "" },
  },
});
const rounds = Number(args.rounds);
const wanted = VARIANTS.filter(
  ({ gateway, name }) => ["plain", "plain-ecmp", "none"].includes(gateway) || name.includes(args.only),
);
const beds: Testbed[] = [];
const lanes: Lane[] = [];
for (const [index, variant] of wanted.entries()) {
  const bed = new Testbed({ prefix: `cw-f${index}`, targets: 0 });
  beds.push(bed);
  addNeighbours(bed, variant.targets);
  // ICMP that the namespaces themselves send is no traffic of ours.
  if (variant.gateway === "none") countAndDrop(bed, "g", "ext0");
  else countAndDrop(bed, "s", "gw");
  if (variant.gateway === "plain" || variant.gateway === "plain-ecmp") plainRouting(bed, variant.targets);
  else if (variant.gateway !== "none") await programGateway(bed, variant, variant.gateway);
  for (const family of FAMILIES) lanes.push(new Lane(variant, family, bed));
}

pinTo(Number(args.core));
const batch = new FrameBatch();
for (let round = 0; round < rounds; round++) for (const lane of lanes) lane.run(batch);

const bases = new Map(
  FAMILIES.map((family) => {
    const find = (gateway: Gateway): readonly number[] =>
      lanes.find((lane) => lane.family === family && lane.variant.gateway === gateway)?.nanoseconds ?? [];
    return [family, { plain: find("plain"), ecmp: find("plain-ecmp"), none: find("none") }];
  }),
);
const results = lanes.map((lane) => {
  const measured = lane.nanoseconds;
  const base = bases.get(lane.family);
  const plain = base?.plain ?? [];
  const ratiosTo = (base: readonly number[]): number[] => measured.map((ns, round) => (base[round] ?? Number.NaN) / ns);
  const ratios = ratiosTo(plain);
  const none = median(base?.none ?? []);
  return {
    family: lane.family,
    name: lane.variant.name,
    services: lane.variant.services,
    targets: lane.variant.targets,
    nsPerPacket: Math.round(median(measured)),
    ratio: median(ratios),
    ratioToEcmp: median(ratiosTo(base?.ecmp ?? [])),
    quartiles: [quantile(ratios, 0.25), quantile(ratios, 0.75)] as const,
    gatewayOnly: (median(plain) - none) / (median(measured) - none),
    goal: lane.variant.goal,
  };
});
for (const lane of lanes) lane.close();
for (const variant of wanted) {
  const own = lanes.filter((lane) => lane.variant === variant);
  const sent = own.reduce((sum, lane) => sum + lane.sent, 0);
  const arrived = own[0]?.arrived();
  // The namespaces' own multicast may be counted, too.
  if (arrived === undefined || arrived < sent)
    throw new Error(`${variant.name}: ${arrived} of ${sent} packets arrived`);
}
for (const bed of beds) bed.close();

printTable(
  ["gateway", "IP", "services", "targets", "ns/packet", "ratio", "quartiles", "to ECMP", "gateway only", "goal"],
  results.map((r) => [
    r.name,
    `v${r.family}`,
    String(r.services),
    String(r.targets),
    String(r.nsPerPacket),
    r.ratio.toFixed(2),
    r.quartiles.map((q) => q.toFixed(2)).join("–"),
    r.ratioToEcmp.toFixed(2),
    Number.isFinite(r.gatewayOnly) ? r.gatewayOnly.toFixed(2) : "",
    r.goal === undefined ? "" : r.goal.toFixed(2),
  ]),
);
reportJson({ flows: FLOWS, frameBytes: 64, rounds, packetsPerRound: BURST * BURSTS, results });
