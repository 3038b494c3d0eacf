import {
  mkdirSync,
  mkdtempSync,
  readdirSync,
  renameSync,
  rmSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pino } from "pino";
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { endpointSliceSchema } from "../api/core.ts";
import { describeRef, type ObjectRef } from "../api/kinds.ts";
import { DirectoryStore, type DirectoryStoreOptions } from "./directory-store.ts";
import { type ObjectView, StoreConflictError, StoreNotFoundError, StoreUnavailableError } from "./object-store.ts";

let root: string;
let abort: AbortController;
const controller = { fieldManager: "controller" };

beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), "cw-store-"));
  mkdirSync(join(root, "manifests"));
  abort = new AbortController();
});
afterEach(() => {
  abort.abort();
  rmSync(root, { recursive: true, force: true });
});

function store(options: Partial<DirectoryStoreOptions> = {}): DirectoryStore {
  const log = pino({ level: "silent" });
  return new DirectoryStore({
    manifests: join(root, "manifests"),
    state: join(root, "state"),
    log,
    signal: abort.signal,
    ...options,
  });
}

interface Watched {
  readonly view: ObjectView;
  readonly changes: string[];
}
async function watchGateways(of: DirectoryStore): Promise<Watched> {
  const changes: string[] = [];
  const onChange = (ref: ObjectRef): void => void changes.push(describeRef(ref));
  return { view: await of.watch([{ kind: "Gateway" }, { kind: "EndpointSlice" }], onChange, abort.signal), changes };
}

const eventually = (check: () => void): Promise<void> => vi.waitFor(check, { timeout: 5000, interval: 2 });

function gateway(name: string, port: number | string = 80): string {
  return [
    "apiVersion: gateway.networking.k8s.io/v1",
    "kind: Gateway",
    `metadata: {name: ${name}}`,
    "spec:",
    "  gatewayClassName: causeway",
    "  listeners:",
    `  - {name: web, protocol: TCP, port: ${port}}`,
    "---",
    "",
  ].join("\n");
}
const manifest = (name: string): string => join(root, "manifests", name);
function write(name: string, text: string): void {
  writeFileSync(manifest(name), text);
}
const names = ({ view }: Watched): string[] => view.list("Gateway").map((object) => object.metadata.name);
const port = ({ view }: Watched, name: string): number | undefined =>
  view.get("Gateway", "default", name)?.spec.listeners[0]?.port;

function slice(address: string) {
  return endpointSliceSchema.parse({
    apiVersion: "discovery.k8s.io/v1",
    kind: "EndpointSlice",
    metadata: { name: "web-v4" },
    addressType: "IPv4",
    endpoints: [{ addresses: [address] }],
  });
}
const sliceRef = { kind: "EndpointSlice", namespace: "default", name: "web-v4" } as const;
const gatewayRef = (name: string) => ({ kind: "Gateway", namespace: "default", name }) as const;

test("reads files, documents and sub-folders, and follows every way of editing them", async () => {
  write("a.yaml", gateway("a") + gateway("b"));
  const watched = await watchGateways(store());
  expect(names(watched)).toEqual(["a", "b"]);

  write("a.yaml", gateway("a", 81) + gateway("b"));
  await eventually(() => expect(port(watched, "a")).toBe(81));
  expect(watched.changes).toEqual(["Gateway default/a"]);

  writeFileSync(join(root, "next"), gateway("a", 82) + gateway("b"));
  renameSync(join(root, "next"), manifest("a.yaml"));
  await eventually(() => expect(port(watched, "a")).toBe(82));

  mkdirSync(manifest("deep/er"), { recursive: true });
  write("deep/er/c.json", JSON.stringify({ apiVersion: "v1", kind: "List", items: [] }));
  write("deep/er/d.yml", gateway("d"));
  await eventually(() => expect(names(watched)).toEqual(["a", "b", "d"]));
  write("deep/er/d.yml", gateway("d", 90));
  await eventually(() => expect(port(watched, "d")).toBe(90));

  rmSync(manifest("deep"), { recursive: true });
  await eventually(() => expect(names(watched)).toEqual(["a", "b"]));
  rmSync(manifest("a.yaml"));
  await eventually(() => expect(names(watched)).toEqual([]));
  write("a.yaml", gateway("a", 83));
  await eventually(() => expect(port(watched, "a")).toBe(83));
});

