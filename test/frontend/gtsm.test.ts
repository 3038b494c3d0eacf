import { readFileSync } from "node:fs";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { FrontendChild } from "./frontend-child.ts";
import { peer } from "./gateway-objects.ts";
import { makeExternalNetwork, Router, removeExternalNetwork, returnTable, sh, until } from "./router-network.ts";

/** Segments that a kernel has dropped for a TTL or hop limit below what their socket asks for. */
function dropped(netns?: string): number {
  const text =
    netns === undefined
      ? readFileSync("/proc/net/netstat", "utf8")
      : sh(`ip netns exec ${netns} cat /proc/net/netstat`);
  const [names = "", values = ""] = text.split("\n").filter((line) => line.startsWith("TcpExt:"));
  return Number(values.split(" ")[names.split(" ").indexOf("TCPMinTTLDrop")]);
}

const VIPS = ["198.51.100.10", "2001:db8:f::10"] as const;
let router: Router;
let frontend: FrontendChild;

const start = (ttlSecurity: boolean): Promise<void> =>
  frontend.start(peer("router-v4", router.v4, { ttlSecurity }), peer("router-v6", router.v6, { ttlSecurity }));

/** What has been exchanged, in both families: our VIPs there, the router's defaults here. */
async function exchanged(): Promise<boolean[]> {
  const routes = await Promise.all([router.route(`${VIPS[0]}/32`), router.route(`${VIPS[1]}/128`)]);
  const table = returnTable();
  return [...routes, table["0.0.0.0/0"], table["::/0"]].map((found) => found !== undefined);
}

const isUp = async (): Promise<boolean> => (await exchanged()).every((found) => found);

/** Waits until a kernel has dropped so many that both families have tried in vain. */
async function inVain(netns?: string): Promise<void> {
  const before = dropped(netns);
  await until("segments are dropped", () => dropped(netns) >= before + 10, 30_000);
  expect(await exchanged()).toEqual([false, false, false, false]);
}

beforeEach(async () => {
  makeExternalNetwork();
  frontend = await FrontendChild.make(VIPS);
});

afterEach(async () => {
  await frontend.close();
  await router.close();
  removeExternalNetwork();
});

describe("GTSM (RFC 5082), IPv4 and IPv6", () => {
  it("both sides with it have sessions; with the router's packets from a hop further away there is none", async () => {
    router = new Router({ id: 1, ttlSecurity: true });
    await router.start();
    // What a router on the way would have done to them.
    router.filter(
      "out tcp dport 179 ip ttl set 254",
      "out tcp sport 179 ip ttl set 254",
      "out tcp dport 179 ip6 hoplimit set 254",
      "out tcp sport 179 ip6 hoplimit set 254",
    );
    await start(true);
    await inVain();
    router.filter();
    await until("both sessions are up", isUp, 40_000);
  });

  it("the router alone with it refuses us", async () => {
    router = new Router({ id: 1, ttlSecurity: true });
    await router.start();
    await start(false);
    await inVain(router.name);
    await frontend.end("SIGTERM");
    await start(true);
    await until("both sessions are up", isUp, 40_000);
  });

  it("with it we refuse a router that is without", async () => {
    router = new Router({ id: 1 });
    await router.start();
    await start(true);
    await inVain();
    await frontend.end("SIGTERM");
    await start(false);
    await until("both sessions are up", isUp, 40_000);
  });
});
