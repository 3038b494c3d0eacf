import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, describe, expect, test, vi } from "vitest";
import { writeSysctl } from "#shared/kernel/network-namespace.ts";

/*
 *   client ── router ── gw (the proxy's ruleset, NAT :8080 to :80) ── target
 *     the cable between client and router has a small MTU
 */
const VIP = { 4: "198.51.100.10", 6: "2001:db8:100::10" } as const;
const CLIENT = { 4: "203.0.113.2", 6: "2001:db8:c::2" } as const;
const PATH_MTU = 1300;
const NAMES = ["client", "router", "gw", "target"] as const;
type Name = (typeof NAMES)[number];
const children: ChildProcess[] = [];

const netns = (name: Name): string => `cw-icmp-${name}`;
const ip = (name: Name, ...args: string[]): string =>
  execFileSync("ip", ["-n", netns(name), ...args], { encoding: "utf8" });

function cable(a: Name, deviceA: string, b: Name, deviceB: string, mtu = 1500): void {
  const peer = ["peer", "name", deviceB, "netns", netns(b)];
  execFileSync("ip", ["link", "add", deviceA, "netns", netns(a), "type", "veth", ...peer]);
  for (const [name, device] of [
    [a, deviceA],
    [b, deviceB],
  ] as const) {
    ip(name, "link", "set", device, "mtu", String(mtu), "up");
  }
}

function address(name: Name, device: string, ...prefixes: string[]): void {
  for (const prefix of prefixes) {
    ip(name, "addr", "add", prefix, "dev", device, ...(prefix.includes(":") ? ["nodad"] : []));
  }
}

beforeAll(() => {
  for (const name of NAMES) {
    execFileSync("ip", ["netns", "add", netns(name)]);
    ip(name, "link", "set", "lo", "up");
    const path = `/run/netns/${netns(name)}`;
    writeSysctl(path, "net/ipv4/conf/all/rp_filter", 0);
    writeSysctl(path, "net/ipv4/conf/default/rp_filter", 0);
    writeSysctl(path, "net/ipv6/conf/default/accept_dad", 0);
    if (name !== "router") continue;
    writeSysctl(path, "net/ipv4/ip_forward", 1);
    writeSysctl(path, "net/ipv6/conf/all/forwarding", 1);
  }
  cable("client", "eth0", "router", "acc0", PATH_MTU);
  cable("router", "up0", "gw", "ext0");
  cable("gw", "svc0", "target", "net1");
  address("client", "eth0", `${CLIENT[4]}/24`, `${CLIENT[6]}/64`);
  address("router", "acc0", "203.0.113.1/24", "2001:db8:c::1/64");
  address("router", "up0", "192.0.2.1/24", "2001:db8:e::1/64");
  address("gw", "ext0", "192.0.2.11/24", "2001:db8:e::11/64");
  address("gw", "svc0", "10.1.0.254/24", "fd00:1::254/64");
  address("target", "net1", "10.1.0.1/24", "fd00:1::1/64");
  for (const [name, via4, via6] of [
    ["client", "203.0.113.1", "2001:db8:c::1"],
    ["target", "10.1.0.254", "fd00:1::254"],
  ] as const) {
    ip(name, "route", "add", "default", "via", via4);
    ip(name, "-6", "route", "add", "default", "via", via6);
  }
  ip("router", "route", "add", `${VIP[4]}/32`, "via", "192.0.2.11");
  ip("router", "route", "add", `${VIP[6]}/128`, "via", "2001:db8:e::11");
  // The frontend's part: where replies go.
  ip("gw", "route", "add", "default", "via", "192.0.2.1", "table", "7701", "proto", "201");
  ip("gw", "-6", "route", "add", "default", "via", "2001:db8:e::1", "table", "7701", "proto", "201");
});
afterEach(() => {
  for (const child of children.splice(0)) child.kill("SIGKILL");
});
afterAll(() => {
  for (const name of NAMES) execFileSync("ip", ["netns", "del", netns(name)]);
});

