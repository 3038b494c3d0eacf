import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pino } from "pino";
import { afterEach, beforeEach, expect, test } from "vitest";
import { DirectoryStore } from "../store/directory-store.ts";
import { systemClock } from "./clock.ts";
import { openStore, type StoreOptions } from "./open-store.ts";

let folder: string;
let stop: AbortController;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "cw-open-"));
  stop = new AbortController();
});
afterEach(() => {
  stop.abort();
  rmSync(folder, { recursive: true, force: true });
});

const open = (options: StoreOptions, env: NodeJS.ProcessEnv = {}) =>
  openStore({
    ...options,
    name: "controller",
    log: pino({ level: "silent" }),
    clock: systemClock,
    signal: stop.signal,
    env,
  });

test("folders make a directory store", async () => {
  const { store, lock } = await open({ manifests: folder, state: join(folder, "state") });
  expect(store).toBeInstanceOf(DirectoryStore);
  expect(lock).toBeUndefined();
});

test.each<readonly [StoreOptions, RegExp]>([
  [{}, /give --manifests and --state, or --kubernetes/],
  [{ manifests: "/m" }, /go together/],
  [{ state: "/s" }, /go together/],
  [{ manifests: "/m", state: "/s", kubernetes: true }, /not both/],
  [{ manifests: "/m", state: "/s", kubeconfig: "/k" }, /not both/],
  [{ kubernetes: true }, /runs in no pod/],
  [{ kubeconfig: "/none" }, /cannot read kubeconfig \/none/],
])("%j is told what is missing", async (options, reason) => {
  await expect(open(options)).rejects.toThrow(reason);
});
