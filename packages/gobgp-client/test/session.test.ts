import { afterAll, beforeAll, expect, test } from "vitest";
import { GobgpClient, type PeerConfig, type PeerEvent, type RouteEvent } from "../src/index.ts";
import { Lab, sh, until } from "./lab.ts";

const global = { asn: Lab.gobgp.asn, routerId: Lab.gobgp.v4 };
const peer = {
  address: Lab.bird.v4,
  peerAsn: Lab.bird.asn,
  password: "secret",
  ttlSecurity: { ttlMin: 255 },
  timers: { holdTimeSeconds: 3, keepaliveSeconds: 1, connectRetrySeconds: 1, idleHoldAfterResetSeconds: 1 },
  families: [{ family: "ipv4-unicast" }, { family: "ipv6-unicast" }],
  gracefulRestart: { restartTimeSeconds: 30 },
} as const satisfies PeerConfig;

let lab: Lab;
let client: GobgpClient;
/** What two watches, open for the whole file, have seen. */
const peerEvents: PeerEvent[] = [];
const routeEvents: RouteEvent[] = [];
const watches: Promise<void>[] = [];

async function collect<T>(events: AsyncIterable<T>, into: T[]): Promise<void> {
  for await (const event of events) into.push(event);
}

const established = (): Promise<boolean> => lab.birdEstablished();

/** The paths of the last event about a prefix, counted from `start`. */
function routeSeen(prefix: string, start: number) {
  return routeEvents
    .slice(start)
    .flatMap((event) => (event.type === "snapshot" ? event.routes : event.type === "route" ? [event.route] : []))
    .findLast((route) => route.prefix === prefix);
}

beforeAll(async () => {
  lab = await Lab.create();
  lab.startGobgpd();
  await lab.startBird();
  client = await GobgpClient.connect({ address: lab.address, livenessIntervalMs: 200, callTimeoutMs: 1000 });
  expect(await client.startBgp(global)).toBe("started");
  watches.push(collect(client.watchPeers(), peerEvents), collect(client.watchBestPaths(), routeEvents));
  await until("both watches have their snapshot", async () => peerEvents.length > 0 && routeEvents.length > 0);
});

afterAll(async () => {
  client.close();
  await Promise.all(watches);
  await lab[Symbol.asyncDispose]();
});

test("Debian's gobgpd is recognised as 3.x and starts empty", async () => {
  expect(client.dialect).toBe("3.x");
  expect(peerEvents[0]).toEqual({ type: "snapshot", sessions: [] });
  expect(routeEvents[0]).toEqual({ type: "snapshot", routes: [] });
  expect(await client.getBgp()).toEqual({
    ...global,
    listenPort: 179,
    listenAddresses: ["0.0.0.0", "::"],
    useMultiplePaths: false,
  });
});

test("a wrong MD5 password never brings the session up, the right one does, with TTL security", async () => {
  await client.addPeer({ ...peer, password: "wrong" });
  const failures = async (): Promise<boolean> => {
    const counters = await sh("ip", "netns", "exec", "cw-gobgp", "nstat", "-asz", "TcpExtTCPMD5Failure");
    return Number(/TCPMD5Failure\s+(\d+)/.exec(counters)?.[1]) >= 2;
  };
  await until("the kernel has refused segments for their MD5 digest", failures);
  expect(await established()).toBe(false);
  expect((await client.listPeers())[0]?.state).not.toBe("established");
  expect(await client.updatePeer(peer)).toBe("reset");
  await until("session up", established);
  await until("the watch says so", async () =>
    peerEvents.some((event) => event.type === "session" && event.session.state === "established"),
  );
  expect(await client.updatePeer(peer)).toBe("unchanged");
  const [listed] = await until("listed as up", async () => {
    const peers = await client.listPeers();
    return peers[0]?.state === "established" && peers;
  });
  expect(listed).toMatchObject({ address: Lab.bird.v4, routerId: Lab.bird.v4, negotiatedHoldTimeSeconds: 3 });
  const sockets = await sh("ip", "netns", "exec", "cw-gobgp", "ss", "-tinH", "state", "established");
  expect(sockets).toContain(`${Lab.bird.v4}:`);
});

