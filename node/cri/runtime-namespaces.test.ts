import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { ContainerRuntimeError } from "./container-runtime.ts";
import { RuntimeNamespaces, type SandboxSource } from "./runtime-namespaces.ts";

const POLL_MS = 10;

/** A runtime in memory; it can fail, and remembers what it was asked. */
class FakeRuntime implements SandboxSource {
  sandboxes: { id: string; pod: string; createdAtNs: bigint }[] = [];
  readonly paths = new Map<string, string | undefined>();
  readonly asked: string[] = [];
  failing = false;
  lists = 0;

  async readySandboxes(): Promise<readonly { id: string; pod: string; createdAtNs: bigint }[]> {
    this.lists++;
    if (this.failing) throw new ContainerRuntimeError("away");
    return this.sandboxes;
  }

  async networkNamespace(id: string): Promise<string | undefined> {
    this.asked.push(id);
    if (!this.paths.has(id)) throw new ContainerRuntimeError(`slow: ${id}`);
    return this.paths.get(id);
  }

  close(): void {}
}

let runtime: FakeRuntime;
let stop: AbortController;
let changes: number;
const warnings: string[] = [];
const say = (_: unknown, text?: string): void => void warnings.push(String(text));
const log = { debug: () => undefined, info: () => undefined, warn: say, error: say };

function start(): RuntimeNamespaces {
  return new RuntimeNamespaces({ runtime, log, onChange: () => void changes++, signal: stop.signal, pollMs: POLL_MS });
}
const place = (id: string, pod: string, at: bigint): void => {
  runtime.sandboxes.push({ id, pod, createdAtNs: at });
  runtime.paths.set(id, `/run/netns/${id}`);
};
const until = (check: () => unknown): Promise<unknown> => vi.waitFor(check, { interval: 1, timeout: 5_000 });
/** Until what is so now has been listed and asked about. */
const turn = async (): Promise<void> => {
  const { lists } = runtime;
  await until(() => expect(runtime.lists).toBeGreaterThan(lists + 1));
};

beforeEach(() => {
  runtime = new FakeRuntime();
  stop = new AbortController();
  changes = 0;
  warnings.length = 0;
});
afterEach(() => stop.abort());

test("only sandboxes of pods that are wanted are asked about, once, and at once", async () => {
  place("a", "ns/a", 1n);
  place("b", "ns/b", 1n);
  const namespaces = start();
  expect(namespaces.pods()).toBeUndefined();
  await until(() => expect(namespaces.pods()?.has("ns/b")).toBe(true));
  expect(namespaces.settled()).toBe(true);
  expect(runtime.asked).toEqual([]);
  namespaces.want(new Set(["ns/a", "ns/elsewhere"]));
  expect(namespaces.settled()).toBe(false);
  await until(() => expect(namespaces.settled()).toBe(true));
  expect(runtime.asked).toEqual(["a"]);
  expect(namespaces.list()).toEqual(new Map([["ns/a", "/run/netns/a"]]));
  const [before, pods] = [namespaces.list(), namespaces.pods()];
  const told = changes;
  for (let i = 0; i < 5; i++) await turn();
  expect(runtime.asked).toEqual(["a"]);
  // The same objects, and no word, while nothing changes.
  expect([namespaces.list() === before, namespaces.pods() === pods, changes - told]).toEqual([true, true, 0]);
});

test("a sandbox that was made anew replaces the old one, also while both are ready", async () => {
  place("old", "ns/a", 1n);
  const namespaces = start();
  namespaces.want(new Set(["ns/a"]));
  await turn();
  place("new", "ns/a", 2n);
  const told = changes;
  await turn();
  expect(namespaces.list().get("ns/a")).toBe("/run/netns/new");
  expect(changes).toBeGreaterThan(told);
  runtime.sandboxes = [];
  await turn();
  expect(namespaces.list().size).toBe(0);
  expect(namespaces.pods()?.has("ns/a")).toBe(false);
});

test("a runtime that is away is told of once; what it said last stands", async () => {
  place("a", "ns/a", 1n);
  const namespaces = start();
  namespaces.want(new Set(["ns/a"]));
  await turn();
  runtime.failing = true;
  runtime.sandboxes = [];
  for (let i = 0; i < 4; i++) await turn();
  expect(namespaces.list().get("ns/a")).toBe("/run/netns/a");
  expect(warnings).toEqual(["away"]);
  expect(namespaces.problems()).toEqual(new Map([["container runtime", "away"]]));
  runtime.failing = false;
  await turn();
  expect(namespaces.problems().size).toBe(0);
  expect(namespaces.list().size).toBe(0);
});

test("one that cannot be asked about is a problem of its own, asked again turn by turn and not faster", async () => {
  place("a", "ns/a", 1n);
  place("host", "ns/host", 1n);
  runtime.paths.set("host", undefined);
  runtime.sandboxes.push({ id: "slow", pod: "ns/slow", createdAtNs: 1n });
  const namespaces = start();
  const wanted = new Set(["ns/a", "ns/host", "ns/slow"]);
  namespaces.want(wanted);
  await turn();
  expect(namespaces.list()).toEqual(new Map([["ns/a", "/run/netns/a"]]));
  expect(namespaces.settled()).toBe(true);
  expect(namespaces.problems().get("ns/slow")).toBe("slow: slow");
  expect(namespaces.problems().get("ns/host")).toContain("is it on the host's?");
  const { lists } = runtime;
  const startMs = performance.now();
  for (let i = 0; i < 100; i++) {
    namespaces.want(wanted);
    await new Promise(setImmediate);
  }
  expect(runtime.lists - lists).toBeLessThan((performance.now() - startMs) / POLL_MS + 2);
  runtime.paths.set("slow", "/run/netns/slow");
  await turn();
  expect(namespaces.list().get("ns/slow")).toBe("/run/netns/slow");
  expect(runtime.asked.filter((id) => id === "host")).toHaveLength(1);
});
