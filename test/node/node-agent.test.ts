import { type ChildProcess, execFileSync } from "node:child_process";
import { mkdtempSync, renameSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, expect, test, vi } from "vitest";
import { watchKernel } from "#shared/kernel/netlink-events.ts";
import { readSysctl, writeSysctl } from "#shared/kernel/network-namespace.ts";
import type { MemoryStore } from "#shared/store/memory-store.ts";
import { FolderNamespaces } from "../../node/pod-namespaces.ts";
import { type RunningNodeAgent, runNodeAgent } from "../../node/run-node-agent.ts";
import { scenario } from "../support/scenario.ts";
import {
  addPod,
  ask,
  buildNetwork,
  countArp,
  netnsOf,
  received,
  removeNetwork,
  run,
  snapshot,
  start,
  startServer,
  TARGET,
  VIP,
} from "./network.ts";
import { pod } from "./pods.ts";

const LOOK_MS = 100;
const folder = mkdtempSync(join(tmpdir(), "cw-node-"));
const podFolder = mkdtempSync(join(tmpdir(), "cw-pods-"));
const warnings: string[] = [];
const log = {
  debug: () => undefined,
  info: () => undefined,
  warn: (_: unknown, text?: string) => void warnings.push(String(text)),
  error: (_: unknown, text?: string) => void warnings.push(String(text)),
};
const children: ChildProcess[] = [];
let agent: RunningNodeAgent | undefined;
let stop = new AbortController();
/** How often the agent asked what time it is: it does so with each look. */
let passes = 0;

const file = (name: string): string => join(podFolder, `default_${name}`);
const until = (check: () => unknown): Promise<unknown> => vi.waitFor(check, { interval: 5, timeout: 10_000 });
const statusOf = (name: string) => agent?.status().pods.find((p) => p.pod === `default/${name}`);

function objects(mode: "DSR" | "NAT" = "DSR", vips: readonly string[] = [VIP[4], VIP[6]]): MemoryStore {
  const store = scenario({ targets: 1, mode, vips });
  store.put(pod({ name: "pod-1", ips: Object.values(TARGET) }));
  store.put(pod({ name: "pod-2", ips: ["10.1.0.2"] }));
  for (const n of [1, 2]) setInstance(store, n, [4, 6]);
  return store;
}

function setInstance(store: MemoryStore, n: number, live: readonly (4 | 6)[]): void {
  store.put(pod({ name: `gw-${n}`, ips: [`10.1.0.25${n}`, `fd00:1::25${n}`], gateway: "edge", live }));
}

function deselect(store: MemoryStore): void {
  for (const { metadata } of store.list("EndpointSlice")) {
    store.remove({ kind: "EndpointSlice", namespace: metadata.namespace, name: metadata.name });
  }
}

async function startAgent(store: MemoryStore): Promise<void> {
  stop = new AbortController();
  agent = await runNodeAgent({
    store,
    podNamespaces: (onChange) => new FolderNamespaces({ folder: podFolder, log, onChange }),
    runDir: folder,
    log,
    clock: {
      nowMs: () => {
        passes++;
        return Date.now();
      },
    },
    signal: stop.signal,
    lookMs: LOOK_MS,
  });
  await until(() => expect(agent?.ready()).toBe(true));
}

async function stopAgent(): Promise<void> {
  stop.abort();
  await agent?.done;
}

beforeAll(async () => {
  buildNetwork();
  addPod("pod", 1);
  addPod("other", 2);
  writeFileSync(file("pod-1"), `${netnsOf("pod")}\n`);
  writeFileSync(file("pod-2"), netnsOf("other"));
  children.push(await startServer("pod"));
});
afterEach(stopAgent);
afterAll(() => {
  for (const child of children) child.kill("SIGKILL");
  rmSync(folder, { recursive: true });
  rmSync(podFolder, { recursive: true });
  removeNetwork();
});

