import { execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { request } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import pino from "pino";
import { afterAll, beforeAll, expect, test, vi } from "vitest";
import { isKind, KINDS } from "#shared/api/kinds.ts";
import { POD_READY_CONDITION } from "#shared/api/names.ts";
import { watchKernel } from "#shared/kernel/netlink-events.ts";
import { openNetlink } from "#shared/kernel/netlink-socket.ts";
import { listRoutes } from "#shared/kernel/routes.ts";
import { DirectoryStore } from "#shared/store/directory-store.ts";
import { scenario } from "../support/scenario.ts";
import { pod } from "./pods.ts";

const PODS = 50;
/** How often the agent looks into its pods of itself. */
const LOOK_MS = 2000;
const ROUNDS = 7;
const CAUSEWAY = join(import.meta.dirname, "../../bin/causeway");
const folder = mkdtempSync(join(tmpdir(), "cw-many-"));
const at = (name: string): string => join(folder, name);
const netns = (n: number): string => `/run/netns/cw-many-${n}`;
const numbers = Array.from({ length: PODS }, (_, i) => i + 1);

beforeAll(() => {
  for (const name of ["manifests", "state", "run", "pods"]) mkdirSync(at(name));
  for (const n of numbers) {
    const name = `cw-many-${n}`;
    execFileSync("ip", ["netns", "add", name]);
    const batch = `link set lo up
link add svc0 type veth peer name peer0
link set svc0 up
link set peer0 up
addr add 10.1.0.${n}/24 dev svc0
addr add fd00:1::${n.toString(16)}/64 dev svc0 nodad`;
    writeFileSync(at("batch"), batch);
    execFileSync("ip", ["-n", name, "-batch", at("batch")]);
    writeFileSync(join(at("pods"), `default_pod-${n}`), netns(n));
  }
});
afterAll(() => {
  for (const n of numbers) execFileSync("ip", ["netns", "del", `cw-many-${n}`]);
  rmSync(folder, { recursive: true });
});

/** The instances, of which one is live. */
const INSTANCES = [201, 202];

/** What the kubelet and the frontend of an instance say, the way they say it: through the state folder. */
async function setLive(store: DirectoryStore, live: number): Promise<void> {
  for (const n of INSTANCES) {
    const status = n === live ? "True" : "False";
    const types = ["Ready", POD_READY_CONDITION[4], POD_READY_CONDITION[6]];
    const conditions = types.map((type) => ({ type, status }));
    const ref = { kind: "Pod", namespace: "default", name: `gw-${n}` } as const;
    await store.applyStatus(ref, { conditions }, { fieldManager: "test" });
  }
}

/** Default routes that lead over the instance's address, in all pods. */
function countVia(gateway: string): number {
  return numbers.filter((n) => {
    const socket = openNetlink({ netns: netns(n) });
    try {
      const own = listRoutes(socket, { protocol: 201, family: 4 });
      const routes = own.filter(({ destination }) => destination === "0.0.0.0/0");
      return routes.length === 1 && routes[0]?.nextHops[0]?.gateway === gateway;
    } finally {
      socket.close();
    }
  }).length;
}

function status(): Promise<string> {
  return new Promise((resolve, reject) => {
    const asked = request({ socketPath: join(at("run"), "node.sock"), path: "/status" }, (response) => {
      let text = "";
      response.on("data", (chunk) => {
        text += String(chunk);
      });
      response.on("end", () => resolve(text));
    });
    asked.on("error", reject).end();
  });
}

test("the process: 50 pods follow an object at once; SIGTERM leaves all in place", async () => {
  const store = scenario({ targets: PODS });
  for (const n of numbers) store.put(pod({ name: `pod-${n}`, ips: [`10.1.0.${n}`, `fd00:1::${n.toString(16)}`] }));
  for (const n of INSTANCES) {
    store.put(
      pod({ name: `gw-${n}`, ips: [`10.1.0.${n}`, `fd00:1::${n.toString(16)}`], gateway: "edge", ready: false }),
    );
  }
  const objects = Object.keys(KINDS)
    .filter(isKind)
    .flatMap((kind) => [...store.list(kind)]);
  writeFileSync(join(at("manifests"), "objects.yaml"), objects.map((object) => JSON.stringify(object)).join("\n---\n"));
  const quiet = new AbortController();
  const log = pino({ level: "warn" });
  const states = new DirectoryStore({
    manifests: at("manifests"),
    state: at("state"),
    log,
    signal: quiet.signal,
    sweeps: false,
  });
  await states.watch([{ kind: "Pod" }], () => undefined, quiet.signal);
  await setLive(states, 201);
  const flags = ["--manifests", at("manifests"), "--state", at("state"), "--run-dir", at("run")];
  const command = ["node", ...flags, "--pod-namespaces", at("pods"), "--log-level", "warn"];
  const child = spawn(CAUSEWAY, command, { stdio: ["ignore", "inherit", "inherit"] });
  try {
    await vi.waitFor(() => expect(countVia("10.1.0.201")).toBe(PODS), { interval: 20, timeout: 30_000 });
    const changed = new Map<number, number>();
    for (const n of numbers) {
      watchKernel({
        netns: netns(n),
        groups: ["route"],
        signal: quiet.signal,
        quietMs: 1,
        onChange: () => changed.set(n, performance.now()),
        onError: (error) => expect.fail(error.message),
      });
    }
    const tookMs: number[] = [];
    for (let round = 1; round <= ROUNDS; round++) {
      const live = 201 + (round % 2);
      changed.clear();
      const startMs = performance.now();
      await setLive(states, live);
      await vi.waitFor(() => expect(changed.size).toBe(PODS), { interval: 2, timeout: 10_000 });
      tookMs.push(Math.max(...changed.values()) - startMs);
      await vi.waitFor(() => expect(countVia(`10.1.0.${live}`)).toBe(PODS), { interval: 20 });
    }
    quiet.abort();
    // At once, not at the agent's next look, which comes every two seconds.
    expect(Math.min(...tookMs), tookMs.map(Math.round).join(" ")).toBeLessThan(LOOK_MS / 4);
    const told: { pods: { problem?: string; returnVia: unknown[] }[] } = JSON.parse(await status());
    expect(told.pods).toHaveLength(PODS);
    expect(told.pods.every(({ problem, returnVia }) => problem === undefined && returnVia.length === 2)).toBe(true);
  } finally {
    child.kill("SIGTERM");
  }
  await once(child, "exit");
  expect(child.exitCode).toBe(0);
  expect(countVia(`10.1.0.${201 + (ROUNDS % 2)}`)).toBe(PODS);
});
