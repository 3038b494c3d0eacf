import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { readSysctl, writeSysctl } from "#shared/kernel/network-namespace.ts";

/*
 * A client behind two gateways that are plain routers, and a pod on their service network:
 *
 *   client ─┬─ gw1 ─┬─ pod (10.1.0.1, on interface svc0 of the bridge in "lan")
 *           └─ gw2 ─┘
 */
export const VIP = { 4: "198.51.100.10", 6: "2001:db8:100::10" } as const;
export const TARGET = { 4: "10.1.0.1", 6: "fd00:1::1" } as const;
export const CLIENT = { 4: "203.0.113.2", 6: "2001:db8:c::2" } as const;

export const netnsOf = (name: string): string => `/run/netns/cw-na-${name}`;

export function run(name: string, ...args: string[]): string {
  return execFileSync("ip", ["-n", `cw-na-${name}`, ...args], { encoding: "utf8", stdio: ["ignore", "pipe", "pipe"] });
}

function add(name: string): void {
  execFileSync("ip", ["netns", "add", `cw-na-${name}`]);
  run(name, "link", "set", "lo", "up");
  for (const [key, value] of [
    ["net/ipv4/conf/all/rp_filter", 0],
    ["net/ipv4/conf/default/rp_filter", 0],
    ["net/ipv6/conf/default/accept_dad", 0],
  ] as const) {
    writeSysctl(netnsOf(name), key, value);
  }
}

function cable(a: string, deviceA: string, b: string, deviceB: string): void {
  const peer = ["peer", "name", deviceB, "netns", `cw-na-${b}`];
  execFileSync("ip", ["link", "add", deviceA, "netns", `cw-na-${a}`, "type", "veth", ...peer]);
  for (const [name, device] of [
    [a, deviceA],
    [b, deviceB],
  ] as const) {
    run(name, "link", "set", device, "up");
  }
}

function address(name: string, device: string, ...prefixes: string[]): void {
  for (const prefix of prefixes) {
    run(name, "addr", "add", prefix, "dev", device, ...(prefix.includes(":") ? ["nodad"] : []));
  }
}

/** A pod's interface on the service network. */
export function cablePod(name: string): void {
  cable(name, "svc0", "lan", name);
  run("lan", "link", "set", name, "master", "br0");
}

export function addressPod(name: string, host: number): void {
  address(name, "svc0", `10.1.0.${host}/24`, `fd00:1::${host.toString(16)}/64`);
}

/** A pod with a primary interface, whose default route its replies must not take, and one on the service network. */
export function addPod(name: string, host: number): void {
  add(name);
  cablePod(name);
  addressPod(name, host);
  cable(name, "eth0", "lan", `${name}-eth0`);
  address(name, "eth0", "10.244.0.5/24");
  run(name, "route", "add", "default", "dev", "eth0");
}

/** Takes away every namespace of this file's making. */
export function removeNetwork(): void {
  for (const { name } of JSON.parse(execFileSync("ip", ["-j", "netns", "list"], { encoding: "utf8" }) || "[]")) {
    if (String(name).startsWith("cw-na-")) execFileSync("ip", ["netns", "del", String(name)]);
  }
}

