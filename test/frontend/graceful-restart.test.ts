import { type ChildProcess, spawn } from "node:child_process";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { FrontendChild } from "./frontend-child.ts";
import { peer } from "./gateway-objects.ts";
import {
  makeExternalNetwork,
  Router,
  type RouterOptions,
  removeExternalNetwork,
  returnTable,
  sh,
  until,
} from "./router-network.ts";

const VIPS = ["198.51.100.10", "2001:db8:f::10"] as const;

/** Route changes of a namespace's kernel, as `ip monitor` prints them. */
class RouteMonitor {
  readonly #child: ChildProcess;
  #text = "";

  private constructor(netns: string | undefined) {
    const args = netns === undefined ? [] : ["-n", netns];
    this.#child = spawn("ip", [...args, "monitor", "route"], { stdio: ["ignore", "pipe", "inherit"] });
    this.#child.stdout?.on("data", (chunk) => {
      this.#text += String(chunk);
    });
  }

  /** @param netns the sandbox's own when absent. */
  static async start(netns?: string): Promise<RouteMonitor> {
    const monitor = new RouteMonitor(netns);
    const ip = netns === undefined ? "ip" : `ip -n ${netns}`;
    // It takes a while to subscribe.
    await until("the monitor shows a change", () => {
      sh(`${ip} route add blackhole 192.0.2.250/32 table 99; ${ip} route del 192.0.2.250/32 table 99`);
      return monitor.deleted("192.0.2.250").length > 0;
    });
    return monitor;
  }

  /** Lines that tell of the loss of a route. */
  deleted(part: string): string[] {
    return this.#text.split("\n").filter((line) => line.startsWith("Deleted") && line.includes(part));
  }

  close(): void {
    this.#child.kill();
  }
}

let router: Router;
let frontend: FrontendChild;
const monitors: RouteMonitor[] = [];

const start = (spec: Record<string, unknown>): Promise<void> =>
  frontend.start(peer("router-v4", router.v4, spec), peer("router-v6", router.v6, spec));

/** Both sessions are up, the VIPs in the router's kernel, the defaults in ours. */
async function settled(): Promise<void> {
  await until("sessions are up", async () => (await router.isUp("gw4")) && (await router.isUp("gw6")), 60_000);
  await until("the VIPs are at the router", async () => (await kernelRoutes()) === 2);
  await until("the defaults are here", () => returnTable()["0.0.0.0/0"] && returnTable()["::/0"]);
}

async function kernelRoutes(): Promise<number> {
  const text = sh(`ip -n ${router.name} route show; ip -n ${router.name} -6 route show`);
  return VIPS.filter((address) => text.includes(`${address} `)).length;
}

const watch = async (netns?: string): Promise<RouteMonitor> => {
  const monitor = await RouteMonitor.start(netns);
  monitors.push(monitor);
  return monitor;
};

async function setUp(options: Pick<RouterOptions, "bfd" | "gracefulRestart">): Promise<void> {
  router = new Router({ id: 1, ...options });
  await router.start();
}

const since = (): Promise<string[]> => Promise.all((["gw4", "gw6"] as const).map((session) => router.upSince(session)));

/** Whether sessions are not those of a time before. */
async function isNew(before: readonly string[], ...indices: readonly number[]): Promise<boolean> {
  const now = await since();
  return indices.every((index) => now[index] !== before[index] && now[index]?.includes("Established"));
}

beforeEach(async () => {
  makeExternalNetwork();
  frontend = await FrontendChild.make(VIPS);
});

afterEach(async () => {
  for (const monitor of monitors.splice(0)) monitor.close();
  await frontend.close();
  await router.close();
  removeExternalNetwork();
});

const lost = (monitor: RouteMonitor): number => VIPS.flatMap((address) => monitor.deleted(`${address} `)).length;

const RESTART = { gracefulRestart: { enabled: true, restartSeconds: 60 } };
const BFD = { bfd: { enabled: true, intervalMs: 100 } };

describe("a frontend that is killed and started again", () => {
  it("withdraws nothing with graceful restart, and its VIPs when it is ended", async () => {
    await setUp({ gracefulRestart: true });
    await start(RESTART);
    await settled();
    const monitor = await watch(router.name);
    const before = await since();
    await frontend.end("SIGKILL");
    await start(RESTART);
    await until("sessions are new", () => isNew(before, 0, 1));
    await settled();
    expect(lost(monitor)).toBe(0);
    await frontend.end("SIGTERM");
    expect(await kernelRoutes()).toBe(0);
  });

  it("withdraws nothing from a router either that comes back after another", async () => {
    await setUp({ gracefulRestart: true });
    await start(RESTART);
    await settled();
    const monitor = await watch(router.name);
    const before = await since();
    await frontend.end("SIGKILL");
    await until("the router has noticed", async () => !(await router.isUp("gw4")) && !(await router.isUp("gw6")));
    router.filter("in meta nfproto ipv6 meta l4proto tcp drop", "out meta nfproto ipv6 meta l4proto tcp drop");
    await start(RESTART);
    await until("the first session is new", () => isNew(before, 0), 60_000);
    router.filter();
    await until("the second session is new", () => isNew(before, 0, 1), 60_000);
    await settled();
    expect(lost(monitor)).toBe(0);
  });

  it("withdraws its VIPs without graceful restart", async () => {
    await setUp({ gracefulRestart: true });
    await start({});
    await settled();
    const monitor = await watch(router.name);
    await frontend.end("SIGKILL");
    await until("the VIPs are withdrawn", () => lost(monitor) === 2);
  });

  it.each([
    ["withdraws nothing from a router whose BFD is graceful", "gracefully", 0],
    ["is taken for gone by a router whose BFD is not", "beside", 2],
  ] as const)("%s", async (_, bfd, withdrawn) => {
    await setUp({ gracefulRestart: true, bfd });
    await start({ ...RESTART, ...BFD });
    await settled();
    await until("BFD is up", async () => ((await router.ask("show bfd sessions")).match(/ Up /g) ?? []).length === 2);
    const monitor = await watch(router.name);
    const before = await since();
    await frontend.end("SIGKILL");
    await start({ ...RESTART, ...BFD });
    await until("sessions are new", () => isNew(before, 0, 1), 60_000);
    await settled();
    expect(lost(monitor)).toBe(withdrawn);
  });
});

describe("a router that is killed and started again", () => {
  it.each([
    ["keeps its routes here with graceful restart", true, undefined],
    ["keeps its routes here with graceful restart and BFD", true, "beside"],
    ["loses its routes here without graceful restart", false, undefined],
  ] as const)("%s", async (_, gracefulRestart, bfd) => {
    await setUp({ gracefulRestart, ...(bfd === undefined ? {} : { bfd }) });
    await start({ ...RESTART, ...(bfd === undefined ? {} : BFD) });
    await settled();
    const told = (what: RegExp): number => frontend.said.match(what)?.length ?? 0;
    if (bfd !== undefined) await until("BFD is up", () => told(/"state":"Up"[^\n]*BFD session changed/g) >= 2);
    const monitor = await watch();
    const before = told(/BFD session fell/g);
    await router.stopBird();
    if (bfd !== undefined) await until("BFD has fallen", () => told(/BFD session fell/g) >= before + 2);
    if (!gracefulRestart) await until("the defaults are gone", () => returnTable()["0.0.0.0/0"] === undefined);
    await router.startBird(true);
    await settled();
    // Later than the new session's first routes and what was kept of the old one.
    const gone = monitor.deleted("table 7701").length;
    if (gracefulRestart) expect(gone).toBe(0);
    else expect(gone).toBe(2);
  });
});
