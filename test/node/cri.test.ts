import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, expect, test, vi } from "vitest";
import type { MemoryStore } from "#shared/store/memory-store.ts";
import { ContainerRuntime } from "../../node/cri/container-runtime.ts";
import { RuntimeNamespaces } from "../../node/cri/runtime-namespaces.ts";
import { type RunningNodeAgent, runNodeAgent } from "../../node/run-node-agent.ts";
import { scenario } from "../support/scenario.ts";
import { CriDouble, type RuntimeShape } from "./cri-double.ts";
import { addPod, netnsOf, removeNetwork, run, snapshot } from "./network.ts";
import { pod } from "./pods.ts";

/*
 * The node agent asks a container runtime where pods are: a double of one, and namespaces of the kernel.
 */

const VIP = "198.51.100.10";
const runtime = new CriDouble();
const warnings: string[] = [];
let folder = "";
let agent: RunningNodeAgent | undefined;
let stop = new AbortController();

const until = (check: () => unknown): Promise<unknown> => vi.waitFor(check, { interval: 10, timeout: 10_000 });
const statusOf = (name: string) => agent?.status().pods.find((p) => p.pod === `default/${name}`);
/** Whether a namespace has the VIP and the way back. */
const isSet = (namespace: string): boolean =>
  run(namespace, "addr", "show", "dev", "lo").includes(VIP) && run(namespace, "rule").includes(`from ${VIP}`);
/** The same by the agent that runs now. */
const isServed = (namespace: string): boolean =>
  statusOf("pod-1")?.netns === netnsOf(namespace) && statusOf("pod-1")?.problem === undefined && isSet(namespace);
const askedOf = (id: string): readonly string[] => runtime.asked.flatMap(([method, of]) => (of === id ? method : []));

function objects(): MemoryStore {
  const store = scenario({ targets: 1, mode: "DSR", vips: [VIP] });
  store.put(pod({ name: "pod-1", ips: ["10.1.0.1"] }));
  store.put(pod({ name: "pod-2", ips: ["10.1.0.2"] }));
  store.put(pod({ name: "gw-1", ips: ["10.1.0.251"], gateway: "edge" }));
  return store;
}

function deselect(store: MemoryStore): void {
  for (const { metadata } of store.list("EndpointSlice")) {
    store.remove({ kind: "EndpointSlice", namespace: metadata.namespace, name: metadata.name });
  }
}

async function startAgent(store: MemoryStore): Promise<void> {
  const say = (_: unknown, text?: string): void => void warnings.push(String(text));
  const log = { debug: () => undefined, info: () => undefined, warn: say, error: say };
  stop = new AbortController();
  const { signal } = stop;
  agent = await runNodeAgent({
    store,
    podNamespaces: (onChange) => {
      const source = new ContainerRuntime({ sockets: [runtime.socket], signal, timeoutMs: 500 });
      return new RuntimeNamespaces({ runtime: source, log, onChange, signal, pollMs: 50 });
    },
    runDir: folder,
    log,
    clock: { nowMs: () => Date.now() },
    signal,
  });
}

async function stopAgent(): Promise<void> {
  stop.abort();
  await agent?.done;
  agent = undefined;
}

function place(...pods: readonly (readonly [id: string, pod: string, namespace: string])[]): void {
  runtime.sandboxes = pods.map(([id, name, namespace]) => ({ id, pod: `default/${name}`, path: netnsOf(namespace) }));
}

beforeAll(async () => {
  await runtime.start();
  folder = mkdtempSync(join(tmpdir(), "cw-node-"));
  execFileSync("ip", ["netns", "add", "cw-na-lan"]);
  run("lan", "link", "add", "br0", "type", "bridge");
  addPod("one", 1);
  addPod("other", 2);
});
afterEach(async () => {
  await stopAgent();
  runtime.fault = undefined;
});
afterAll(async () => {
  await runtime.close();
  rmSync(folder, { recursive: true });
  removeNetwork();
});