test("follows a mounted ConfigMap, whose files change by one link, and a whole folder that is swapped", async () => {
  for (const [folder, number] of [
    ["..1", 80],
    ["..2", 81],
  ] as const) {
    mkdirSync(manifest(folder));
    write(`${folder}/a.yaml`, gateway("a", number));
  }
  symlinkSync("..1", manifest("..data"));
  symlinkSync("..data/a.yaml", manifest("a.yaml"));
  symlinkSync("..", manifest("loop"));
  const watched = await watchGateways(store());
  expect(port(watched, "a")).toBe(80);
  symlinkSync("..2", manifest("..data_tmp"));
  renameSync(manifest("..data_tmp"), manifest("..data"));
  await eventually(() => expect(port(watched, "a")).toBe(81));

  renameSync(join(root, "manifests"), join(root, "old"));
  mkdirSync(join(root, "next"));
  writeFileSync(join(root, "next", "b.yaml"), gateway("b"));
  renameSync(join(root, "next"), join(root, "manifests"));
  await eventually(() => expect(names(watched)).toEqual(["b"]));
  write("b.yaml", gateway("b", 99));
  await eventually(() => expect(port(watched, "b")).toBe(99));
});

test("a change that inotify does not tell of is found by the rescan", async () => {
  writeFileSync(join(root, "elsewhere.yaml"), gateway("a"));
  symlinkSync(join(root, "elsewhere.yaml"), manifest("a.yaml"));
  const watched = await watchGateways(store());
  writeFileSync(join(root, "elsewhere.yaml"), gateway("a", 81));
  await eventually(() => expect(port(watched, "a")).toBe(81));
});

test("a file that an editor empties before it writes it does not take its objects away", async () => {
  write("a.yaml", gateway("a"));
  const watched = await watchGateways(store());
  write("a.yaml", "");
  write("z.yaml", gateway("z"));
  await eventually(() => expect(names(watched)).toEqual(["a", "z"]));
  write("a.yaml", gateway("a", 81));
  await eventually(() => expect(port(watched, "a")).toBe(81));
  expect(watched.changes).toEqual(["Gateway default/z", "Gateway default/a"]);
  write("a.yaml", "");
  await eventually(() => expect(names(watched)).toEqual(["z"]));
});

test("a missing manifests folder is an error at the start, and no reason to forget objects later", async () => {
  await expect(watchGateways(store({ manifests: join(root, "nowhere") }))).rejects.toThrow(StoreUnavailableError);
  await expect(watchGateways(store({ manifests: join(root, "nowhere") }))).rejects.toThrow(
    /nowhere.*create the folder/,
  );
  write("a.yaml", gateway("a"));
  const watched = await watchGateways(store());
  renameSync(join(root, "manifests"), join(root, "away"));
  writeFileSync(join(root, "away", "b.yaml"), gateway("b"));
  renameSync(join(root, "away"), join(root, "manifests"));
  await eventually(() => expect(names(watched)).toEqual(["a", "b"]));
  expect(watched.changes).toEqual(["Gateway default/b"]);
});

test("a broken document leaves its last good version in force, the others take effect", async () => {
  write("a.yaml", gateway("a") + gateway("b"));
  const messages: string[] = [];
  const one = store({ onProblem: ({ object, field, line }) => messages.push(`${object} ${field} ${line}`) });
  const watched = await watchGateways(one);
  write("a.yaml", gateway("a", "no") + gateway("b", 81));
  await eventually(() => expect(port(watched, "b")).toBe(81));
  expect(port(watched, "a")).toBe(80);
  expect(messages).toEqual(["Gateway default/a spec.listeners[0].port 7"]);
  expect(one.problems()).toHaveLength(1);

  write("a.yaml", `a: [\n---\n${gateway("c")}`);
  await eventually(() => expect(names(watched)).toEqual(["a", "b", "c"]));
  write("a.yaml", gateway("b", 82));
  await eventually(() => expect(names(watched)).toEqual(["b"]));
  expect(one.problems()).toEqual([]);
});

test("of an object in two files the first by name is in force", async () => {
  write("b.yaml", gateway("a", 81));
  const one = store();
  const watched = await watchGateways(one);
  write("a.yaml", gateway("a", 80));
  await eventually(() => expect(port(watched, "a")).toBe(80));
  expect(one.problems()).toMatchObject([{ file: manifest("b.yaml"), message: expect.stringContaining("a.yaml") }]);
  rmSync(manifest("a.yaml"));
  await eventually(() => expect(port(watched, "a")).toBe(81));
  expect(one.problems()).toEqual([]);
});

