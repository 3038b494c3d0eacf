import { type ChildProcess, spawn } from "node:child_process";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import pino from "pino";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { writeProgrammed } from "#shared/instance/programmed.ts";
import { systemClock } from "#shared/process/clock.ts";
import { MemoryStore } from "#shared/store/memory-store.ts";
import { type RunningFrontend, runFrontend } from "../../frontend/run-frontend.ts";
import { baseObjects, GATEWAY, POD, peer, vip } from "./gateway-objects.ts";
import {
  EXTERNAL,
  makeExternalNetwork,
  Router,
  removeExternalNetwork,
  returnTable,
  sh,
  until,
} from "./router-network.ts";

const VIP = "198.51.100.10";
const VIP6 = "2001:db8:f::10";
const bfd = { enabled: true, intervalMs: 100, multiplier: 3 };
const store = new MemoryStore(baseObjects());
const stop = new AbortController();
const watched = new Router({ id: 1, bfd: "beside" });
const fixed = new Router({ id: 2, bfd: "alone" });
const plain = new Router({ id: 3 });
let runDir = "";
let frontend: RunningFrontend;

beforeAll(async () => {
  makeExternalNetwork();
  await Promise.all([watched.start(), fixed.start(), plain.start()]);
  runDir = await mkdtemp(join(tmpdir(), "cw-bfd-"));
  await writeProgrammed(runDir, { generation: 1, vips: [vip(VIP), vip(VIP6)] });
  frontend = await runFrontend({
    store,
    pod: POD,
    gateway: GATEWAY,
    runDir,
    log: pino({ level: process.env.CW_LOG ?? "silent" }),
    clock: systemClock,
    signal: stop.signal,
    drainMs: 100,
    path: process.env.PATH ?? "",
  });
});

afterAll(async () => {
  stop.abort();
  await frontend.done;
  await Promise.all([watched.close(), fixed.close(), plain.close()]);
  removeExternalNetwork();
  await rm(runDir, { recursive: true, force: true });
});

function seen(name: string) {
  return frontend.status().peers.find((entry) => entry.name === name);
}

function reported(name: string) {
  return store.get("BgpPeer", "edge", name)?.status?.instances.find((entry) => entry.name === POD.name);
}

const state = (name: string) => seen(name)?.state;
const bfdState = (name: string) => seen(name)?.bfd?.state;
const isHop = (router: Router) => returnTable()["0.0.0.0/0"]?.includes(router.v4) === true;

/** Waits for what `act` is to cause, and answers after how many milliseconds it was so. */
async function timed(
  what: string,
  act: () => void,
  probe: () => boolean | Promise<boolean>,
  limitMs = 10_000,
): Promise<number> {
  const startMs = performance.now();
  act();
  await until(what, probe, limitMs);
  const tookMs = Math.round(performance.now() - startMs);
  console.log(`${what}: ${tookMs} ms`);
  return tookMs;
}

async function up(name: string, router: Router, protocol: "gw4" | "gw6" = "gw4"): Promise<void> {
  await until(`${name} is up`, () => state(name) === "Established" && bfdState(name) === "Up");
  await until(`${router.name} has the VIP`, () => router.route(protocol === "gw4" ? `${VIP}/32` : `${VIP6}/128`));
  await until("replies go there", () => returnTable()[protocol === "gw4" ? "0.0.0.0/0" : "::/0"]);
}

function inRouter(router: Router, ...command: string[]): ChildProcess {
  return spawn("ip", ["netns", "exec", router.name, ...command], { stdio: ["ignore", "pipe", "inherit"] });
}

/**
 * Keeps both cores busy for 5 s, and the frontend's main thread in blocks longer than the detection time. Answers how
 * late a process of its own that sleeps for 5 ms at a time was woken at worst.
 */
async function whileBusy(): Promise<number> {
  const loop = "const end = performance.now() + 5000; while (performance.now() < end);";
  const probe = `const cell = new Int32Array(new SharedArrayBuffer(4)); let worst = 0;
    for (const end = performance.now() + 5000; performance.now() < end; ) {
      const from = performance.now(); Atomics.wait(cell, 0, 0, 5); worst = Math.max(worst, performance.now() - from - 5);
    }
    console.log(Math.round(worst))`;
  const hogs = [1, 2].map(() => spawn(process.execPath, ["-e", loop], { stdio: "ignore" }));
  const prober = spawn(process.execPath, ["-e", probe], { stdio: ["ignore", "pipe", "inherit"] });
  let worst = "";
  prober.stdout.on("data", (chunk) => {
    worst += String(chunk);
  });
  const endMs = performance.now() + 5_000;
  while (performance.now() < endMs) {
    const blockedUntilMs = performance.now() + 400;
    while (performance.now() < blockedUntilMs);
    await delay(20);
  }
  await until("all have ended", () => [...hogs, prober].every((child) => child.exitCode === 0));
  return Number(worst);
}

