import { execFileSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pino } from "pino";
import { afterEach, beforeEach, expect, test } from "vitest";
import { endpointSliceSchema } from "#shared/api/core.ts";
import { DirectoryStore } from "#shared/store/directory-store.ts";
import { StoreUnavailableError } from "#shared/store/object-store.ts";

let root: string;
let state: string;
let abort: AbortController;
const controller = { fieldManager: "controller" };

beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), "cw-disk-"));
  state = join(root, "state");
  mkdirSync(state);
  mkdirSync(join(root, "manifests"));
  execFileSync("mount", ["-t", "tmpfs", "-o", "size=256k,mode=0755", "tmpfs", state]);
  abort = new AbortController();
});
afterEach(() => {
  abort.abort();
  execFileSync("umount", [state]);
  rmSync(root, { recursive: true });
});

function slice(count: number) {
  return endpointSliceSchema.parse({
    apiVersion: "discovery.k8s.io/v1",
    kind: "EndpointSlice",
    metadata: { name: "web-v4" },
    addressType: "IPv4",
    endpoints: Array.from({ length: count }, (_, index) => ({ addresses: [`192.0.2.${index % 256}`] })),
  });
}

function open(): DirectoryStore {
  const log = pino({ level: "silent" });
  return new DirectoryStore({ manifests: join(root, "manifests"), state, log, signal: abort.signal });
}

function fill(): void {
  const chunk = Buffer.alloc(4096);
  for (;;) {
    try {
      writeFileSync(join(state, "filler"), chunk, { flag: "a" });
    } catch {
      return;
    }
  }
}

test("a full disk is an error that names path and remedy; what was there stays whole; room again, and it goes on", async () => {
  const store = open();
  await store.apply(slice(1), controller);
  const path = join(state, "objects/EndpointSlice/default/web-v4.json");
  const before = readFileSync(path, "utf8");
  fill();
  const failing = store.apply(slice(200), controller);
  await expect(failing).rejects.toThrow(StoreUnavailableError);
  await expect(failing).rejects.toThrow(/web-v4\.json: ENOSPC; free space/);
  expect(readFileSync(path, "utf8")).toBe(before);
  expect(readdirSync(join(state, "objects/EndpointSlice/default"))).toEqual(["web-v4.json"]);
  const view = await store.watch([{ kind: "EndpointSlice" }], () => {}, abort.signal);
  expect(view.list("EndpointSlice")[0]?.endpoints).toHaveLength(1);

  rmSync(join(state, "filler"));
  await store.apply(slice(200), controller);
  expect(view.list("EndpointSlice")[0]?.endpoints).toHaveLength(200);
});

test("manifests are read although the state folder is read-only or full; only writing fails", async () => {
  writeFileSync(join(root, "manifests", "slice.json"), JSON.stringify(slice(2)));
  fill();
  const full = await open().watch([{ kind: "EndpointSlice" }], () => {}, abort.signal);
  const metadata = full.list("EndpointSlice")[0]?.metadata;
  expect(metadata?.uid).toMatch(/^manifest-/);
  rmSync(join(state, "filler"));
  execFileSync("mount", ["-o", "remount,ro", state]);
  const store = open();
  const view = await store.watch([{ kind: "EndpointSlice" }], () => {}, abort.signal);
  expect(view.list("EndpointSlice")[0]?.metadata).toEqual(metadata);
  const other = { ...slice(1), metadata: { ...slice(1).metadata, name: "other" } };
  await expect(store.apply(other, controller)).rejects.toThrow(/EROFS; mount that file system writable/);
});
