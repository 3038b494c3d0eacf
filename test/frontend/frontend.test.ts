import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import pino from "pino";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { BgpPeer } from "#shared/api/bgp-peer.ts";
import { type Programmed, writeProgrammed } from "#shared/instance/programmed.ts";
import { systemClock } from "#shared/process/clock.ts";
import { MemoryStore } from "#shared/store/memory-store.ts";
import type { FrontendStatus } from "../../frontend/frontend-status.ts";
import { type RunningFrontend, runFrontend } from "../../frontend/run-frontend.ts";
import { baseObjects, GATEWAY, POD, peer, secret, vip } from "./gateway-objects.ts";
import {
  EXTERNAL,
  GATEWAY_ASN,
  makeExternalNetwork,
  Router,
  removeExternalNetwork,
  returnTable,
  sh,
  until,
} from "./router-network.ts";

/** One frontend in this process, with what a test does to it and sees of it. */
class Instance {
  readonly store = new MemoryStore(baseObjects());
  readonly #stop = new AbortController();
  readonly runDir: string;
  readonly #drainMs: number;
  #running: RunningFrontend | undefined;
  #generation = 0;

  constructor(runDir: string, drainMs = 300) {
    this.runDir = runDir;
    this.#drainMs = drainMs;
  }

  async start(): Promise<void> {
    this.#running = await runFrontend({
      store: this.store,
      pod: POD,
      gateway: GATEWAY,
      runDir: this.runDir,
      log: pino({ level: process.env.CW_LOG ?? "silent" }),
      clock: systemClock,
      signal: this.#stop.signal,
      drainMs: this.#drainMs,
      path: process.env.PATH ?? "",
    });
  }

  program(...vips: ReturnType<typeof vip>[]): Promise<void> {
    return this.say("serving", ...vips);
  }

  /** As the proxy beside it. */
  async say(state: Programmed["state"], ...vips: ReturnType<typeof vip>[]): Promise<void> {
    this.#generation += 1;
    await writeProgrammed(this.runDir, { generation: this.#generation, state, vips });
  }

  status(): FrontendStatus | undefined {
    return this.#running?.status();
  }

  reported(name: string): NonNullable<BgpPeer["status"]>["instances"][number] | undefined {
    return this.store.get("BgpPeer", "edge", name)?.status?.instances.find((entry) => entry.name === POD.name);
  }

  condition(family: 4 | 6) {
    const conditions = this.store.get("Pod", POD.namespace, POD.name)?.status?.conditions;
    return conditions?.find((condition) => condition.type === `causeway.dev/ipv${family}-ready`);
  }

  established(name: string): Promise<unknown> {
    return until(`${name} is established`, () => this.reported(name)?.state === "Established");
  }

  async stop(): Promise<void> {
    this.#stop.abort();
    await this.#running?.done;
  }
}

const A = "198.51.100.10";
const B = "198.51.100.11";
const A6 = "2001:db8:f::10";
const ADVERTISE = { communities: ["64513:100"], largeCommunities: ["64513:1:2"], med: 50, prepend: 2 };
const password = { secretRef: { name: "router-password" } };

let runDir = "";
let instance: Instance;
const first = new Router({ id: 1, password: "s3cret", ttlSecurity: true });
const second = new Router({ id: 2, unwanted: 3 });
const internal = new Router({ id: 4, internal: true });

beforeAll(async () => {
  makeExternalNetwork();
  await Promise.all([first.start(), second.start(), internal.start()]);
  runDir = await mkdtemp(join(tmpdir(), "cw-frontend-"));
  instance = new Instance(runDir);
  await instance.start();
  await until("the frontend runs", () => instance.status()?.gobgpd);
});

afterAll(async () => {
  await instance.stop();
  await Promise.all([first.close(), second.close(), internal.close()]);
  removeExternalNetwork();
  await rm(runDir, { recursive: true, force: true });
});

describe("a frontend with real routers", () => {
  it("says which Secret is missing, and takes the session up when it comes, for IPv4 and IPv6", async () => {
    instance.store.put(peer("first-v4", first.v4, { password, ttlSecurity: true, advertise: ADVERTISE }));
    instance.store.put(peer("first-v6", first.v6, { password, ttlSecurity: true, advertise: ADVERTISE }));
    const refused = await until("the missing Secret is reported", () => instance.reported("first-v4"));
    expect(refused).toMatchObject({ state: "Refused", message: expect.stringContaining("router-password") });
    instance.store.put(secret("router-password", "s3cret"));
    await Promise.all([instance.established("first-v4"), instance.established("first-v6")]);
    expect(await first.isUp("gw4")).toBe(true);
    expect(await first.isUp("gw6")).toBe(true);
    expect(instance.condition(4)).toMatchObject({ status: "False", reason: "NoReadyVip" });
  });

  it("announces a VIP with its attributes within 1 s of ready, and takes it back within 200 ms", async () => {
    expect(await first.route(`${A}/32`)).toBeUndefined();
    const readyAtMs = performance.now();
    await instance.program(vip(A), vip(B), vip(A6));
    const route = await until("the VIP is at the router", () => first.route(`${A}/32`), 1_000);
    const route6 = await until("the IPv6 VIP is at the router", () => first.route(`${A6}/128`), 1_000);
    console.log(`announced after ${Math.round(performance.now() - readyAtMs)} ms`);
    expect(route).toContain("BGP.community: (64513,100)");
    expect(route).toContain("BGP.large_community: (64513, 1, 2)");
    expect(route).toContain("BGP.med: 50");
    expect(route).toContain("BGP.as_path: 64513 64513 64513");
    expect(route).toContain(`BGP.next_hop: ${EXTERNAL.v4}`);
    expect(route6).toContain(`BGP.next_hop: ${EXTERNAL.v6}`);
    const untouched = await until("the other VIP is at the router", () => first.route(`${B}/32`));
    await until(
      "readiness is reported",
      () => instance.condition(4)?.status === "True" && instance.condition(6)?.status === "True",
    );

    const goneAtMs = performance.now();
    await instance.program(vip(A, false), vip(B), vip(A6));
    await until("the VIP is withdrawn", async () => (await first.route(`${A}/32`)) === undefined, 200);
    console.log(`withdrawn after ${Math.round(performance.now() - goneAtMs)} ms`);
    // BIRD prints when it got the route: an unrelated change must not renew it.
    expect(await first.route(`${B}/32`)).toBe(untouched);
    expect(instance.status()?.advertised).toEqual([`${B}/32`, `${A6}/128`].toSorted());
  });

  it("keeps what the file said last when it becomes unreadable", async () => {
    sh(`echo '{"generation": 9, "vips": [{' > ${runDir}/programmed.json`);
    await until("the bad file is reported", () => instance.status()?.programmedProblem);
    expect(await first.route(`${B}/32`)).toBeDefined();
    await instance.program(vip(B), vip(A6));
    await until("the good file is taken", () => instance.status()?.programmedProblem === undefined);
  });

  it("installs default routes only, and over two routers once the second comes, which does not reset the first", async () => {
    await until("the defaults are installed", () => returnTable()["0.0.0.0/0"] && returnTable()["::/0"]);
    const since = await first.upSince("gw4");
    const before = await first.route(`${B}/32`);
    instance.store.put(peer("second-v4", second.v4, { advertise: { communities: ["64513:7"] } }));
    instance.store.put(peer("second-v6", second.v6, { advertise: ADVERTISE }));
    await Promise.all([instance.established("second-v4"), instance.established("second-v6")]);
    await until(
      "both routers are next hops",
      () => returnTable()["0.0.0.0/0"]?.length === 2 && returnTable()["::/0"]?.length === 2,
    );
    expect(returnTable()).toEqual({
      "0.0.0.0/0": [first.v4, second.v4],
      "::/0": [first.v6, second.v6],
    });
    expect(instance.status()?.learned).toContainEqual({ prefix: "0.0.0.0/0", nextHops: [first.v4, second.v4] });
    expect(await first.upSince("gw4")).toBe(since);
    expect(await first.route(`${B}/32`)).toBe(before);
    const others = await until("the second router has the VIP", () => second.route(`${B}/32`));
    // Each router gets its own attributes.
    expect(others).toContain("BGP.community: (64513,7)");
    expect(others).not.toContain("(64513,100)");
    expect(others).toContain("BGP.as_path: 64513\n");
    expect(await second.route("203.0.113.0/24")).not.toContain("BGP");
  });

  it.each([
    ["deletes a route", "ip route delete default table 7701"],
    ["deletes an IPv6 route", "ip -6 route delete default table 7701"],
    ["flushes the table", "ip route flush table 7701; ip -6 route flush table 7701"],
    ["takes a next hop away", `ip route replace default via ${first.v4} table 7701 proto 201`],
    ["adds a route", "ip route add 10.98.0.0/16 dev lo table 7701 proto 201"],
  ])("puts the return routes back when somebody %s, and says so", async (_, damage) => {
    const before = returnTable();
    const repairs = instance.status()?.repairs ?? 0;
    sh(damage);
    await until("the routes are back", () => (instance.status()?.repairs ?? 0) > repairs);
    expect(returnTable()).toEqual(before);
  });

  it("tells a router of its own AS the local preference", async () => {
    const advertise = { localPreference: 250 };
    instance.store.put(
      peer("internal", internal.v4, { asn: GATEWAY_ASN, advertise, import: { prefixes: ["10.99.0.0/16"] } }),
    );
    const route = await until("the VIP is at the router", () => internal.route(`${B}/32`));
    expect(route).toContain("BGP.local_pref: 250");
    expect(route).toContain(`BGP.next_hop: ${EXTERNAL.v4}`);
    // Nothing that one router announced goes to another.
    expect(await internal.route("203.0.113.0/24")).not.toContain("BGP");
    instance.store.remove({ kind: "BgpPeer", namespace: "edge", name: "internal" });
    await until("the VIP is gone there", async () => (await internal.route(`${B}/32`)) === undefined);
  });

  it("changes attributes without a reset", async () => {
    const since = await first.upSince("gw4");
    for (const [name, router] of [
      ["first", first],
      ["second", second],
    ] as const) {
      const secured = name === "first" ? { password, ttlSecurity: true } : {};
      const advertise = { ...ADVERTISE, communities: ["64513:200"] };
      instance.store.put(peer(`${name}-v4`, router.v4, { ...secured, advertise }));
      instance.store.put(peer(`${name}-v6`, router.v6, { ...secured, advertise }));
    }
    await until("the new community is at the router", async () =>
      (await first.route(`${B}/32`))?.includes("(64513,200)"),
    );
    expect(await first.upSince("gw4")).toBe(since);
  });

  it.each(["SIGKILL", "SIGTERM"] as const)(
    "takes a router that ends by %s out of the return routes at once, and back when it returns",
    async (signal) => {
      await second.stopBird(signal);
      const oneLeft = () => returnTable()["0.0.0.0/0"]?.length === 1 && returnTable()["::/0"]?.length === 1;
      await until("one next hop is left", oneLeft, 1_000);
      expect(returnTable()["0.0.0.0/0"]).toEqual([first.v4]);
      expect(instance.reported("second-v4")).toMatchObject({
        state: "Connecting",
        message: expect.stringContaining("session lost"),
      });
      await second.startBird();
      await until("the session is back", () => instance.reported("second-v4")?.state === "Established", 5_000);
      await until("two next hops again", () => returnTable()["0.0.0.0/0"]?.length === 2);
    },
  );

  it("imports more where the peer allows it, and closes the session of a router that announces too much", async () => {
    const advertise = { ...ADVERTISE, communities: ["64513:200"] };
    const wide = { prefixes: ["10.0.0.0/8", "0.0.0.0/0"], orLonger: false };
    instance.store.put(peer("second-v4", second.v4, { advertise, import: { ...wide, prefixes: ["10.2.0.0/16"] } }));
    await until("the named prefix is installed", () => returnTable()["10.2.0.0/16"]);
    expect(Object.keys(returnTable()).toSorted()).toEqual(["0.0.0.0/0", "10.2.0.0/16", "::/0"]);
    instance.store.put(peer("second-v4", second.v4, { advertise, import: { ...wide, maxPrefixes: 2 } }));
    const limited = await until("the limit is reported", () => {
      const state = instance.reported("second-v4");
      return state?.state === "PrefixLimit" ? state : undefined;
    });
    expect(limited.message).toContain("maxPrefixes (2)");
    await until("its routes are gone", () => returnTable()["0.0.0.0/0"]?.length === 1);
    instance.store.put(peer("second-v4", second.v4, { advertise }));
    await until("the session is back", () => returnTable()["0.0.0.0/0"]?.length === 2);
  });

  it("recovers from a killed gobgpd", async () => {
    const before = instance.status()?.gobgpd?.pid ?? 0;
    process.kill(before, "SIGKILL");
    await until("the router notices", async () => (await first.route(`${B}/32`)) === undefined, 1_000);
    expect(returnTable()["0.0.0.0/0"]).toEqual([first.v4, second.v4]);
    await until("another gobgpd runs", () => (instance.status()?.gobgpd?.pid ?? before) !== before);
    await until("the VIP is back", () => first.route(`${B}/32`), 30_000);
    expect(returnTable()["0.0.0.0/0"]).toEqual([first.v4, second.v4]);
  });

  it("takes up the session anew with a rotated password", async () => {
    const names = ["first-v4", "first-v6", "second-v4", "second-v6"];
    await Promise.all(names.map((name) => instance.established(name)));
    instance.store.put(secret("router-password", "another"));
    await until("the old session ends", () => instance.reported("first-v4")?.state === "Connecting");
    await until("the other router alone is left", () => returnTable()["0.0.0.0/0"]?.join() === second.v4);
    expect(await first.isUp("gw4")).toBe(false);
    instance.store.put(secret("router-password", "s3cret"));
    await until("the session is back", () => instance.reported("first-v4")?.state === "Established", 60_000);
  });

  it("uses a static router as next hop, without a session", async () => {
    instance.store.put(peer("third", "192.0.2.3", { type: "Static" }));
    await until("the static router is a next hop", () => returnTable()["0.0.0.0/0"]?.includes("192.0.2.3"));
    expect(instance.reported("third")).toMatchObject({ state: "Static" });
    instance.store.remove({ kind: "BgpPeer", namespace: "edge", name: "third" });
    await until("it is gone", () => !returnTable()["0.0.0.0/0"]?.includes("192.0.2.3"));
  });

  it("withdraws before it ends, and leaves the kernel's routes", async () => {
    await until("the VIP is at the router", () => first.route(`${B}/32`));
    const isWhole = () => returnTable()["0.0.0.0/0"]?.length === 2 && returnTable()["::/0"]?.length === 2;
    await until("both routers are next hops", isWhole, 40_000);
    const routes = returnTable();
    const stopping = instance.stop();
    await until("the VIP is withdrawn", async () => (await first.route(`${B}/32`)) === undefined, 300);
    expect(await first.isUp("gw4")).toBe(true);
    await stopping;
    expect(returnTable()).toEqual(routes);
    expect(instance.reported("first-v4")).toBeUndefined();
    expect(instance.condition(4)).toMatchObject({ status: "False", reason: "ShuttingDown" });
  });
});

describe("a frontend whose proxy ends as well", () => {
  it("keeps sessions and return routes as they are to be until the proxy has drained", async () => {
    const ending = new Instance(runDir, 60_000);
    await ending.program(vip(A));
    await ending.start();
    for (const router of [first, second]) {
      const secured = router === first ? { password, ttlSecurity: true } : {};
      ending.store.put(peer(`${router.name}-v4`, router.v4, secured));
    }
    ending.store.put(secret("router-password", "s3cret"));
    // The kernel may hold both routes from an earlier run: they stay until their routers have spoken.
    const isWhole = async () =>
      ending.status()?.peers.filter(({ state }) => state === "Established").length === 2 &&
      (await first.route(`${A}/32`)) &&
      returnTable()["0.0.0.0/0"]?.length === 2;
    await until("all is in place", isWhole, 40_000);
    await ending.say("draining", vip(A, false));
    let ended = false;
    const stopping = ending.stop().then(() => {
      ended = true;
    });
    await until("the VIP is withdrawn", async () => (await first.route(`${A}/32`)) === undefined, 2_000);
    await second.stopBird();
    await until("its route is gone", () => returnTable()["0.0.0.0/0"]?.join() === first.v4, 5_000);
    // More than half a second has passed, which it takes in any case, when it has noticed this as well.
    await second.startBird();
    await until("its route is back", () => returnTable()["0.0.0.0/0"]?.length === 2, 40_000);
    expect(ended).toBe(false);
    expect(await first.isUp("gw4")).toBe(true);
    await ending.say("drained", vip(A, false));
    await stopping;
    expect(await first.isUp("gw4")).toBe(false);
  });
});
