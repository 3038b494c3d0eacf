import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { ApiClient } from "#shared/store/kubernetes/api-client.ts";
import { StoreNotFoundError, StoreUnavailableError } from "#shared/store/object-store.ts";
import { withMetadata } from "./api-double/api-object.ts";
import { StatusError } from "./api-double/status-error.ts";
import { Cluster, IS_REAL } from "./support/cluster.ts";
import { eventually, type Followed, follow, sees } from "./support/followed.ts";
import { Relay } from "./support/relay.ts";

/* Whatever the API server or the wire does, no change is missed. */

const PEERS = [{ kind: "BgpPeer" }] as const;
const peer = (name: string, port = 179) => ({
  apiVersion: "causeway.dev/v1alpha1",
  kind: "BgpPeer",
  metadata: { name },
  spec: { address: "192.0.2.1", asn: 65_000, localAsn: 65_001, port },
});
const ref = (name: string) => ({ kind: "BgpPeer", namespace: "default", name }) as const;
const controller = { fieldManager: "controller" };
const accepted = {
  conditions: [
    { type: "Accepted", status: "True", reason: "R", message: "", lastTransitionTime: "2026-01-01T00:00:00Z" },
  ],
};

let cluster: Cluster;
let relay: Relay;
let followed: Followed | undefined;
beforeEach(async () => {
  if (IS_REAL) return;
  cluster = await Cluster.start();
  relay = await Relay.start(() => cluster.double.port);
});
afterEach(async () => {
  if (IS_REAL) return;
  followed?.close();
  await relay.close();
  await cluster.close();
});

async function watching(times: Parameters<typeof follow>[2] = {}): Promise<Followed> {
  followed = await follow(cluster.config(cluster.user("controller"), relay.url), PEERS, times);
  return followed;
}

