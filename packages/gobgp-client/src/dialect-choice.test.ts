import { mkdtempSync, rmSync } from "node:fs";
import { createServer, type Http2Server, type ServerHttp2Session } from "node:http2";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Code, ConnectError, type ConnectRouter } from "@connectrpc/connect";
import { connectNodeAdapter } from "@connectrpc/connect-node";
import { afterEach, beforeEach, expect, test } from "vitest";
import { GobgpClient } from "./client.ts";
import { pathInit4 } from "./dialect-4.ts";
import * as v3 from "./gen/gobgp3_pb.js";
import * as v4 from "./gen/gobgp4_pb.js";
import { checkPath } from "./path.ts";

let folder: string;
let address: string;
let server: Server | undefined;

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "gobgp-client-"));
  address = `unix://${folder}/api.sock`;
});

afterEach(async () => {
  await server?.stop();
  server = undefined;
  rmSync(folder, { recursive: true });
});

/** An HTTP/2 server on the test's socket. */
class Server {
  readonly #http: Http2Server;
  readonly #sessions = new Set<ServerHttp2Session>();

  constructor(routes: (router: ConnectRouter) => void) {
    this.#http = createServer(connectNodeAdapter({ routes }));
    this.#http.on("session", (session) => this.#sessions.add(session));
  }

  async start(): Promise<void> {
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    this.#http.once("error", reject).listen(`${folder}/api.sock`, resolve);
    await promise;
  }