export function buildNetwork(): void {
  for (const name of ["lan", "client", "gw1", "gw2"]) add(name);
  run("lan", "link", "add", "br0", "type", "bridge");
  run("lan", "link", "set", "br0", "up");
  for (const n of [1, 2]) {
    const gw = `gw${n}`;
    cable(gw, "svc0", "lan", gw);
    run("lan", "link", "set", gw, "master", "br0");
    cable(gw, "ext0", "client", gw);
    address(gw, "svc0", `10.1.0.25${n}/24`, `fd00:1::25${n}/64`);
    address(gw, "ext0", `192.0.2.${n}1/28`, `2001:db8:e:${n}::1/64`);
    address("client", gw, `192.0.2.${n}2/28`, `2001:db8:e:${n}::2/64`);
    run(gw, "route", "add", `${CLIENT[4]}/32`, "via", `192.0.2.${n}2`);
    run(gw, "route", "add", `${CLIENT[6]}/128`, "via", `2001:db8:e:${n}::2`);
    run(gw, "route", "add", `${VIP[4]}/32`, "via", TARGET[4]);
    run(gw, "route", "add", `${VIP[6]}/128`, "via", TARGET[6]);
    writeSysctl(netnsOf(gw), "net/ipv4/ip_forward", 1);
    writeSysctl(netnsOf(gw), "net/ipv6/conf/all/forwarding", 1);
  }
  address("client", "lo", `${CLIENT[4]}/32`, `${CLIENT[6]}/128`);
  // Requests go by gw1, whatever way the replies take.
  run("client", "route", "add", `${VIP[4]}/32`, "via", "192.0.2.11", "src", CLIENT[4]);
  run("client", "route", "add", `${VIP[6]}/128`, "via", "2001:db8:e:1::1", "src", CLIENT[6]);
}

const SYSCTLS = ["arp_announce", "arp_ignore", "rp_filter"];

/** Everything of a pod's network that the agent may touch. */
export function snapshot(name: string): unknown {
  const json = (...args: string[]): unknown => JSON.parse(run(name, "-j", ...args) || "[]");
  return {
    addresses: json("addr"),
    rules: [json("-4", "rule"), json("-6", "rule")],
    routes: [json("-4", "route", "show", "table", "all"), json("-6", "route", "show", "table", "all")],
    sysctls: SYSCTLS.map((key) => readSysctl(netnsOf(name), `net/ipv4/conf/svc0/${key}`)),
  };
}

/** Starts a program in a namespace and waits for its first output. */
export async function start(name: string, stream: "stdout" | "stderr", ...command: string[]): Promise<ChildProcess> {
  const child = spawn("ip", ["netns", "exec", `cw-na-${name}`, ...command], { stdio: ["ignore", "pipe", "pipe"] });
  await once(child[stream] ?? child, "data");
  return child;
}

const SERVER = `require("net").createServer((s) => s.end("hello")).listen(8080, "::", () => console.log("up"))`;

export function startServer(name: string): Promise<ChildProcess> {
  return start(name, "stdout", process.execPath, "-e", SERVER);
}

/** What a client at the client's address reads from the VIP; "" when nothing comes. */
export function ask(family: 4 | 6, timeoutMs = 3_000): string {
  const script = `const s = require("net").connect(8080, "${VIP[family]}");
    s.on("data", (d) => { process.stdout.write(d); process.exit(0) }).on("error", () => process.exit(0));
    setTimeout(() => process.exit(0), ${timeoutMs});`;
  const command = ["netns", "exec", "cw-na-client", process.execPath, "-e", script];
  return execFileSync("ip", command, { encoding: "utf8" });
}

/** Packets that a namespace received on a device. */
export function received(name: string, device: string): number {
  const [link] = JSON.parse(run(name, "-j", "-s", "link", "show", "dev", device));
  return Number(link.stats64.rx.packets);
}

/**
 * Counts the ARP requests for the gateways that come in on a device, from now on.
 * @returns a function that answers which of `senders` they named.
 */
export function countArp(name: string, device: string, senders: readonly string[]): () => readonly string[] {
  const nft = (...args: string[]): string =>
    execFileSync("ip", ["netns", "exec", `cw-na-${name}`, "nft", ...args], { encoding: "utf8" });
  const request = "arp operation request arp daddr ip { 10.1.0.251, 10.1.0.252 }";
  nft(
    [
      "add table netdev watch",
      "delete table netdev watch",
      "add table netdev watch",
      `add chain netdev watch in { type filter hook ingress device "${device}" priority 0; }`,
      ...senders.map(
        (sender) => `add rule netdev watch in ${request} arp saddr ip ${sender} counter comment "${sender}"`,
      ),
    ].join("; "),
  );
  return () =>
    nft("list", "table", "netdev", "watch")
      .split("\n")
      .flatMap((line) => /packets [1-9].*comment "(.*)"/.exec(line)?.[1] ?? []);
}
