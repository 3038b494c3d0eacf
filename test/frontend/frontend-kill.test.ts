import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, readFileSync } from "node:fs";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import type { AnyObject } from "#shared/api/kinds.ts";
import { writeProgrammed } from "#shared/instance/programmed.ts";
import { baseObjects, peer, vip } from "./gateway-objects.ts";
import { makeExternalNetwork, Router, removeExternalNetwork, returnTable, sh, until } from "./router-network.ts";

const VIP = "198.51.100.10";
const router = new Router({ id: 1 });
let runDir = "";
let frontend: ChildProcess | undefined;

async function start(objects: AnyObject[], path = process.env.PATH): Promise<ChildProcess> {
  const file = join(runDir, "objects.json");
  await writeFile(file, JSON.stringify(objects));
  const program = fileURLToPath(new URL("./frontend-process.ts", import.meta.url));
  // A small young generation, and sources compiled once: half of what Node takes otherwise.
  frontend = spawn(process.execPath, ["--max-semi-space-size=1", program, runDir, file], {
    stdio: ["ignore", "inherit", "pipe"],
    env: { ...process.env, PATH: path, NODE_COMPILE_CACHE: join(runDir, "compiled") },
  });
  return frontend;
}

async function end(child: ChildProcess, signal: NodeJS.Signals): Promise<number | null> {
  const exited = once(child, "exit");
  child.kill(signal);
  await exited;
  return child.exitCode;
}

/** A process that nobody has collected yet has ended all the same. */
function isRunning(pid: number): boolean {
  return existsSync(`/proc/${pid}`) && !/^State:\s+Z/m.test(readFileSync(`/proc/${pid}/status`, "utf8"));
}

function gobgpdPid(): number {
  return Number(readFileSync(join(runDir, "gobgpd.pid"), "utf8"));
}

beforeAll(async () => {
  makeExternalNetwork();
  await router.start();
  runDir = await mkdtemp(join(tmpdir(), "cw-frontend-"));
});

afterEach(async () => {
  if (frontend?.exitCode === null && frontend.signalCode === null) await end(frontend, "SIGKILL");
});

afterAll(async () => {
  await router.close();
  removeExternalNetwork();
  await rm(runDir, { recursive: true, force: true });
});

describe("a frontend as a process", () => {
  it("says what to install where gobgpd is missing", async () => {
    const child = await start(baseObjects(), "/nonexistent");
    let text = "";
    child.stderr?.on("data", (chunk) => {
      text += String(chunk);
    });
    await once(child, "exit");
    expect(child.exitCode).not.toBe(0);
    expect(text).toMatch(/gobgpd is not on PATH.*apt-get install gobgpd/);
  });

  it("takes gobgpd with it when it is killed, and takes up its kernel routes when it returns", async () => {
    await writeProgrammed(runDir, { generation: 1, vips: [vip(VIP)] });
    // A route of an earlier run for which no router speaks any more, and one of another owner.
    sh(`ip route add 10.77.0.0/16 via 192.0.2.9 dev cw-ext proto 201 table 7701
        ip route add 10.78.0.0/16 via 192.0.2.9 dev cw-ext proto static table 7701`);
    const objects = [...baseObjects(), peer("first-v4", router.v4), peer("first-v6", router.v6)];
    const child = await start(objects);
    await until("the VIP is at the router", () => router.route(`${VIP}/32`));
    await until("defaults are installed", () => returnTable()["0.0.0.0/0"] && returnTable()["::/0"]);
    await until("the stale route is gone", () => returnTable()["10.77.0.0/16"] === undefined);
    expect(Object.keys(returnTable()).toSorted()).toEqual(["0.0.0.0/0", "::/0"]);
    expect(sh("ip route show table 7701 proto static")).toContain("10.78.0.0/16");
    const daemon = gobgpdPid();
    const killedAtMs = performance.now();
    await end(child, "SIGKILL");
    await until("the VIP is withdrawn", async () => (await router.route(`${VIP}/32`)) === undefined, 1_000);
    console.log(`withdrawn ${Math.round(performance.now() - killedAtMs)} ms after kill -9`);
    expect(isRunning(daemon)).toBe(false);
    expect(returnTable()["0.0.0.0/0"]).toEqual([router.v4]);

    // Until the session is up again the route must stay: every look finds it.
    const again = await start(objects);
    await until("the VIP is back", async () => {
      expect(returnTable()["0.0.0.0/0"]).toEqual([router.v4]);
      return router.route(`${VIP}/32`);
    });
    expect(await end(again, "SIGTERM")).toBe(0);
    expect(await router.route(`${VIP}/32`)).toBeUndefined();
    expect(isRunning(gobgpdPid())).toBe(false);
  });

  it("ends a gobgpd that an earlier run left behind", async () => {
    const socket = join(runDir, "gobgpd.sock");
    await rm(socket, { force: true });
    const orphan = spawn("gobgpd", ["--pprof-disable", "--api-hosts", `unix://${socket}`], { stdio: "ignore" });
    const gone = once(orphan, "exit");
    await until("it listens", () => existsSync(socket));
    await writeFile(join(runDir, "gobgpd.pid"), `${orphan.pid}\n`);
    const child = await start([...baseObjects(), peer("first-v4", router.v4)]);
    await gone;
    expect(orphan.signalCode).toBe("SIGKILL");
    await until("the VIP is at the router", () => router.route(`${VIP}/32`));
    expect(await end(child, "SIGTERM")).toBe(0);
  });
});