describe.skipIf(IS_REAL)("a store and an API server that fails", () => {
  test("the server is killed and comes back", async () => {
    await cluster.apply(peer("a"));
    const it = await watching();
    for (const name of ["b", "c", "d"]) {
      await cluster.double.stop();
      await expect(it.store.applyStatus(ref("a"), accepted, controller)).rejects.toThrow(StoreUnavailableError);
      await cluster.double.start();
      await cluster.apply(peer(name));
      await eventually(() => expect(it.names("BgpPeer")).toContain(name));
      await it.store.applyStatus(ref(name), accepted, controller);
    }
    expect(it.names("BgpPeer")).toEqual(["a", "b", "c", "d"]);
  });

  test("what happened while it was away and was compacted is found by listing anew", async () => {
    for (const name of ["gone", "kept", "remade"]) await cluster.apply(peer(name));
    const it = await watching();
    const uid = it.view.get("BgpPeer", "default", "remade")?.metadata.uid;
    it.changes.length = 0;
    relay.swallow();
    await cluster.delete(peer("gone"));
    await cluster.delete(peer("remade"));
    await cluster.apply(peer("remade", 1));
    await cluster.apply(peer("new"));
    cluster.double.compact();
    relay.heal();
    await sees(it, "BgpPeer", ["kept", "new", "remade"]);
    await eventually(() => expect(it.view.get("BgpPeer", "default", "remade")?.metadata.uid).not.toBe(uid));
    expect([...new Set(it.changes)].sort()).toEqual([
      "BgpPeer default/gone",
      "BgpPeer default/new",
      "BgpPeer default/remade",
    ]);
  });

  test("a connection that swallows everything is noticed by its pings", async () => {
    await cluster.apply(peer("a"));
    const it = await watching();
    relay.swallow();
    await cluster.apply(peer("b"));
    relay.heal();
    await sees(it, "BgpPeer", ["a", "b"]);
    expect(it.warnings.join("")).toContain("no answer to a ping");
  });

  test("control: without pings it is not noticed", async () => {
    const it = await watching({ pingMs: 3_600_000 });
    relay.swallow();
    await cluster.apply(peer("a"));
    relay.heal();
    // The first store finds out within half a second.
    await expect(eventually(() => expect(it.names("BgpPeer")).toEqual(["a"]), 1_500)).rejects.toThrow();
  });

  test("connections are cut again and again", async () => {
    const it = await watching();
    for (let round = 0; round < 10; round++) {
      await cluster.apply(peer(`p${round}`));
      relay.cut();
    }
    await sees(
      it,
      "BgpPeer",
      Array.from({ length: 10 }, (_, round) => `p${round}`),
    );
  });

  test.each<readonly [string, () => void]>([
    ["end in good order", () => cluster.double.endWatches()],
    ["end with 410", () => cluster.double.failWatches(new StatusError(410, "Expired", "too old"))],
    ["end with 500", () => cluster.double.failWatches(new StatusError(500, "InternalError", "etcd"))],
    ["end with 429", () => cluster.double.failWatches(new StatusError(429, "TooManyRequests", "busy"))],
  ])("watches that %s", async (_, end) => {
    const it = await watching();
    await cluster.apply(peer("a"));
    await sees(it, "BgpPeer", ["a"]);
    end();
    await cluster.apply(peer("b"));
    await sees(it, "BgpPeer", ["a", "b"]);
    end();
    await cluster.delete(peer("a"));
    await sees(it, "BgpPeer", ["b"]);
  });

  test.each<readonly [string, Parameters<Cluster["double"]["faults"]["add"]>[1]]>([
    ["500", { type: "status", code: 500, reason: "InternalError" }],
    ["503", { type: "status", code: 503, reason: "ServiceUnavailable", retryAfterSeconds: 0 }],
    ["429", { type: "status", code: 429, reason: "TooManyRequests", retryAfterSeconds: 0 }],
    ["410", { type: "status", code: 410, reason: "Expired" }],
    ["401", { type: "status", code: 401, reason: "Unauthorized" }],
    ["403", { type: "status", code: 403, reason: "Forbidden" }],
    ["half of a list", { type: "truncate" }],
    ["no answer", { type: "swallow" }],
    ["a late answer", { type: "delay", ms: 300 }],
    ["a lost answer", { type: "lose-answer" }],
  ])("lists and watches that get %s at first", async (_, fault) => {
    await cluster.apply(peer("a"));
    cluster.double.faults.add({ user: "controller", verb: "list" }, fault, 2);
    const it = await watching({ requestMs: 400 });
    expect(it.names("BgpPeer")).toEqual(["a"]);
    if (fault.type !== "truncate" && fault.type !== "lose-answer" && fault.type !== "swallow") {
      cluster.double.faults.add({ user: "controller", verb: "watch" }, fault, 3);
    }
    cluster.double.faults.add({ user: "controller", verb: "list" }, fault, 1);
    cluster.double.endWatches();
    await cluster.apply(peer("b"));
    await sees(it, "BgpPeer", ["a", "b"]);
  });

  test("where every watch is refused with 410, lists alone keep the view", async () => {
    const it = await watching();
    const expired = { type: "status", code: 410, reason: "Expired" } as const;
    cluster.double.faults.add({ user: "controller", verb: "watch" }, expired);
    cluster.double.endWatches();
    for (const name of ["a", "b"]) {
      await cluster.apply(peer(name));
      await eventually(() => expect(it.names("BgpPeer")).toContain(name));
    }
  });

  test("a watch that the server has forgotten is ended when its time is over, though the connection answers", async () => {
    const it = await watching({ watchMs: 500, overdueMs: 200 });
    cluster.double.faults.add({ user: "controller", verb: "watch" }, { type: "swallow" }, 1);
    cluster.double.endWatches();
    await cluster.apply(peer("a"));
    await sees(it, "BgpPeer", ["a"]);
    expect(it.warnings.join("")).toContain("the watch is overdue");
  });

  test("everything is listed again from time to time, although watches work", async () => {
    const it = await watching({ watchMs: 500, resyncMs: 500 });
    // Only who lists again hears of this.
    cluster.double.faults.add(
      { user: "controller", verb: "list" },
      { type: "status", code: 500, reason: "Relisted" },
      1,
    );
    await eventually(() => expect(it.warnings.join("")).toContain("Relisted"));
    await cluster.apply(peer("a"));
    await sees(it, "BgpPeer", ["a"]);
  });

  test("pages: all of a long list, and one that expires between two pages", async () => {
    const names = Array.from({ length: 1_101 }, (_, at) => `p${String(at).padStart(4, "0")}`);
    await cluster.apply(peer("p0000"));
    const [made] = cluster.double.storage.list("bgppeers.causeway.dev");
    for (const name of names) {
      if (made !== undefined)
        cluster.double.storage.put("bgppeers.causeway.dev", withMetadata(made, { name, uid: name }));
    }
    const { faults } = cluster.double;
    faults.add({ user: "controller", verb: "list" }, { type: "delay", ms: 0 }, 1);
    faults.add({ user: "controller", verb: "list" }, { type: "status", code: 410, reason: "Expired" }, 1);
    const it = await watching();
    expect(it.names("BgpPeer")).toHaveLength(1_101);
    const lists = cluster.double.access.uses().filter(({ user, verb }) => user === "controller" && verb === "list");
    expect(lists).toHaveLength(1);
  });

  test("a write is repeated when the server is busy, and fails as what the caller can act on", async () => {
    await cluster.apply(peer("a"));
    const it = await watching();
    const { faults } = cluster.double;
    const busy = { type: "status", code: 429, reason: "TooManyRequests", retryAfterSeconds: 0 } as const;
    faults.add({ user: "controller", verb: "patch" }, busy, 2);
    await it.store.applyStatus(ref("a"), accepted, controller);
    faults.add({ user: "controller", verb: "patch" }, { type: "status", code: 500, reason: "InternalError" }, 1);
    await expect(it.store.applyStatus(ref("a"), accepted, controller)).rejects.toThrow(StoreUnavailableError);
    faults.add({ user: "controller", verb: "patch" }, { type: "lose-answer" }, 1);
    await expect(it.store.applyStatus(ref("a"), {}, controller)).rejects.toThrow(StoreUnavailableError);
    await it.store.applyStatus(ref("a"), {}, controller);
    const nonsense = it.store.applyStatus(ref("a"), { conditions: [{ type: "A", status: "Perhaps" }] }, controller);
    await expect(nonsense).rejects.toMatchObject({ name: "StoreRefusedError" });
    await cluster.delete(peer("a"));
    await cluster.apply(peer("a"));
    // Either the deletion has been seen by now, or the uid says that it is another object.
    const outcome = await it.store.applyStatus(ref("a"), accepted, controller).catch((error: unknown) => error);
    if (outcome !== undefined) expect(outcome).toBeInstanceOf(StoreNotFoundError);
  });

  test("a token that is no longer good: what replaces it is used", async () => {
    await cluster.apply(peer("a"));
    let token = cluster.user("controller");
    const config = { ...cluster.config(token, relay.url), token: () => token };
    followed = await follow(config, PEERS);
    cluster.double.access.revoke(token);
    cluster.double.endWatches();
    await eventually(() => expect(followed?.warnings.join("")).toContain("401"));
    await cluster.apply(peer("b"));
    cluster.double.allow("renewed", "controller");
    token = "renewed";
    await sees(followed, "BgpPeer", ["a", "b"]);
  });

  test("a certificate of another authority is not believed, a client's own counts", async () => {
    const { ca, ...config } = cluster.config("none");
    const certificate = cluster.double.clientCertificate("controller");
    const own = { ...config, ca, token: () => undefined, certificate: () => certificate };
    followed = await follow(own, PEERS);
    expect(cluster.double.access.uses().map(({ user }) => user)).toContain("controller");
    followed.close();
    const stranger = await Cluster.start();
    const client = new ApiClient({ config: { ...own, ca: () => stranger.double.ca }, userAgent: "causeway-test" });
    try {
      const asked = client.ask({ method: "GET", path: "/api/v1/namespaces", signal: AbortSignal.timeout(20_000) });
      await expect(asked).rejects.toThrow(/certificate/);
    } finally {
      client.close();
      await stranger.close();
    }
  });

  test("a storm of faults and changes: in the end the view is what the server has", async () => {
    const it = await watching();
    let seed = 7;
    const random = (limit: number): number => {
      seed = (seed * 1_103_515_245 + 12_345) % 2_147_483_648;
      return Math.floor((seed / 2_147_483_648) * limit);
    };
    const trouble: readonly (() => void | Promise<void>)[] = [
      () => relay.cut(),
      () => cluster.double.endWatches(),
      () => cluster.double.compact(),
      () => cluster.double.restart(),
      () =>
        cluster.double.faults.add({ user: "controller" }, { type: "status", code: 500, reason: "InternalError" }, 2),
      () => cluster.double.faults.add({ user: "controller", verb: "list" }, { type: "truncate" }, 1),
      () => {
        relay.swallow();
        relay.heal();
      },
    ];
    for (let round = 0; round < 120; round++) {
      const name = `p${random(12)}`;
      if (random(3) === 0) await cluster.delete(peer(name)).catch(() => undefined);
      else await cluster.apply(peer(name, 1 + random(60_000)));
      if (random(4) === 0) await trouble[random(trouble.length)]?.();
    }
    cluster.double.faults.clear();
    const wanted = cluster.double.storage
      .list("bgppeers.causeway.dev")
      .map(({ metadata }) => [metadata.name, metadata.resourceVersion]);
    await eventually(() => {
      const seen = it.view.list("BgpPeer").map(({ metadata }) => [metadata.name, metadata.resourceVersion]);
      expect(seen).toEqual(wanted);
    });
  });
});