test.each<RuntimeShape>(["containerd", "cri-o", "older cri-o"])(
  "%s: a selected pod gets its return path, of no other pod is anything asked; deselected, all is as before",
  async (shape) => {
    runtime.shape = shape;
    runtime.asked = [];
    place(["s1", "pod-1", "one"], ["s2", "pod-2", "other"]);
    const before = [snapshot("one"), snapshot("other")];
    const store = objects();
    await startAgent(store);
    await until(() => expect(agent?.ready()).toBe(true));
    expect(isSet("one")).toBe(true);
    expect(statusOf("pod-1")).toMatchObject({ netns: netnsOf("one"), vips: [VIP] });
    expect(statusOf("pod-1")?.problem).toBeUndefined();
    expect(askedOf("s1")).toContain("PodSandboxStatus");
    expect(askedOf("s2")).toEqual([]);
    deselect(store);
    await until(() => expect(statusOf("pod-1")).toBeUndefined());
    expect([snapshot("one"), snapshot("other")]).toEqual(before);
  },
);

test("a sandbox that is made anew: the new namespace gets the return path, though the Pod has not changed", async () => {
  place(["s1", "pod-1", "one"]);
  await startAgent(objects());
  await until(() => expect(isServed("one")).toBe(true));
  addPod("again", 3);
  runtime.sandboxes = [
    { id: "s1", pod: "default/pod-1", path: netnsOf("one"), ready: false },
    { id: "s3", pod: "default/pod-1", path: netnsOf("again") },
  ];
  await until(() => expect(isSet("again")).toBe(true));
  expect(statusOf("pod-1")?.netns).toBe(netnsOf("again"));
  // The pod is deleted: its sandbox goes, and nothing of it is left.
  place();
  await until(() => expect(statusOf("pod-1")).toBeUndefined());
  expect(agent?.status().problems).toEqual([]);
});

test("the runtime is away: what it said stands, changes are made; an agent that starts waits for it", async () => {
  place(["s1", "pod-1", "one"]);
  const store = objects();
  await startAgent(store);
  await until(() => expect(isServed("one")).toBe(true));
  await runtime.stop();
  await until(() => expect(agent?.status().problems.join()).toContain("container runtime"));
  run("one", "addr", "del", `${VIP}/32`, "dev", "lo");
  await until(() => expect(isSet("one")).toBe(true));
  await stopAgent();
  // Deselected while nobody looked, and undone by the next agent as soon as the runtime is back.
  deselect(store);
  await startAgent(store);
  await until(() => expect(agent?.status().problems.join()).toContain("no container runtime listens"));
  expect(agent?.ready()).toBe(false);
  expect(isSet("one")).toBe(true);
  await runtime.start();
  await until(() => expect(agent?.ready()).toBe(true));
  await until(() => expect(isSet("one")).toBe(false));
});

test("a node that was started again: other namespaces, no records, nothing left of before", async () => {
  place(["s1", "pod-1", "one"]);
  const store = objects();
  await startAgent(store);
  await until(() => expect(isServed("one")).toBe(true));
  await stopAgent();
  rmSync(folder, { recursive: true });
  execFileSync("ip", ["netns", "del", "cw-na-one"]);
  runtime.sandboxes = runtime.sandboxes.map((sandbox) => ({ ...sandbox, ready: false }));
  await startAgent(store);
  await until(() => expect(agent?.ready()).toBe(true));
  expect(agent?.status().pods).toEqual([]);
  addPod("booted", 4);
  place(["s9", "pod-1", "booted"]);
  await until(() => expect(isSet("booted")).toBe(true));
});

test("a path that leads nowhere is a problem until the runtime names another sandbox", async () => {
  addPod("fine", 5);
  runtime.sandboxes = [{ id: "s1", pod: "default/pod-1", path: "/run/netns/nothing" }];
  const store = objects();
  await startAgent(store);
  await until(() => expect(String(statusOf("pod-1")?.problem)).toContain("does not exist"));
  place(["s2", "pod-1", "fine"]);
  await until(() => expect(statusOf("pod-1")?.problem).toBeUndefined());
  expect(isSet("fine")).toBe(true);
});