async function start(name: Name, ...args: string[]): Promise<ChildProcess> {
  const command = ["netns", "exec", netns(name), process.execPath, ...args];
  const child = spawn("ip", command, { stdio: ["pipe", "pipe", "inherit"] });
  children.push(child);
  if (child.stdout) await once(child.stdout, "data");
  return child;
}

const gateway = (mode: "NAT" | "DSR", ...more: string[]): Promise<ChildProcess> =>
  start("gw", join(import.meta.dirname, "icmp-gateway.ts"), mode, ...more);

async function counts(child: ChildProcess): Promise<unknown> {
  const answer = child.stdout && once(child.stdout, "data");
  child.stdin?.write("\n");
  return JSON.parse(String((await answer)?.[0]));
}

/** Sends datagrams to the VIP until one is answered or refused: prints its length, or the error's code. */
const CLIENT_SCRIPT = `
const s = require("dgram").createSocket(process.argv[1].includes(":") ? "udp6" : "udp4");
const end = (text) => { console.log(text); process.exit(0); };
s.on("error", (e) => end(e.code)).on("message", (m) => end(m.length));
s.connect(8080, process.argv[1], () => {
  const send = () => s.send("x", (e) => e && end(e.code));
  send();
  setInterval(send, 100);
});
setTimeout(() => end("nothing"), Number(process.argv[2]));`;

function ask(family: 4 | 6, timeoutMs: number): string {
  const command = [
    "netns",
    "exec",
    netns("client"),
    process.execPath,
    "-e",
    CLIENT_SCRIPT,
    VIP[family],
    `${timeoutMs}`,
  ];
  return execFileSync("ip", command, { encoding: "utf8" }).trim();
}

/** Answers each datagram at port 80 with one of 1400 bytes, that may not be fragmented on the way. */
const SERVER_SCRIPT = `
const s = require("dgram").createSocket({ type: "udp6", ipv6Only: false });
s.on("message", (_, from) => s.send(Buffer.alloc(1400), from.port, from.address)).on("error", () => undefined);
s.bind(80, "::", () => console.log("up"));`;

const pathMtu = (family: 4 | 6): unknown =>
  JSON.parse(ip("target", "-j", "route", "get", CLIENT[family]))[0].metrics?.[0]?.mtu;

describe.each([4, 6] as const)("NAT, IPv%i", (family) => {
  test("without the translator the errors reach nobody", async () => {
    await gateway("NAT", "deaf");
    expect(ask(family, 500)).toBe("nothing");
    await start("target", "-e", SERVER_SCRIPT);
    expect(ask(family, 500)).toBe("nothing");
    expect(pathMtu(family)).toBeUndefined();
  });

  test("a closed port of the target is refused by the VIP", async () => {
    const gw = await gateway("NAT");
    expect(ask(family, 5_000)).toBe("ECONNREFUSED");
    expect(await counts(gw)).toMatchObject({ toClient: expect.any(Number), toTarget: 0, dropped: {} });
  });

  test("a small MTU beyond the router is learnt by the target", async () => {
    await gateway("NAT");
    await start("target", "-e", SERVER_SCRIPT);
    expect(pathMtu(family)).toBeUndefined();
    // The first answer is too big for the path; then the target knows, and fragments.
    expect(ask(family, 10_000)).toBe("1400");
    await vi.waitFor(() => expect(pathMtu(family)).toBe(PATH_MTU), { interval: 5, timeout: 5_000 });
  });
});

test("in DSR mode no socket is open", async () => {
  const sockets = (): string =>
    execFileSync("ip", ["netns", "exec", netns("gw"), "cat", "/proc/net/raw", "/proc/net/raw6"], { encoding: "utf8" });
  const nat = await gateway("NAT");
  expect(sockets().match(/:0001 |:003A /g)).toHaveLength(2);
  nat.stdin?.end();
  await once(nat, "exit");
  await gateway("DSR");
  expect(sockets().match(/:0001 |:003A /g)).toBeNull();
});