test("IPv4 and IPv6 paths arrive in BIRD with all attributes", async () => {
  await client.addPath({
    prefix: "192.0.2.1/32",
    nextHop: Lab.gobgp.v4,
    origin: "incomplete",
    asPath: [65001, 4200000000],
    communities: ["65000:1", "65535:65281"],
    largeCommunities: ["4200000000:1:2"],
    med: 77,
  });
  await client.addPath({ prefix: "2001:db8::1/128", nextHop: Lab.gobgp.v6, communities: ["65000:6"], med: 6 });
  const v4 = await until("IPv4 in BIRD", async () => {
    const text = await lab.birdc("show route all 192.0.2.1/32");
    return text.includes("BGP.next_hop") && text;
  });
  expect(v4).toContain("BGP.origin: Incomplete");
  expect(v4).toContain("BGP.as_path: 65001 65001 4200000000");
  expect(v4).toContain("BGP.next_hop: 10.9.0.1");
  expect(v4).toContain("BGP.med: 77");
  expect(v4).toMatch(/BGP\.community: .*\(65000,1\).*\(65535,65281\)/);
  expect(v4).toContain("BGP.large_community: (4200000000, 1, 2)");
  const v6 = await until("IPv6 in BIRD", async () => {
    const text = await lab.birdc("show route all 2001:db8::1/128");
    return text.includes("BGP.next_hop") && text;
  });
  expect(v6).toContain("BGP.origin: IGP");
  expect(v6).toContain("BGP.as_path: 65001");
  expect(v6).toContain("BGP.next_hop: fd00:9::1");
  expect(v6).toContain("BGP.med: 6");
  const [out] = await client.listPaths({
    table: "adj-out",
    family: "ipv4-unicast",
    neighbor: Lab.bird.v4,
    prefix: "192.0.2.1/32",
  });
  expect(out).toMatchObject({
    prefix: "192.0.2.1/32",
    nextHop: Lab.gobgp.v4,
    med: 77,
    asPath: [65001, 65001, 4200000000],
  });
});

test("a second start with the same settings changes nothing, with others it is refused, and the RIB stays", async () => {
  expect(await client.startBgp(global)).toBe("unchanged");
  await expect(client.startBgp({ ...global, asn: 65002 })).rejects.toMatchObject({
    name: "BgpAlreadyRunningError",
    differences: ["asn is 65001, wanted 65002"],
  });
  expect(await client.listPaths({ table: "global", family: "ipv4-unicast", prefix: "192.0.2.1/32" })).toHaveLength(1);
  expect(await established()).toBe(true);
  expect(await lab.birdc("show route 192.0.2.1/32")).toContain("192.0.2.1/32");
});

test("a withdrawn path leaves BIRD; withdrawing it again is harmless", async () => {
  for (const prefix of ["192.0.2.1/32", "2001:db8::1/128", "192.0.2.1/32"]) await client.deletePath(prefix);
  for (const prefix of ["192.0.2.1/32", "2001:db8::1/128"]) {
    // birdc fails for a route that is not there, with "Network not found".
    await until(`${prefix} gone`, async () => (await lab.birdc(`show route ${prefix}`)).includes("not found"));
  }
});

test("routes of BIRD reach the watch, the default routes among them; what BIRD withdraws goes", async () => {
  const default4 = await until("IPv4 default", async () => routeSeen("0.0.0.0/0", 0));
  expect(default4.paths).toMatchObject([{ nextHop: Lab.bird.v4, neighbor: Lab.bird.v4, asPath: [65010], best: true }]);
  const default6 = await until("IPv6 default", async () => routeSeen("::/0", 0));
  expect(default6.paths).toMatchObject([{ nextHop: Lab.bird.v6, neighbor: Lab.bird.v4, best: true }]);
  const start = routeEvents.length;
  await lab.birdc("enable late");
  await until("new route", async () => routeSeen("203.0.113.0/24", start)?.paths.length === 1);
  await lab.birdc("disable late");
  await until("withdrawn route", async () => routeSeen("203.0.113.0/24", start)?.paths.length === 0);
});

