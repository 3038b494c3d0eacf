import { execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import type { Log } from "#shared/process/log.ts";
import type { Intent } from "#shared/resolve/intent-types.ts";
import { InstanceKernel, type Observation } from "../../proxy/instance-kernel.ts";
import { type Moves, NO_MOVES } from "../../proxy/moves/moves.ts";
import { fastPath } from "../../proxy/nft/fast-path.ts";
import { slowPath } from "../../proxy/nft/slow-path.ts";

/** A log for tests: warnings and errors fail loudly on stderr, the rest is silent. */
export const testLog: Log = {
  debug: () => undefined,
  info: () => undefined,
  warn: (...args: unknown[]) => console.warn(...args),
  error: (...args: unknown[]) => console.error(...args),
};

export function sh(command: string): string {
  return execFileSync("sh", ["-ec", command], { encoding: "utf8", stdio: ["ignore", "pipe", "pipe"] });
}

export interface TestbedOptions {
  readonly prefix: string;
  readonly targets: number;
  readonly serviceMtu?: number;
  /** VIPs on the targets' loopback, as the node agent puts them in DSR mode. */
  readonly vips?: readonly string[];
  /** Pods on a primary network, `p1` …, which know the way to nobody else: 10.244.0.1 …, fd00:244::1 …; instance .200, ::c8 (eth0). */
  readonly pods?: number;
  readonly podMtu?: number;
}

function namesOf({ targets, pods = 0 }: TestbedOptions): string[] {
  const numbered = (prefix: string, count: number): string[] =>
    Array.from({ length: count }, (_, i) => `${prefix}${i + 1}`);
  return ["c", "g", "s", ...numbered("t", targets), ...numbered("p", pods)];
}

/**
 * One gateway instance between a client and targets, in namespaces of the test's own: client 192.0.2.1 – ext0
 * 192.0.2.2; svc0 10.1.0.200 – bridge – targets 10.1.0.1 …; IPv6 likewise (2001:db8:2::1, ::2; fd00:1::c8, fd00:1::1 …).
 */
export class Testbed {
  readonly #options: TestbedOptions;
  readonly kernel: InstanceKernel;

  constructor(options: TestbedOptions) {
    this.#options = options;
    const { prefix, targets, serviceMtu = 1500, vips = [], pods = 0, podMtu = 1500 } = options;
    const ns = (name: string): string => `${prefix}-${name}`;
    const names = namesOf(options);
    // Without duplicate address detection: a neighbour is asked for only once the link-local address may be used.
    const lines: string[] = names.map(
      (name) =>
        `ip netns add ${ns(name)}; ip -n ${ns(name)} link set lo up; ip netns exec ${ns(name)} sysctl -qw net.ipv6.conf.default.accept_dad=0`,
    );
    const link = (a: string, ifA: string, b: string, ifB: string, mtu = 1500): void => {
      lines.push(
        `ip link add ${ifA} netns ${ns(a)} mtu ${mtu} type veth peer name ${ifB} netns ${ns(b)} mtu ${mtu}`,
        `ip -n ${ns(a)} link set ${ifA} up; ip -n ${ns(b)} link set ${ifB} up`,
      );
    };
    const address = (at: string, device: string, ...addresses: string[]): void => {
      for (const a of addresses)
        lines.push(`ip -n ${ns(at)} addr add ${a} dev ${device}${a.includes(":") ? " nodad" : ""}`);
    };
    link("c", "eth0", "g", "ext0");
    address("c", "eth0", "192.0.2.1/24", "2001:db8:2::1/64");
    address("g", "ext0", "192.0.2.2/24", "2001:db8:2::2/64");
    lines.push(`ip -n ${ns("s")} link add br0 mtu ${serviceMtu} type bridge; ip -n ${ns("s")} link set br0 up`);
    link("g", "svc0", "s", "gw", serviceMtu);
    lines.push(`ip -n ${ns("s")} link set gw master br0`);
    address("g", "svc0", "10.1.0.200/16", "fd00:1::c8/64");
    for (let i = 1; i <= targets; i++) {
      link(`t${i}`, "svc0", "s", `t${i}`, serviceMtu);
      lines.push(`ip -n ${ns("s")} link set t${i} master br0`);
      address(`t${i}`, "svc0", `10.1.${Math.floor(i / 250)}.${i % 250}/16`, `fd00:1::${i.toString(16)}/64`);
      for (const vip of vips) address(`t${i}`, "lo", `${vip}/${vip.includes(":") ? 128 : 32}`);
      lines.push(
        `ip netns exec ${ns(`t${i}`)} sysctl -qw net.ipv4.conf.all.arp_announce=2 net.ipv4.conf.all.rp_filter=0 net.ipv4.conf.default.rp_filter=0`,
        `ip -n ${ns(`t${i}`)} route add default via 10.1.0.200; ip -n ${ns(`t${i}`)} -6 route add default via fd00:1::c8`,
      );
    }
    if (pods > 0) {
      lines.push(`ip -n ${ns("s")} link add br1 mtu ${podMtu} type bridge; ip -n ${ns("s")} link set br1 up`);
      link("g", "eth0", "s", "gw1", podMtu);
      lines.push(`ip -n ${ns("s")} link set gw1 master br1`);
      address("g", "eth0", "10.244.0.200/16", "fd00:244::c8/64");
    }
    for (let i = 1; i <= pods; i++) {
      link(`p${i}`, "eth0", "s", `p${i}`, podMtu);
      lines.push(`ip -n ${ns("s")} link set p${i} master br1`);
      address(`p${i}`, "eth0", `10.244.0.${i}/16`, `fd00:244::${i.toString(16)}/64`);
    }
    lines.push(
      `ip -n ${ns("c")} route add 198.51.100.0/24 via 192.0.2.2; ip -n ${ns("c")} -6 route add 2001:db8:100::/64 via 2001:db8:2::2`,
      // What a frontend would have learnt.
      `ip -n ${ns("g")} route add default via 192.0.2.1 table 7701 proto 201`,
      `ip -n ${ns("g")} -6 route add default via 2001:db8:2::1 table 7701 proto 201`,
    );
    sh(lines.join("\n"));
    this.kernel = new InstanceKernel(testLog, `/run/netns/${ns("g")}`);
  }

  name(node: string): string {
    return `${this.#options.prefix}-${node}`;
  }

  /** Runs a command in a node and waits for its end. */
  exec(node: string, command: string): string {
    return sh(`ip netns exec ${this.name(node)} ${command}`);
  }

  /** Starts a command in a node; resolves with what it printed when it has ended well. */
  async run(node: string, ...command: string[]): Promise<string> {
    const child = spawn("ip", ["netns", "exec", this.name(node), ...command], { stdio: ["ignore", "pipe", "inherit"] });
    let output = "";
    child.stdout.setEncoding("utf8").on("data", (chunk: string) => {
      output += chunk;
    });
    const [code] = await once(child, "close");
    if (code !== 0) throw new Error(`${command.join(" ")} in ${node} ended with ${code}`);
    return output;
  }

  /** Programs an intent, as the proxy's loop does. @param moves what is moved of its tables. */
  program(intent: Intent, moves: Moves = NO_MOVES): Observation {
    this.kernel.networkChanged();
    const observation = this.kernel.observe(intent);
    const { refused } = this.kernel.applyRouting(intent, observation.devices);
    if (refused.length > 0) throw new AggregateError(refused);
    this.kernel.applyTables([slowPath(intent, moves), fastPath(intent, observation.environment, moves)]);
    return observation;
  }

  close(): void {
    this.kernel.close();
    sh(
      namesOf(this.#options)
        .map((name) => `ip netns delete ${this.name(name)}`)
        .join("\n"),
    );
  }
}