describe("BFD beside BGP", () => {
  it("comes up with a router over IPv4 and IPv6, at the pace of the peer", async () => {
    store.put(peer("watched-v4", watched.v4, { bfd }));
    store.put(peer("watched-v6", watched.v6, { bfd }));
    await Promise.all([up("watched-v4", watched), up("watched-v6", watched, "gw6")]);
    const sessions = await until("BIRD sees both up at 100 ms", async () => {
      const text = await watched.ask("show bfd sessions");
      return (text.match(/Up\s.*0\.100\s+0\.300/g)?.length === 2 && text) || undefined;
    });
    for (const address of [EXTERNAL.v4, EXTERNAL.v6]) expect(sessions).toContain(address);
    await until("it is in the peer's status", () => reported("watched-v4")?.bfd?.state === "Up");
    expect(reported("watched-v4")?.bfd).toEqual({ state: "Up", remoteState: "Up", falls: 0, message: "" });
  });

  it("does not fall in 5 s of both cores and the main thread being busy", async () => {
    for (let round = 1; ; round++) {
      const falls = () => [seen("watched-v4")?.bfd?.falls, seen("watched-v6")?.bfd?.falls];
      const before = falls();
      const since = await watched.upSince("gw4");
      const latestMs = await whileBusy();
      const after = falls();
      console.log(`busy round ${round}: a waiting process woke up to ${latestMs} ms late; falls ${before} to ${after}`);
      // A machine that has other work may give nobody a CPU in time: BIRD waits as we do, and the round says nothing.
      if (latestMs > 150 && round < 5) {
        await Promise.all([up("watched-v4", watched), up("watched-v6", watched, "gw6")]);
        continue;
      }
      expect(after).toEqual(before);
      expect([bfdState("watched-v4"), bfdState("watched-v6")]).toEqual(["Up", "Up"]);
      expect(await watched.upSince("gw4")).toBe(since);
      return;
    }
  });

  it("is not disturbed by a flood of garbage, from elsewhere or in the router's name", async () => {
    const before = seen("watched-v4")?.bfd?.falls;
    const flood = `
      const { createSocket } = require("node:dgram");
      const { randomBytes } = require("node:crypto");
      for (const [address, ttl] of [["192.0.2.77", 64], ["${watched.v4}", 255]]) {
        const socket = createSocket("udp4");
        socket.bind(0, address, async () => {
          socket.setTTL(ttl);
          for (let sent = 0; sent < 10000; sent++) {
            const bytes = randomBytes(sent % 80);
            // Half of them look like BFD: version 1, Up, and a length that is right.
            if (sent % 2 === 0 && bytes.length >= 24) bytes.set([0x20, 0xc0, 3, 24]);
            await new Promise((resolve, reject) => {
              socket.send(bytes, 3784, "${EXTERNAL.v4}", (error) => (error ? reject(error) : resolve()));
            });
          }
          socket.close();
        });
      }`;
    sh(`ip -n ${watched.name} addr add 192.0.2.77/32 dev ext`);
    const flooder = inRouter(watched, process.execPath, "-e", flood);
    await until("all is sent", () => flooder.exitCode === 0, 20_000);
    expect(seen("watched-v4")?.bfd).toMatchObject({ state: "Up", falls: before });
    expect(state("watched-v4")).toBe("Established");
  });

  it("notices a frozen router: session and return route are gone in under 1 s, and back when it is", async () => {
    const tookMs = await timed(
      "frozen router's route is gone",
      () => watched.freeze(true),
      () => !isHop(watched) && state("watched-v4") === "BfdDown" && state("watched-v6") === "BfdDown",
    );
    expect(tookMs).toBeLessThan(1_000);
    expect(returnTable()["::/0"]).toBeUndefined();
    await until("it is in the peer's status", () => reported("watched-v4")?.state === "BfdDown");
    expect(reported("watched-v4")?.bfd).toMatchObject({ state: "Down", message: expect.stringContaining("detection") });
    await until("readiness is gone", () =>
      store
        .get("Pod", POD.namespace, POD.name)
        ?.status?.conditions?.some((c) => c.type === "causeway.dev/ipv4-ready" && c.status === "False"),
    );
    watched.freeze(false);
    await Promise.all([up("watched-v4", watched), up("watched-v6", watched, "gw6")]);
  });

  it("notices packets that are lost on the way from the router", async () => {
    const tookMs = await timed(
      "loss towards us is noticed",
      () => watched.filter("out drop"),
      () => !isHop(watched),
    );
    expect(tookMs).toBeLessThan(1_000);
    watched.filter();
    await Promise.all([up("watched-v4", watched), up("watched-v6", watched, "gw6")]);
  });

  it("hears from the router that packets are lost on the way to it", async () => {
    const tookMs = await timed(
      "loss towards the router is noticed by both",
      () => watched.filter("in udp dport 3784 drop"),
      async () => !isHop(watched) && (await watched.route(`${VIP}/32`)) === undefined,
    );
    expect(tookMs).toBeLessThan(1_000);
    expect(seen("watched-v4")?.bfd?.message).toContain("neighbour said");
    watched.filter();
    await Promise.all([up("watched-v4", watched), up("watched-v6", watched, "gw6")]);
  });

  it("ignores packets that were routed: any TTL but 255", async () => {
    watched.filter("out udp dport 3784 ip ttl set 254", "out udp dport 3784 ip6 hoplimit set 254");
    await until("both sessions fell", () => bfdState("watched-v4") !== "Up" && bfdState("watched-v6") !== "Up", 1_000);
    expect(seen("watched-v4")?.bfd?.remoteState).toBe("Down");
  });
});

