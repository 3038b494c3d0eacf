import { type ChildProcessByStdio, execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import { createInterface, type Interface } from "node:readline";
import type { Readable, Writable } from "node:stream";
import { setTimeout } from "node:timers/promises";
import type { CopyPolicy } from "../../discovery/fan-out/ruleset.ts";

const CHILD = join(import.meta.dirname, "fan-out-child.ts");

export function sh(command: string): string {
  return execFileSync("sh", ["-ec", command], { encoding: "utf8", stdio: ["ignore", "pipe", "pipe"] });
}

/** Waits until `look` says so. */
export async function until(what: string, look: () => boolean | Promise<boolean>, timeoutMs = 8_000): Promise<void> {
  const deadlineMs = performance.now() + timeoutMs;
  while (!(await look())) {
    if (performance.now() > deadlineMs) throw new Error(`not within ${timeoutMs} ms: ${what}`);
    await setTimeout(20);
  }
}

export interface Wanted {
  /** Numbers of networks: network 2 is 10.71.2.0/24, at the gateways' interface net2. */
  readonly networks: readonly number[];
  readonly participants: readonly { readonly network: number; readonly domainId?: number; readonly hears?: boolean }[];
  readonly policy?: Partial<CopyPolicy>;
  readonly domainIds?: readonly number[];
}

const POLICY: CopyPolicy = { ttl: "Lower", packetsPerSecondPerPublisher: 20_000, octetsPerSecond: 100_000_000 };

/** What the child reads. */
function told({ networks, participants, policy, domainIds = [0] }: Wanted): string {
  return JSON.stringify({
    networks: networks.map((number) => ({ name: `default/net-${number}`, interface: `net${number}` })),
    domainIds,
    policy: { ...POLICY, ...policy },
    participants: participants.map(({ network, domainId = 0, hears = true }, index) => ({
      guidPrefix: index.toString(16).padStart(24, "0"),
      domainId,
      domainTag: "",
      network: `default/net-${network}`,
      defaultMulticast: hears ? [{ kind: "udpv4", address: "239.255.0.1", port: 7401 + 250 * domainId }] : [],
    })),
  });
}

function countsOf(text: string): Record<string, number> {
  const counts: Record<string, number> = {};
  for (const [, source = "", port = "", packets] of text.matchAll(
    /([\d.]+) \. (\d+) \. [0-9a-f:]+ counter packets (\d+)/g,
  )) {
    counts[`${source} ${port}`] = (counts[`${source} ${port}`] ?? 0) + Number(packets);
  }
  return counts;
}

/** A gateway's process. */
export class Gateway {
  readonly namespace: string;
  readonly #child: ChildProcessByStdio<Writable, Readable, null>;
  readonly #lines: Interface;

  constructor(namespace: string, id: string, wrapper: readonly string[]) {
    this.namespace = namespace;
    const command = ["netns", "exec", namespace, ...wrapper, process.execPath, CHILD, id.padStart(32, "0")];
    this.#child = spawn("ip", command, { stdio: ["pipe", "pipe", "inherit"] });
    this.#lines = createInterface({ input: this.#child.stdout });
  }

  want(wanted: Wanted): void {
    this.#child.stdin.write(`${told(wanted)}\n`);
  }

  async status(): Promise<{
    copies: { from: string; to: string; isOurs: boolean }[];
    sisters: { id: string; networks: string[] }[];
    problems: string[];
    packets: { outcome: string; from: string; to?: string; packets: number }[];
  }> {
    const line = once(this.#lines, "line");
    this.#child.stdin.write("status\n");
    return JSON.parse(String((await line)[0]));
  }

  async end(signal: "SIGTERM" | "SIGKILL"): Promise<void> {
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return;
    this.#child.kill(signal);
    await once(this.#child, "exit");
  }
}

/**
 * Networks, each a switch of its own, with pods and gateways: pod `p21` is 10.71.2.11 on network 2, gateway `g1` has
 * 10.71.N.1 on each network that it is attached to, `g2` has 10.71.N.2.
 */
export class FanOutBed {
  readonly #prefix: string;
  readonly #namespaces: string[] = [];

  constructor(prefix: string, networks: number, mtu: Readonly<Record<number, number>> = {}) {
    this.#prefix = prefix;
    this.#make("sw");
    for (let n = 1; n <= networks; n++) {
      sh(`ip -n ${this.name("sw")} link add br${n} type bridge; ip -n ${this.name("sw")} link set br${n} up`);
      this.pod(n, 1, mtu[n]);
      this.pod(n, 2, mtu[n]);
    }
  }

  name(node: string): string {
    return `${this.#prefix}-${node}`;
  }

  #make(node: string): void {
    const namespace = this.name(node);
    sh(`ip netns add ${namespace}; ip -n ${namespace} link set lo up`);
    this.#namespaces.push(namespace);
  }

  /** Connects a device to a network. */
  plug(node: string, device: string, network: number, address: string, mtu = 1500): void {
    const port = `${node}-${network}`;
    const switches = this.name("sw");
    sh(
      `ip -n ${this.name(node)} link add ${device} mtu ${mtu} type veth peer name ${port} mtu ${mtu} netns ${switches}
      ip -n ${switches} link set ${port} master br${network} up
      ip -n ${this.name(node)} address add ${address} dev ${device}; ip -n ${this.name(node)} link set ${device} up`,
    );
  }

  pod(network: number, number: number, mtu?: number): void {
    const node = `p${network}${number}`;
    this.#make(node);
    this.plug(node, "eth0", network, `10.71.${network}.${10 + number}/24`, mtu);
    sh(`ip -n ${this.name(node)} route add default via 10.71.${network}.1`);
    // What arrives, by publisher, TTL and port.
    sh(`ip netns exec ${this.name(node)} nft -f - <<'END'
table netdev seen {
  set seen { type ipv4_addr . inet_service . ether_addr; size 65536; flags dynamic; counter; }
  set ttls { typeof ip ttl; size 256; flags dynamic; counter; }
  chain in { type filter hook ingress device "eth0" priority 0
    ip daddr 239.255.0.1 meta l4proto udp ip frag-off & 0x1fff == 0 udp dport != 7399 update @seen { ip saddr . udp dport . ether saddr } update @ttls { ip ttl }
    ip daddr 239.255.0.1 ip frag-off & 0x1fff != 0 update @seen { ip saddr . 1 . ether saddr }
  }
}
END`);
  }

  gateway(number: number, networks: readonly number[], mtu: Readonly<Record<number, number>> = {}): void {
    this.#make(`g${number}`);
    for (const n of networks) this.plug(`g${number}`, `net${n}`, n, `10.71.${n}.${number}/24`, mtu[n]);
    sh(`ip netns exec ${this.name(`g${number}`)} sysctl -qw net.ipv4.ip_forward=1`);
  }

  /** @param wrapper a command that begins the process. */
  start(number: number, wrapper: readonly string[] = []): Gateway {
    return new Gateway(this.name(`g${number}`), String(number), wrapper);
  }

  /** Sends datagrams to the group from a pod. */
  send(node: string, { count = 10, ttl = 32, port = 7401, octets = 100, perMs = 10 } = {}): void {
    const script = `
      const s = require("dgram").createSocket("udp4");
      s.bind(0, () => {
        s.setMulticastTTL(${ttl});
        let left = ${count};
        const step = () => {
          for (let i = 0; i < ${perMs} && left > 0; i++, left--) s.send(Buffer.alloc(${octets}), ${port}, "239.255.0.1");
          if (left > 0) setTimeout(step, 1); else setTimeout(() => s.close(), 20);
        };
        step();
      });`;
    execFileSync("ip", ["netns", "exec", this.name(node), process.execPath, "-e", script]);
  }

  /** Sends a datagram each millisecond for some time. @returns how many. */
  async stream(node: string, ms: number): Promise<number> {
    const script = `
      const s = require("dgram").createSocket("udp4");
      s.bind(0, () => {
        s.setMulticastTTL(32);
        let sent = 0;
        const end = performance.now() + ${ms};
        const step = () => {
          if (performance.now() > end) { console.log(sent); setTimeout(() => s.close(), 20); return; }
          s.send("x", 7401, "239.255.0.1");
          sent++;
          setTimeout(step, 1);
        };
        step();
      });`;
    const command = ["netns", "exec", this.name(node), process.execPath, "-e", script];
    const child = spawn("ip", command, { stdio: ["ignore", "pipe", "inherit"] });
    let text = "";
    child.stdout.setEncoding("utf8").on("data", (chunk: string) => {
      text += chunk;
    });
    await once(child, "close");
    return Number(text);
  }

  /** How many packets have arrived at a pod, without forgetting them. */
  count(node: string, key: string): number {
    const text = sh(`ip netns exec ${this.name(node)} nft list set netdev seen seen`);
    return countsOf(text)[key] ?? 0;
  }

  /** Packets that have arrived at a pod since the last look, by `SOURCE PORT`; port 1: later fragments. */
  seen(node: string): Record<string, number> {
    const text = sh(`ip netns exec ${this.name(node)} nft list set netdev seen seen`);
    sh(`ip netns exec ${this.name(node)} nft flush set netdev seen seen`);
    return countsOf(text);
  }

  /** Ethernet addresses that packets came from. */
  macs(node: string): string[] {
    const text = sh(`ip netns exec ${this.name(node)} nft list set netdev seen seen`);
    return [...text.matchAll(/\. ([0-9a-f:]{17}) counter/g)].map(([, mac = ""]) => mac);
  }

  /** TTLs that packets had. */
  ttls(node: string): number[] {
    const text = sh(`ip netns exec ${this.name(node)} nft list set netdev seen ttls`);
    return [...text.matchAll(/(\d+) counter packets/g)].map(([, ttl]) => Number(ttl));
  }

  macOf(gateway: number, network: number): string {
    const [, mac = ""] =
      /link\/ether ([0-9a-f:]{17})/.exec(sh(`ip -n ${this.name(`g${gateway}`)} link show net${network}`)) ?? [];
    return mac;
  }

  close(): void {
    for (const namespace of this.#namespaces) sh(`ip netns delete ${namespace}`);
  }
}