  async stop(): Promise<void> {
    const closed = new Promise((resolve) => this.#http.close(resolve));
    for (const session of this.#sessions) session.destroy();
    await closed;
  }
}

async function serve(routes: (router: ConnectRouter) => void): Promise<void> {
  server = new Server(routes);
  await server.start();
}

/** A gobgpd 4.x as far as these tests go: it remembers what it was told. */
function fake4(options: { readonly dropsBfd: boolean }) {
  const told: { starts: number; paths: v4.AddPathRequest[]; lists: v4.ListPathRequest[] } = {
    starts: 0,
    paths: [],
    lists: [],
  };
  let global: v4.Global | undefined;
  let peers: v4.Peer[] = [];
  const routes = (router: ConnectRouter): void => {
    router.service(v4.GoBgpService, {
      getBgp: () => (global ? { global } : { global: {} }),
      startBgp: (request) => {
        told.starts += 1;
        global = request.global;
        return {};
      },
      addPeer: ({ peer }) => {
        if (!global) throw new ConnectError("bgp server hasn't started yet", Code.Unknown);
        if (peer && options.dropsBfd) delete peer.bfd;
        if (peer) peers.push(peer);
        return {};
      },
      deletePeer: (request) => {
        peers = peers.filter((peer) => peer.conf?.neighborAddress !== request.address);
        return {};
      },
      async *listPeer(request) {
        for (const peer of peers) if (["", peer.conf?.neighborAddress].includes(request.address)) yield { peer };
      },
      addPath: (request) => {
        told.paths.push(request);
        return {};
      },
      async *listPath(request) {
        told.lists.push(request);
        const path = { ...pathInit4(checkPath({ prefix: "192.0.2.1/32", nextHop: "192.0.2.9" })), best: true };
        yield { destination: { prefix: "192.0.2.1/32", paths: [{ ...path, neighborIp: "invalid IP" }] } };
      },
      async *watchEvent(request, context) {
        const filters = request.table?.filters.map(({ type, init }) => [type, init]);
        expect(filters).toEqual([[v4.WatchEventRequest_Table_Filter_Type.BEST, true]]);
        const path = pathInit4(checkPath({ prefix: "2001:db8::1/128", nextHop: "2001:db8::9" }));
        yield { event: { case: "table", value: { paths: [path] } } };
        yield { event: { case: "table", value: { paths: [{ ...path, isWithdraw: true }] } } };
        await new Promise((resolve) => context.signal.addEventListener("abort", resolve));
      },
    });
  };
  return { told, routes };
}

const global = { asn: 65001, routerId: "192.0.2.1", listenPort: -1 };
const bfd = { desiredMinTxMs: 100, requiredMinRxMs: 100, detectMultiplier: 3 };

test("a daemon that knows only api.GoBgpService is spoken to as 4.x", async () => {
  const fake = fake4({ dropsBfd: false });
  await serve(fake.routes);
  const client = await GobgpClient.connect({ address });
  expect(client.dialect).toBe("4.x");
  expect(await client.getBgp()).toBeUndefined();
  await expect(client.addPeer({ address: "192.0.2.2", peerAsn: 1 })).rejects.toMatchObject({
    name: "BgpNotStartedError",
  });
  expect(await Promise.all([client.startBgp(global), client.startBgp(global)])).toEqual(["started", "unchanged"]);
  await expect(client.startBgp({ ...global, asn: 1 })).rejects.toMatchObject({ name: "BgpAlreadyRunningError" });
  expect(fake.told.starts).toBe(1);

  expect(await client.updatePeer({ address: "192.0.2.2", peerAsn: 1, bfd })).toBe("added");
  expect(await client.updatePeer({ address: "192.0.2.2", peerAsn: 1, bfd })).toBe("unchanged");
  expect(await client.updatePeer({ address: "192.0.2.2", peerAsn: 1, bfd: { ...bfd, detectMultiplier: 4 } })).toBe(
    "reset",
  );
  expect((await client.listPeers()).map((peer) => [peer.address, peer.bfd])).toEqual([["192.0.2.2", "down"]]);

  await client.addPath({ prefix: "192.0.2.1/32", nextHop: "192.0.2.9" });
  expect(fake.told.paths[0]?.tableType).toBe(v4.TableType.GLOBAL);
  expect(await client.listPaths({ table: "global", family: "ipv4-unicast" })).toMatchObject([
    { best: true, neighbor: undefined },
  ]);
  expect(fake.told.lists[0]?.tableType).toBe(v4.TableType.GLOBAL);

  const seen: unknown[] = [];
  for await (const event of client.watchBestPaths()) {
    seen.push(event.type === "route" ? [event.type, event.route.paths.length] : [event.type]);
    if (seen.length === 2) client.close();
  }
  expect(seen).toEqual([["snapshot"], ["route", 0]]);
  await expect(client.getBgp()).rejects.toMatchObject({ name: "DaemonUnreachableError" });
});

test("BFD on a daemon that drops it (4.0 to 4.4) is an error, and no peer without it stays behind", async () => {
  const fake = fake4({ dropsBfd: true });
  await serve(fake.routes);
  const client = await GobgpClient.connect({ address });
  await client.startBgp(global);
  await expect(client.addPeer({ address: "192.0.2.2", peerAsn: 1, bfd })).rejects.toMatchObject({
    name: "UnsupportedByDaemonError",
    feature: "BFD",
  });
  expect(await client.listPeers()).toEqual([]);
  client.close();
});

test("a daemon that knows only apipb.GobgpApi is spoken to as 3.x, and BFD is refused before anything is sent", async () => {
  await serve((router) => router.service(v3.GobgpApi, { getBgp: () => ({ global: {} }) }));
  const client = await GobgpClient.connect({ address });
  expect(client.dialect).toBe("3.x");
  await expect(client.addPeer({ address: "192.0.2.2", peerAsn: 1, bfd })).rejects.toMatchObject({
    name: "UnsupportedByDaemonError",
  });
  client.close();
});

test("a server with neither service is refused at once; none at all is waited for, then reported", async () => {
  await serve(() => undefined);
  await expect(GobgpClient.connect({ address })).rejects.toMatchObject({ name: "UnsupportedByDaemonError" });
  const nobody = GobgpClient.connect({ address: `unix://${folder}/nobody.sock`, connectTimeoutMs: 150 });
  await expect(nobody).rejects.toMatchObject({
    name: "DaemonUnreachableError",
    message: expect.stringContaining("ENOENT"),
  });
});

test("connect waits for a daemon that comes up later, and stops waiting when aborted", async () => {
  const waiting = GobgpClient.connect({ address });
  await serve(fake4({ dropsBfd: false }).routes);
  const client = await waiting;
  expect(client.dialect).toBe("4.x");
  client.close();
  const abort = new AbortController();
  const hopeless = GobgpClient.connect({ address: `unix://${folder}/nobody.sock`, signal: abort.signal });
  abort.abort(new Error("changed my mind"));
  await expect(hopeless).rejects.toThrow();
});

test("a silent daemon ends a call at its deadline", async () => {
  const fake = fake4({ dropsBfd: false });
  await serve((router) => {
    fake.routes(router);
    router.rpc(v4.GoBgpService.method.stopBgp, () => new Promise<never>(() => undefined));
  });
  const client = await GobgpClient.connect({ address, callTimeoutMs: 100 });
  await expect(client.stopBgp()).rejects.toMatchObject({ name: "DaemonUnreachableError", operation: "StopBgp" });
  expect(await client.getBgp()).toBeUndefined();
  client.close();
});