test("DSR: the VIP answers by whichever instance is live; deselected, all is as before; others untouched", async () => {
  const before = snapshot("pod");
  const other = snapshot("other");
  const store = objects();
  await startAgent(store);
  expect(statusOf("pod-1")).toMatchObject({ vips: [VIP[4], VIP[6]], netns: netnsOf("pod") });
  expect(statusOf("pod-1")?.problem).toBeUndefined();
  expect(ask(4)).toBe("hello");
  expect(ask(6)).toBe("hello");
  for (const [live, dead] of [
    [1, 2],
    [2, 1],
  ] as const) {
    setInstance(store, live, [4, 6]);
    setInstance(store, dead, []);
    await until(() => expect(statusOf("pod-1")?.returnVia.map(({ nextHops }) => nextHops.length)).toEqual([1, 1]));
    for (const family of [4, 6] as const) {
      const count = received("client", `gw${live}`);
      expect(ask(family)).toBe("hello");
      expect(received("client", `gw${live}`)).toBeGreaterThan(count);
    }
  }
  deselect(store);
  await until(() => expect(statusOf("pod-1")).toBeUndefined());
  expect(snapshot("pod")).toEqual(before);
  expect(snapshot("other")).toEqual(other);
});

test("no live instance: the last next hops stay, also over a restart of the agent", async () => {
  const store = objects();
  await startAgent(store);
  for (const n of [1, 2]) setInstance(store, n, [6]);
  await until(() => expect(statusOf("pod-1")?.returnVia[0]).toMatchObject({ kept: true }));
  expect(statusOf("pod-1")?.returnVia[0]?.nextHops).toHaveLength(1 + 1);
  expect(ask(4)).toBe("hello");
  await stopAgent();
  await startAgent(store);
  expect(statusOf("pod-1")?.returnVia[0]?.nextHops).toEqual(["10.1.0.251", "10.1.0.252"]);
  expect(warnings.join("\n")).toContain("no instance of Gateway default/edge is live for IPv4");
});

test("a restart changes nothing, in a netlink listener's eyes; what somebody takes away comes back", async () => {
  const store = objects();
  await startAgent(store);
  await stopAgent();
  const events: string[] = [];
  const quiet = new AbortController();
  watchKernel({
    netns: netnsOf("pod"),
    groups: ["address", "route", "rule"],
    signal: quiet.signal,
    onChange: (kinds) => events.push(...kinds),
    onError: (error) => events.push(error.message),
  });
  await startAgent(store);
  // Several looks later there is still nothing to do.
  const seen = passes;
  await until(() => expect(passes).toBeGreaterThan(seen + 12));
  expect(events).toEqual([]);
  quiet.abort();

  const good = snapshot("pod");
  run("pod", "rule", "del", "pref", "7701", "from", VIP[4]);
  run("pod", "addr", "del", `${VIP[4]}/32`, "dev", "lo");
  for (const family of ["-4", "-6"]) run("pod", family, "route", "flush", "proto", "201", "table", "all");
  writeSysctl(netnsOf("pod"), "net/ipv4/conf/svc0/arp_ignore", 0);
  expect(snapshot("pod")).not.toEqual(good);
  await until(() => expect(sorted(snapshot("pod"))).toEqual(sorted(good)));
});

/** Without regard to the order in which the kernel lists addresses. */
function sorted(value: unknown): string[] {
  return (JSON.stringify(value).match(/\{[^{}]*\}/g) ?? []).sort();
}

test("ARP requests for the gateways carry the pod's address, never the VIP; nobody answers for the VIP", async () => {
  const store = objects();
  await startAgent(store);
  const senders = async (): Promise<readonly string[]> => {
    const count = countArp("lan", "pod", [TARGET[4], VIP[4]]);
    run("pod", "neigh", "flush", "dev", "svc0");
    ask(4, 300);
    let seen: readonly string[] = [];
    await until(() => {
      seen = count();
      expect(seen).not.toEqual([]);
    });
    return seen;
  };
  expect(await senders()).toEqual([TARGET[4]]);
  await stopAgent();
  // Without the setting the fault is there.
  writeSysctl(netnsOf("pod"), "net/ipv4/conf/svc0/arp_announce", 0);
  expect(await senders()).toEqual([VIP[4]]);

  const answers = async (): Promise<boolean> => {
    writeSysctl(netnsOf("gw2"), "net/ipv4/neigh/svc0/retrans_time_ms", 30);
    run("gw2", "route", "replace", `${VIP[4]}/32`, "dev", "svc0");
    run("gw2", "neigh", "flush", "dev", "svc0");
    const probe = `const s = require("dgram").createSocket("udp4"); s.send("x", 9, "${VIP[4]}", () => s.close());`;
    await new Promise<void>((resolve, reject) => {
      start("gw2", "stdout", process.execPath, "-e", `${probe} console.log("sent")`).then((child) => {
        child.once("exit", () => resolve());
      }, reject);
    });
    let state = "";
    await until(() => {
      state = run("gw2", "neigh", "show", VIP[4]);
      expect(state).toMatch(/FAILED|REACHABLE/);
    });
    return state.includes("REACHABLE");
  };
  await startAgent(store);
  expect(await answers()).toBe(false);
  await stopAgent();
  writeSysctl(netnsOf("pod"), "net/ipv4/conf/svc0/arp_ignore", 0);
  expect(await answers()).toBe(true);
  run("gw2", "route", "replace", `${VIP[4]}/32`, "via", TARGET[4]);
});