test("identity is one for all processes and restarts; versions follow the content", async () => {
  write("a.yaml", gateway("a"));
  const [first, second] = [await watchGateways(store()), await watchGateways(store())];
  const before = first.view.get("Gateway", "default", "a")?.metadata;
  expect(before?.uid).toMatch(/^[0-9a-f-]{36}$/);
  expect(before?.creationTimestamp).toMatch(/Z$/);
  expect(second.view.get("Gateway", "default", "a")?.metadata).toEqual(before);

  utimesSync(manifest("a.yaml"), 1, 1);
  write("a.yaml", `# says nothing\n${gateway("a")}`);
  write("b.yaml", gateway("b"));
  await eventually(() => expect(names(first)).toEqual(["a", "b"]));
  expect(first.view.get("Gateway", "default", "a")?.metadata).toEqual(before);
  expect(first.changes).toEqual(["Gateway default/b"]);

  write("a.yaml", gateway("a", 81));
  await eventually(() => expect(port(first, "a")).toBe(81));
  const after = (await watchGateways(store())).view.get("Gateway", "default", "a")?.metadata;
  expect(after).toMatchObject({ uid: before?.uid, creationTimestamp: before?.creationTimestamp });
  expect(after?.generation).not.toBe(before?.generation);
  expect(after?.resourceVersion).not.toBe(before?.resourceVersion);
});

test("generated objects reach other processes; the same again is not written; manifests are not overwritten", async () => {
  const writer = store();
  const reader = await watchGateways(store());
  await writer.apply(slice("192.0.2.1"), controller);
  await eventually(() => expect(reader.view.list("EndpointSlice")).toHaveLength(1));
  const before = reader.view.list("EndpointSlice")[0];
  await writer.apply(slice("192.0.2.1"), controller);
  await store().apply(slice("192.0.2.1"), controller);
  await writer.apply(slice("192.0.2.2"), controller);
  await eventually(() => expect(reader.view.list("EndpointSlice")[0]?.endpoints[0]?.addresses).toEqual(["192.0.2.2"]));
  expect(reader.changes).toHaveLength(2);
  expect(reader.view.list("EndpointSlice")[0]?.metadata).toMatchObject({ uid: before?.metadata.uid, generation: 2 });
  await expect(writer.apply(slice("192.0.2.3"), { fieldManager: "other" })).rejects.toThrow(StoreConflictError);

  await writer.delete(sliceRef);
  await writer.delete(sliceRef);
  await eventually(() => expect(reader.view.list("EndpointSlice")).toEqual([]));

  write("slice.json", JSON.stringify(slice("192.0.2.9")));
  await eventually(() => expect(reader.view.list("EndpointSlice")).toHaveLength(1));
  await expect(store().apply(slice("192.0.2.3"), controller)).rejects.toThrow(StoreConflictError);
});

test("field managers in several processes each own their part of a status", async () => {
  write("a.yaml", gateway("a"));
  const [one, two] = [store(), store()];
  const reader = await watchGateways(store());
  const ready = { type: "Programmed", status: "True", reason: "Programmed", message: "" };
  await one.applyStatus(gatewayRef("a"), { addresses: [{ type: "IPAddress", value: "192.0.2.1" }] }, controller);
  await two.applyStatus(gatewayRef("a"), { conditions: [ready] }, { fieldManager: "frontend-a" });
  const status = () => reader.view.get("Gateway", "default", "a")?.status;
  await eventually(() => expect([status()?.addresses.length, status()?.conditions.length]).toEqual([1, 1]));
  const { length } = reader.changes;
  await two.applyStatus(gatewayRef("a"), { conditions: [ready] }, { fieldManager: "frontend-a" });
  await two.applyStatus(gatewayRef("a"), {}, { fieldManager: "frontend-a" });
  await eventually(() => expect(status()?.conditions).toEqual([]));
  expect(reader.changes).toHaveLength(length + 1);
  expect(status()?.addresses).toHaveLength(1);
  await expect(one.applyStatus(gatewayRef("gone"), {}, controller)).rejects.toThrow(StoreNotFoundError);
  await expect(one.applyStatus(gatewayRef("a"), { conditions: 1 }, controller)).rejects.toThrow(TypeError);
});