test("policies: only the wanted prefixes go out and come in, and paths of our own stay", async () => {
  const start = routeEvents.length;
  await client.setPeerPolicies({
    peers: [
      {
        peer: Lab.bird.v4,
        importPrefixes: [{ prefix: "0.0.0.0/0" }],
        exportPrefixes: [{ prefix: "192.0.2.0/24", minLength: 32 }],
      },
    ],
  });
  await until("refused one no longer best", async () => routeSeen("198.51.100.0/24", start)?.paths.length === 0);
  await until("IPv6 default refused", async () => routeSeen("::/0", start)?.paths.length === 0);
  // The allowed path comes last: once BIRD has it, it would have the others, too.
  for (const prefix of ["192.0.3.1/32", "192.0.2.0/24", "2001:db8::1/128", "192.0.2.1/32"]) {
    await client.addPath({ prefix, nextHop: prefix.includes(":") ? Lab.gobgp.v6 : Lab.gobgp.v4 });
  }
  const exported = await until("allowed path in BIRD", async () => {
    const text = await lab.birdc("show route protocol gobgp");
    return text.includes("192.0.2.1/32") && text;
  });
  expect(exported.match(/unicast/g)).toHaveLength(1);
  const received = await client.listPaths({ table: "adj-in", family: "ipv4-unicast", neighbor: Lab.bird.v4 });
  expect(Object.fromEntries(received.map((path) => [path.prefix, path.filtered]))).toEqual({
    "0.0.0.0/0": false,
    "198.51.100.0/24": true,
  });
  const kept = await client.listPaths({ table: "global", family: "ipv4-unicast" });
  expect(
    kept
      .filter((path) => !path.filtered)
      .map((path) => path.prefix)
      .toSorted(),
  ).toEqual(["0.0.0.0/0", "192.0.2.0/24", "192.0.2.1/32", "192.0.3.1/32"]);

  await client.setPeerPolicies({ peers: [{ peer: Lab.bird.v4, importPrefixes: "all", exportPrefixes: "all" }] });
  await until(
    "all four in BIRD",
    async () => (await lab.birdc("show route protocol gobgp")).match(/unicast/g)?.length === 4,
  );
  await until("IPv6 default again", async () => routeSeen("::/0", start)?.paths.length === 1);
  expect(await established()).toBe(true);
});

test("a frozen daemon is noticed by the watches, and the snapshot that follows is whole", async () => {
  const start = { peers: peerEvents.length, routes: routeEvents.length };
  lab.signalGobgpd("SIGSTOP");
  await until(
    "both watches say disconnected",
    async () =>
      peerEvents.slice(start.peers).some(({ type }) => type === "disconnected") &&
      routeEvents.slice(start.routes).some(({ type }) => type === "disconnected"),
  );
  lab.signalGobgpd("SIGCONT");
  await until("snapshot with our paths", async () =>
    routeEvents.slice(start.routes).some(({ type }) => type === "snapshot"),
  );
  expect(routeSeen("192.0.2.1/32", start.routes)?.paths).toHaveLength(1);
  await until("session up again", established);
});

test("the prefix limit takes the session down", async () => {
  expect(await client.updatePeer({ ...peer, families: [{ family: "ipv4-unicast", maxPrefixes: 1 }] })).toBe("reset");
  await until("prefix limit", async () => (await client.listPeers())[0]?.adminState === "prefix-limit");
  await until("down in BIRD", async () => !(await established()));
  expect(await client.updatePeer(peer)).toBe("reset");
  await until("session up again", established);
});