test("NAT: only what has no more specific route takes the instances; changed settings of others stay theirs", async () => {
  const clean = objects();
  deselect(clean);
  await startAgent(clean);
  await stopAgent();
  const before = snapshot("pod");
  const store = objects("NAT");
  writeSysctl(netnsOf("pod"), "net/ipv4/conf/svc0/rp_filter", 1);
  await startAgent(store);
  const via = (to: string): unknown => JSON.parse(run("pod", "-j", "route", "get", to, "from", TARGET[4]))[0];
  expect(via("203.0.113.2")).toMatchObject({ dev: "svc0", gateway: expect.stringMatching(/^10\.1\.0\.25/) });
  expect(via("10.1.0.77")).not.toHaveProperty("gateway");
  expect(via("10.244.0.9")).toMatchObject({ dev: "eth0" });
  expect(JSON.parse(run("pod", "-j", "route", "get", "203.0.113.2"))[0]).toMatchObject({ dev: "eth0" });
  expect(run("pod", "addr", "show", "dev", "lo")).not.toContain(VIP[4]);
  expect(readSysctl(netnsOf("pod"), "net/ipv4/conf/svc0/rp_filter")).toBe("2");
  // Restored by a successor, which knows it from the record.
  await stopAgent();
  deselect(store);
  await startAgent(store);
  expect(readSysctl(netnsOf("pod"), "net/ipv4/conf/svc0/rp_filter")).toBe("1");
  writeSysctl(netnsOf("pod"), "net/ipv4/conf/svc0/rp_filter", 0);
  expect(snapshot("pod")).toEqual(before);
});

test("two Gateways: a table and a rule each, the routes by source", async () => {
  const store = objects();
  const [edge] = store.list("Gateway");
  if (edge === undefined) throw new Error("no gateway");
  store.put({
    ...edge,
    metadata: { ...edge.metadata, name: "second" },
    status: { addresses: [{ type: "IPAddress", value: "198.51.100.20" }], conditions: [], listeners: [] },
  });
  for (const route of [...store.list("TCPRoute"), ...store.list("UDPRoute")]) {
    const parentRefs = route.spec.parentRefs.flatMap((ref) => [ref, { ...ref, name: "second" }]);
    store.put({ ...route, spec: { ...route.spec, parentRefs } });
  }
  store.put(pod({ name: "second-1", ips: ["10.1.0.253"], gateway: "second" }));
  await startAgent(store);
  const via = (from: string): unknown => JSON.parse(run("pod", "-j", "route", "get", "203.0.113.2", "from", from))[0];
  expect(via(VIP[4])).toMatchObject({ gateway: expect.stringMatching(/^10\.1\.0\.25[12]$/) });
  expect(via("198.51.100.20")).toMatchObject({ gateway: "10.1.0.253" });
  deselect(store);
  await until(() => expect(statusOf("pod-1")).toBeUndefined());
});