describe("BFD with a router of our own making", () => {
  const program = fileURLToPath(new URL("./bfd-neighbour.ts", import.meta.url));
  const speak = () => inRouter(plain, process.execPath, program, plain.v4, EXTERNAL.v4, "ext");

  it("lets BGP come up with a router that has no BFD yet, and leaves it alone on AdminDown", async () => {
    store.put(peer("plain", plain.v4, { bfd }));
    await until("BGP is up", () => state("plain") === "Established");
    await until("BFD is told", () => bfdState("plain") === "Down");
    const neighbour = speak();
    await until("BFD is up", () => bfdState("plain") === "Up");
    const since = await plain.upSince("gw4");
    neighbour.kill("SIGTERM");
    await until("it said AdminDown", () => seen("plain")?.bfd?.remoteState === "AdminDown", 1_000);
    await until("that is forgotten", () => seen("plain")?.bfd?.remoteState === "Down");
    expect(state("plain")).toBe("Established");
    expect(await plain.upSince("gw4")).toBe(since);
  });

  it("closes BGP when BFD falls, and lets it come back only when BFD has been silent for 10 s", async () => {
    const neighbour = speak();
    await until("BFD is up, and has been for the time that follows a fall", () => bfdState("plain") === "Up");
    const since = await plain.upSince("gw4");
    await delay(1_500);
    expect(await plain.upSince("gw4")).toBe(since);
    const tookMs = await timed(
      "BGP is closed by BFD alone",
      () => neighbour.kill("SIGKILL"),
      async () => state("plain") === "BfdDown" && !(await plain.isUp("gw4")) && !isHop(plain),
    );
    expect(tookMs).toBeLessThan(1_000);
    const backMs = await timed(
      "BGP is back without BFD",
      () => undefined,
      () => state("plain") === "Established",
      20_000,
    );
    expect(backMs).toBeGreaterThan(8_000);
  });

  it("says AdminDown to a neighbour that is no longer asked for", async () => {
    const neighbour = speak();
    let heard = "";
    neighbour.stdout?.on("data", (chunk) => {
      heard += String(chunk);
    });
    await until("BFD is up", () => bfdState("plain") === "Up");
    store.put(peer("plain", plain.v4));
    await until("it fell", () => heard.endsWith("Up\nDown\n"), 1_000);
    await until("BFD is out of the status", () => seen("plain")?.bfd === undefined);
    neighbour.kill("SIGKILL");
  });
});

describe("BFD with a static router", () => {
  it("makes it a next hop only while it is Up", async () => {
    fixed.freeze(true);
    store.put(peer("fixed", fixed.v4, { type: "Static", bfd }));
    await until("it is known", () => state("fixed") === "BfdDown");
    expect(isHop(fixed)).toBe(false);
    fixed.freeze(false);
    await until("it is a next hop", () => isHop(fixed) && state("fixed") === "Static");
    const tookMs = await timed(
      "frozen static router's route is gone",
      () => fixed.freeze(true),
      () => !isHop(fixed),
    );
    expect(tookMs).toBeLessThan(1_000);
    fixed.freeze(false);
    await until("it is a next hop again", () => isHop(fixed));
  });

  it("goes on over an external interface that was taken away and given back", async () => {
    removeExternalNetwork();
    makeExternalNetwork();
    for (const router of [watched, fixed, plain]) router.plugIn();
    await until("it is a next hop", () => state("fixed") === "Static" && isHop(fixed));
    // What is heard and said now passes the new interface.
    fixed.freeze(true);
    await until("it is noticed to be frozen", () => !isHop(fixed) && seen("fixed")?.bfd?.state === "Down");
    fixed.freeze(false);
    await until("it is a next hop again", () => state("fixed") === "Static" && isHop(fixed));
  });
});

it("without BFD a frozen router is noticed by the hold timer alone", async () => {
  store.put(peer("plain", plain.v4, { holdTimeSeconds: 3 }));
  await until("BGP is up, with 3 s", async () =>
    /Hold timer:\s+[\d.]+\/3\b/.test(await plain.ask("show protocols all gw4")),
  );
  await until("its route is there", () => state("plain") === "Established" && isHop(plain));
  const tookMs = await timed(
    "frozen router's route is gone without BFD",
    () => plain.freeze(true),
    () => !isHop(plain),
  );
  plain.freeze(false);
  expect(tookMs).toBeGreaterThan(1_500);
});