test("the watch tells when the link goes down and when it is back", async () => {
  const last = () => peerEvents.findLast((event) => event.type === "session")?.session.state;
  await until("watch settled", async () => last() === "established");
  await sh("ip", "-n", "cw-bird", "link", "set", "cw-b", "down");
  await until("down", async () => last() !== "established");
  await sh("ip", "-n", "cw-bird", "link", "set", "cw-b", "up");
  await sh("ip", "-n", "cw-bird", "addr", "replace", `${Lab.bird.v6}/64`, "dev", "cw-b", "nodad");
  await until("up again", async () => last() === "established");
  await until("up in BIRD, too", established);
});

test("after BIRD is killed its routes stay, marked stale, and after its restart they are fresh (RFC 4724)", async () => {
  await until(
    "graceful restart negotiated",
    async () => (await client.listPeers())[0]?.families[0]?.gracefulRestart.received,
  );
  expect(await lab.birdc("show protocols all gobgp")).toMatch(/Neighbor capabilities[\s\S]*Graceful restart/);
  await lab.killBird();
  const inBest = async (stale: boolean): Promise<boolean> =>
    (await client.listPaths({ table: "global", family: "ipv4-unicast", prefix: "0.0.0.0/0" }))[0]?.stale === stale;
  await until("stale", () => inBest(true));
  await lab.startBird();
  await until("session up again", established);
  await until("fresh", () => inBest(false), 40_000);
});

test("gobgpd killed and started again: disconnected, then a snapshot of the empty daemon, and all can be set up again", async () => {
  const start = { peers: peerEvents.length, routes: routeEvents.length };
  await lab.killGobgpd();
  await expect(client.addPath({ prefix: "192.0.2.1/32", nextHop: Lab.gobgp.v4 })).rejects.toMatchObject({
    name: "DaemonUnreachableError",
  });
  lab.startGobgpd();
  await until(
    "snapshots",
    async () =>
      peerEvents.slice(start.peers).some(({ type }) => type === "snapshot") &&
      routeEvents.slice(start.routes).some(({ type }) => type === "snapshot"),
  );
  expect(peerEvents.slice(start.peers).map(({ type }) => type)).toEqual(["disconnected", "snapshot"]);
  expect(peerEvents.at(-1)).toEqual({ type: "snapshot", sessions: [] });
  expect(routeEvents.at(-1)).toEqual({ type: "snapshot", routes: [] });
  await expect(client.addPeer(peer)).rejects.toMatchObject({ name: "BgpNotStartedError" });
  expect(await client.startBgp(global)).toBe("started");
  expect(await client.updatePeer(peer)).toBe("added");
  await client.addPath({ prefix: "192.0.2.1/32", nextHop: Lab.gobgp.v4 });
  await until("session up again", established);
  await until("path in BIRD again", async () => (await lab.birdc("show route 192.0.2.1/32")).includes("unicast"));
});

test("with useMultiplePaths a route has the path of each router, and keeps the one that is left", async () => {
  await client.stopBgp();
  expect(await client.startBgp({ ...global, useMultiplePaths: true })).toBe("started");
  await expect(client.startBgp(global)).rejects.toMatchObject({ name: "BgpAlreadyRunningError" });
  const start = routeEvents.length;
  const nextHops = (): string =>
    (routeSeen("0.0.0.0/0", start)?.paths ?? [])
      .map((path) => path.nextHop)
      .toSorted()
      .join();
  const { timers } = peer;
  await lab.birdc("enable second");
  await client.addPeer({
    address: Lab.bird.v4,
    peerAsn: Lab.bird.asn,
    timers,
    password: "secret",
    ttlSecurity: { ttlMin: 255 },
  });
  await client.addPeer({ address: Lab.second.v4, peerAsn: Lab.second.asn, timers, localAddress: Lab.second.gobgp });
  await until("both", async () => nextHops() === `${Lab.bird.v4},${Lab.second.v4}`);
  await lab.birdc("disable gobgp");
  await until("the second", async () => nextHops() === Lab.second.v4);
  await lab.birdc("disable second");
  await until("none", async () => routeSeen("0.0.0.0/0", start)?.paths.length === 0);
});