test("hostile namespaces are reported and skipped, the others served; they may come and go", async () => {
  const plain = join(folder, "plain");
  writeFileSync(plain, "x");
  symlinkSync(join(folder, "nowhere"), join(folder, "dangling"));
  const hostile: Record<string, [string, RegExp]> = {
    "pod-3": [plain, /plain is not a network namespace/],
    "pod-4": [join(folder, "absent"), /absent does not exist/],
    "pod-5": [join(folder, "dangling"), /dangling does not exist/],
    "pod-6": ["/proc/self/ns/net", /own network namespace/],
    "pod-7": ["/proc/self/ns/mnt", /EINVAL/],
    "pod-8": [netnsOf("pod"), /is the network namespace of pod default\/pod-1 as well/],
  };
  const store = scenario({ targets: 8, vips: Object.values(VIP) });
  store.put(pod({ name: "pod-1", ips: Object.values(TARGET) }));
  for (const n of [1, 2]) setInstance(store, n, [4, 6]);
  for (const [name, [path]] of Object.entries(hostile)) {
    store.put(pod({ name, ips: [`10.1.0.${name.slice(4)}`, `fd00:1::${name.slice(4)}`] }));
    writeFileSync(file(name), path);
  }
  writeFileSync(join(podFolder, "nonsense"), "x");
  writeFileSync(file("pod-0"), "relative/path");
  symlinkSync(join(folder, "nowhere"), file("pod-00"));
  rmSync(file("pod-2"));
  const own = readSysctl(undefined, "net/ipv4/conf/lo/arp_ignore");
  await startAgent(store);
  for (const [name, [, problem]] of Object.entries(hostile)) expect(statusOf(name)?.problem, name).toMatch(problem);
  expect(agent?.status().problems.join("\n")).toMatch(
    /default_pod-0: .*absolute path[\s\S]*default_pod-00: .*leads to nothing[\s\S]*nonsense: .*NAMESPACE_NAME/,
  );
  expect(statusOf("pod-1")?.problem).toBeUndefined();
  expect(ask(4)).toBe("hello");
  expect(readSysctl(undefined, "net/ipv4/conf/lo/arp_ignore")).toBe(own);

  // One appears: another name for a namespace that was nobody's.
  writeFileSync(join(podFolder, "default_pod-3"), netnsOf("other"));
  await until(() => expect(statusOf("pod-3")).toMatchObject({ netns: netnsOf("other"), vips: Object.values(VIP) }));
  // It vanishes: no error, and nothing of it is left.
  run("other", "link", "del", "svc0");
  rmSync(file("pod-3"));
  await until(() => expect(statusOf("pod-3")).toBeUndefined());
  deselect(store);
  await until(() => expect(statusOf("pod-1")).toBeUndefined());
});

test("a pod that is made anew under its name and path is served anew", async () => {
  const store = scenario({ targets: 4, vips: Object.values(VIP) });
  for (const n of [1, 2]) setInstance(store, n, [4, 6]);
  store.put(pod({ name: "pod-4", ips: ["10.1.0.4", "fd00:1::4"] }));
  const hasVip = (): void => expect(run("anew", "addr", "show", "dev", "lo")).toContain(VIP[4]);
  addPod("anew", 4);
  await startAgent(store);
  writeFileSync(file("pod-4"), netnsOf("anew"));
  await until(hasVip);
  // As a CNI plugin does it: the devices go, then the namespace.
  for (const device of ["anew", "anew-eth0"]) run("lan", "link", "del", device);
  execFileSync("ip", ["netns", "del", "cw-na-anew"]);
  await until(() => expect(statusOf("pod-4")?.problem).toMatch(/does not exist|not a network namespace/));
  addPod("anew", 4);
  writeSysctl(netnsOf("anew"), "net/ipv4/conf/svc0/arp_announce", 1);
  await until(hasVip);
  expect(readSysctl(netnsOf("anew"), "net/ipv4/conf/svc0/arp_announce")).toBe("2");
  deselect(store);
  await until(() => expect(statusOf("pod-4")).toBeUndefined());
  expect(readSysctl(netnsOf("anew"), "net/ipv4/conf/svc0/arp_announce")).toBe("1");
  rmSync(file("pod-4"));
});

test("the folder of namespaces may come later", async () => {
  const moved = `${podFolder}-away`;
  renameSync(podFolder, moved);
  await startAgent(objects());
  expect(agent?.status().pods).toEqual([]);
  expect(warnings.at(-1)).toContain(`cannot read the pods' network namespaces in ${podFolder} (ENOENT)`);
  renameSync(moved, podFolder);
  await until(() => expect(statusOf("pod-1")?.vips).toEqual([VIP[4], VIP[6]]));
  // What was read last stands while it is gone.
  const complaints = (): number => warnings.filter((text) => text.includes("cannot read the pods' network")).length;
  const before = complaints();
  renameSync(podFolder, moved);
  await until(() => expect(complaints()).toBeGreaterThan(before));
  expect(statusOf("pod-1")?.vips).toEqual([VIP[4], VIP[6]]);
  renameSync(moved, podFolder);
});