test("damage in the state folder is left out, leftovers of killed writers go", async () => {
  write("a.yaml", gateway("a"));
  const folder = join(root, "state/status/Gateway/default/a");
  mkdirSync(folder, { recursive: true });
  mkdirSync(join(root, "state/objects/EndpointSlice/default"), { recursive: true });
  for (const [file, text] of [
    [join(folder, "_identity.json"), ""],
    [join(folder, "controller.json"), "{"],
    [join(folder, ".tmp-old"), "x"],
    [join(folder, ".tmp-new"), "x"],
    [join(root, "state/objects/EndpointSlice/default/web-v4.json"), "[]"],
  ] as const) {
    writeFileSync(file, text);
  }
  utimesSync(join(folder, ".tmp-old"), 1, 1);
  const one = store();
  const watched = await watchGateways(one);
  expect(names(watched)).toEqual(["a"]);
  expect(watched.view.get("Gateway", "default", "a")?.metadata.uid).not.toBe("");
  await one.apply(slice("192.0.2.1"), controller);
  expect(watched.view.list("EndpointSlice")).toHaveLength(1);
  await one.applyStatus(gatewayRef("a"), { addresses: [{ value: "192.0.2.1" }] }, controller);
  expect(watched.view.get("Gateway", "default", "a")?.status?.addresses).toHaveLength(1);
  expect(readdirSync(folder).sort()).toEqual([".tmp-new", "_identity.json", "controller.json"]);
});

test("what was said of a manifest's object goes after the object, not while it is only away for a moment", async () => {
  vi.useFakeTimers({ toFake: ["setInterval", "clearInterval"] });
  try {
    write("a.yaml", gateway("a"));
    const one = store({ sweeps: true });
    const watched = await watchGateways(one);
    const uid = watched.view.get("Gateway", "default", "a")?.metadata.uid;
    await one.applyStatus(gatewayRef("a"), { addresses: [{ value: "192.0.2.1" }] }, controller);
    rmSync(manifest("a.yaml"));
    await eventually(() => expect(names(watched)).toEqual([]));
    vi.advanceTimersByTime(5000);
    write("a.yaml", gateway("a"));
    await eventually(() => expect(names(watched)).toEqual(["a"]));
    vi.advanceTimersByTime(20_000);
    expect(watched.view.get("Gateway", "default", "a")).toMatchObject({
      metadata: { uid },
      status: { addresses: [{}] },
    });

    rmSync(manifest("a.yaml"));
    await eventually(() => expect(names(watched)).toEqual([]));
    vi.advanceTimersByTime(10_000);
    expect(readdirSync(join(root, "state/status/Gateway/default"))).toEqual([]);
    write("a.yaml", gateway("a"));
    await eventually(() => expect(names(watched)).toEqual(["a"]));
    const again = watched.view.get("Gateway", "default", "a");
    expect(again?.metadata.uid).not.toBe(uid);
    expect(again?.status).toBeUndefined();
  } finally {
    vi.useRealTimers();
  }
});

test("an object that is made again under its name is a new one", async () => {
  const writer = store();
  const watched = await watchGateways(writer);
  await writer.apply(slice("192.0.2.1"), controller);
  const uid = watched.view.list("EndpointSlice")[0]?.metadata.uid;
  await writer.delete(sliceRef);
  await writer.apply(slice("192.0.2.1"), controller);
  expect(watched.view.list("EndpointSlice")[0]?.metadata.uid).not.toBe(uid);
});

test("a watch holds objects by label, and ends with its signal", async () => {
  write("a.yaml", gateway("a") + gateway("b").replace("name: b", "name: b, labels: {tier: edge}"));
  const one = store();
  const ends = new AbortController();
  const changes: string[] = [];
  const interests = [{ kind: "Gateway", matchLabels: { tier: "edge" } }] as const;
  const view = await one.watch(interests, (ref) => changes.push(ref.name), ends.signal);
  const all = await watchGateways(one);
  expect(view.list("Gateway").map((object) => object.metadata.name)).toEqual(["b"]);
  ends.abort();
  write("a.yaml", gateway("a"));
  await eventually(() => expect(names(all)).toEqual(["a"]));
  expect(changes).toEqual([]);
});
