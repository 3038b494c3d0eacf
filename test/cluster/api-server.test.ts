import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { z } from "zod";
import { ApiError } from "#shared/store/kubernetes/api-error.ts";
import { Cluster, HAS_GATEWAY_API, IS_REAL, WITHOUT_GATEWAY_API } from "./support/cluster.ts";

/*
 * What the cluster tests rely on. It holds for the double, and for a real API server where KUBEBUILDER_ASSETS names one:
 * so it tells where the double is wrong.
 */

const objectSchema = z.looseObject({
  metadata: z.looseObject({
    name: z.string(),
    uid: z.string(),
    resourceVersion: z.string(),
    generation: z.int().optional(),
    labels: z.record(z.string(), z.string()).optional(),
    deletionTimestamp: z.string().optional(),
    managedFields: z.array(z.looseObject({ manager: z.string(), operation: z.string() })).default([]),
  }),
});
const listSchema = z.looseObject({
  metadata: z.looseObject({ resourceVersion: z.string(), continue: z.string().optional() }),
  items: z.array(objectSchema),
});
const eventSchema = z.looseObject({
  type: z.string(),
  object: z.looseObject({
    code: z.int().optional(),
    metadata: z.looseObject({ name: z.string().optional(), resourceVersion: z.string().optional() }).optional(),
  }),
});

const PEERS = "/apis/causeway.dev/v1alpha1/namespaces/default/bgppeers";
const SLICES = "/apis/discovery.k8s.io/v1/namespaces/default/endpointslices";
const SERVICES = "/api/v1/namespaces/default/services";
const PODS = "/api/v1/namespaces/default/pods";
const APPLY = "application/apply-patch+yaml";
const MERGE = "application/merge-patch+json";

let cluster: Cluster;
beforeAll(async () => {
  cluster = await Cluster.start();
});
afterAll(() => cluster.close());
beforeEach(async () => {
  for (const path of [PEERS, SLICES, SERVICES, PODS]) {
    for (const { metadata } of (await list(path)).items) {
      await ask("PATCH", `${path}/${metadata.name}`, { metadata: { finalizers: null } }, MERGE);
      await ask("DELETE", `${path}/${metadata.name}`, {
        kind: "DeleteOptions",
        apiVersion: "v1",
        gracePeriodSeconds: 0,
      }).catch(() => undefined);
    }
  }
});

async function ask(method: "GET" | "POST" | "PATCH" | "DELETE", path: string, body?: object, type?: string) {
  return objectSchema.loose().parse(await cluster.raw(method, path, body, type).then(orStatus));
}
/** A Status of success has no name. */
function orStatus(answer: unknown): unknown {
  const status = z.looseObject({ kind: z.literal("Status") }).safeParse(answer);
  return status.success ? { metadata: { name: "", uid: "", resourceVersion: "" } } : answer;
}
const list = async (path: string) => listSchema.parse(await cluster.raw("GET", path));
const fails = async (work: Promise<unknown>): Promise<string> => {
  const error = await work.then(
    () => undefined,
    (reason: unknown) => reason,
  );
  return error instanceof ApiError ? `${error.code} ${error.reason}` : String(error);
};

const peer = (name: string, spec: object = {}, metadata: object = {}) => ({
  apiVersion: "causeway.dev/v1alpha1",
  kind: "BgpPeer",
  metadata: { name, ...metadata },
  spec: { address: "192.0.2.1", asn: 65_000, localAsn: 65_001, ...spec },
});
const apply = (path: string, manager: string, body: object, force = false) =>
  ask("PATCH", `${path}?fieldManager=${manager}${force ? "&force=true" : ""}`, body, APPLY);
const condition = (type: string) => ({
  type,
  status: "True",
  reason: "R",
  message: "",
  lastTransitionTime: "2026-01-01T00:00:00Z",
});

async function events(path: string, count: number): Promise<string[]> {
  const seen: string[] = [];
  const abort = new AbortController();
  for await (const value of cluster.admin.watch(path, abort.signal)) {
    const { type, object } = eventSchema.parse(value);
    seen.push(`${type} ${object.metadata?.name ?? object.code ?? ""}`.trim());
    if (seen.length === count) break;
  }
  return seen;
}

describe("writes", () => {
  test("an object is created once; a stale resource version is a conflict", async () => {
    const made = await ask("POST", PEERS, peer("a"));
    expect(await fails(ask("POST", PEERS, peer("a")))).toBe("409 AlreadyExists");
    await ask("PATCH", `${PEERS}/a`, { metadata: { labels: { x: "1" } } }, MERGE);
    const { resourceVersion } = made.metadata;
    const stale = ask("PATCH", `${PEERS}/a`, { metadata: { resourceVersion, labels: { x: "2" } } }, MERGE);
    expect(await fails(stale)).toBe("409 Conflict");
    expect(await fails(ask("GET", `${PEERS}/none`))).toBe("404 NotFound");
    const elsewhere = "/apis/causeway.dev/v1alpha1/namespaces/none/bgppeers";
    expect(await fails(ask("POST", elsewhere, peer("a")))).toBe("404 NotFound");
  });

  test("schemas: unknown fields are pruned, defaults filled in, nonsense refused, rules kept", async () => {
    const made = await ask("POST", PEERS, peer("a", { unknown: 1 }));
    expect(made).toMatchObject({ spec: { port: 179, type: "BGP", holdTimeSeconds: 9 } });
    expect(made).not.toHaveProperty("spec.unknown");
    expect(await fails(ask("POST", PEERS, peer("b", { port: 0 })))).toBe("422 Invalid");
    expect(await fails(ask("POST", PEERS, peer("b", { ttlSecurity: true, multihopTtl: 3 })))).toBe("422 Invalid");
    expect(await fails(ask("POST", PEERS, peer("Not-a-name")))).toBe("422 Invalid");
    expect(await fails(ask("POST", PEERS, peer("b", {}, { labels: { "not ok": "" } })))).toBe("422 Invalid");
  });

  test("status and the rest are written apart; generation counts changes of the rest", async () => {
    const made = await ask("POST", PEERS, { ...peer("a"), status: { conditions: [condition("Early")] } });
    expect(made).not.toHaveProperty("status.conditions[0]");
    expect(made.metadata.generation).toBe(1);
    const status = { status: { conditions: [condition("Accepted")] }, spec: { port: 1 } };
    const told = await ask("PATCH", `${PEERS}/a/status`, status, MERGE);
    expect(told).toMatchObject({ spec: { port: 179 }, metadata: { generation: 1 } });
    const changed = await ask("PATCH", `${PEERS}/a`, { spec: { port: 1790 }, status: null }, MERGE);
    expect(changed).toMatchObject({ metadata: { generation: 2 }, status: { conditions: [{ type: "Accepted" }] } });
    const same = await ask("PATCH", `${PEERS}/a`, { spec: { port: 1790 } }, MERGE);
    expect(same.metadata.resourceVersion).toBe(changed.metadata.resourceVersion);
  });
});

describe("server-side apply", () => {
  test("conflicts name their owner, force takes over, what is no longer stated goes", async () => {
    await apply(`${PEERS}/a`, "one", peer("a", { port: 1000, holdTimeSeconds: 30 }));
    const other = { ...peer("a"), spec: { port: 2000 } };
    expect(await fails(apply(`${PEERS}/a`, "two", other))).toBe("409 Conflict");
    await expect(cluster.raw("PATCH", `${PEERS}/a?fieldManager=two`, other, APPLY)).rejects.toThrow(
      /"one".*\.spec\.port/,
    );
    const taken = await apply(`${PEERS}/a`, "two", other, true);
    expect(taken).toMatchObject({ spec: { port: 2000, holdTimeSeconds: 30, asn: 65_000 } });
    expect(taken.metadata.managedFields.map(({ manager }) => manager).sort()).toEqual(["one", "two"]);
    // One states neither any more: its hold time falls back to the default, the port is Two's.
    const less = await apply(`${PEERS}/a`, "one", peer("a"));
    expect(less).toMatchObject({ spec: { port: 2000, holdTimeSeconds: 9 } });
    const again = await apply(`${PEERS}/a`, "one", peer("a"));
    expect(again.metadata.resourceVersion).toBe(less.metadata.resourceVersion);
    expect(await fails(ask("PATCH", `${PEERS}/a`, peer("a"), APPLY))).toBe("400 BadRequest");
  });

  test("lists that are maps merge item by item, and each manager's items go with it", async () => {
    await ask("POST", PEERS, peer("a"));
    const state = (manager: string, body: object) =>
      apply(`${PEERS}/a/status`, manager, {
        apiVersion: "causeway.dev/v1alpha1",
        kind: "BgpPeer",
        metadata: { name: "a" },
        status: body,
      });
    await state("one", { instances: [{ name: "x", state: "Idle", message: "m" }] });
    const both = await state("two", { instances: [{ name: "y", state: "Idle" }], conditions: [condition("Accepted")] });
    expect(both).toMatchObject({
      status: { instances: [{ name: "x" }, { name: "y" }], conditions: [{ type: "Accepted" }] },
    });
    const left = await state("one", {});
    expect(left).toMatchObject({ status: { instances: [{ name: "y" }] } });
    expect(await fails(apply(`${PEERS}/none/status`, "one", { ...peer("none"), status: {} }))).toBe("404 NotFound");
  });

  test("an update takes what it changes from who applied it", async () => {
    await apply(`${PEERS}/a`, "one", peer("a", { port: 1000 }));
    await ask("PATCH", `${PEERS}/a?fieldManager=editor`, { spec: { port: 1001 } }, MERGE);
    expect(await fails(apply(`${PEERS}/a`, "one", peer("a", { port: 1000 })))).toBe("409 Conflict");
    expect(await apply(`${PEERS}/a`, "one", peer("a"))).toMatchObject({ spec: { port: 1001 } });
  });

  test("a uid or a resource version that is not the object's is a conflict", async () => {
    const made = await apply(`${PEERS}/a`, "one", peer("a"));
    const { uid, resourceVersion } = made.metadata;
    expect((await apply(`${PEERS}/a`, "one", peer("a", { port: 7 }, { uid, resourceVersion }))).metadata.uid).toBe(uid);
    expect(await fails(apply(`${PEERS}/a`, "one", peer("a", { port: 8 }, { resourceVersion })))).toBe("409 Conflict");
    const other = uid.replace(/^./, (digit) => (digit === "0" ? "1" : "0"));
    expect(await fails(apply(`${PEERS}/a`, "one", peer("a", {}, { uid: other })))).toBe("409 Conflict");
    expect(await fails(apply(`${PEERS}/none`, "one", peer("none", {}, { uid })))).toBe("409 Conflict");
  });
});

describe("lists and watches", () => {
  test("pages show the objects as they were when the first one was made", async () => {
    for (const name of ["a", "b", "c"]) await ask("POST", PEERS, peer(name));
    const first = await list(`${PEERS}?limit=2`);
    expect(first.items.map(({ metadata }) => metadata.name)).toEqual(["a", "b"]);
    await ask("DELETE", `${PEERS}/c`);
    const second = await list(`${PEERS}?limit=2&continue=${first.metadata.continue}`);
    expect(second.items.map(({ metadata }) => metadata.name)).toEqual(["c"]);
    expect(second.metadata).toMatchObject({ resourceVersion: first.metadata.resourceVersion });
    expect(second.metadata.continue ?? "").toBe("");
  });

  test("labels and fields select; items of built-in kinds do not say what they are", async () => {
    for (const [name, tier] of [
      ["a", "edge"],
      ["b", "core"],
    ] as const) {
      await ask("POST", SERVICES, {
        apiVersion: "v1",
        kind: "Service",
        metadata: { name, labels: { tier } },
        spec: { ports: [{ port: 80 }] },
      });
    }
    const names = async (query: string) =>
      (await list(`${SERVICES}?${query}`)).items.map(({ metadata }) => metadata.name);
    expect(await names("labelSelector=tier%3Dedge")).toEqual(["a"]);
    expect(await names("labelSelector=tier+notin+(edge),tier")).toEqual(["b"]);
    expect(await names("labelSelector=tier+in+(edge,core)")).toEqual(["a", "b"]);
    expect(await names("labelSelector=!tier")).not.toContain("a");
    expect(await names("fieldSelector=metadata.name%3Db")).toEqual(["b"]);
    expect(await fails(names("fieldSelector=spec.none%3Db"))).toBe("400 BadRequest");
    expect((await list(SERVICES)).items[0]).not.toHaveProperty("kind");
  });

  test("a watch tells what changed since, and what comes into and goes out of its selection", async () => {
    const { metadata } = await list(PEERS);
    await ask("POST", PEERS, peer("a", {}, { labels: { tier: "edge" } }));
    await ask("POST", PEERS, peer("b"));
    await ask("PATCH", `${PEERS}/b`, { metadata: { labels: { tier: "edge" } } }, MERGE);
    await ask("PATCH", `${PEERS}/a`, { metadata: { labels: { tier: "core" } } }, MERGE);
    await ask("PATCH", `${PEERS}/b`, { spec: { port: 5 } }, MERGE);
    await ask("DELETE", `${PEERS}/b`);
    const since = `${PEERS}?watch=true&resourceVersion=${metadata.resourceVersion}`;
    expect(await events(`${since}&labelSelector=tier%3Dedge`, 5)).toEqual([
      "ADDED a",
      "ADDED b",
      "DELETED a",
      "MODIFIED b",
      "DELETED b",
    ]);
    expect(await events(`${since}`, 2)).toEqual(["ADDED a", "ADDED b"]);
    expect(await events(`${PEERS}?watch=true`, 1)).toEqual(["ADDED a"]);
  });

  test("a watch ends when its time is up, with a bookmark", async () => {
    const { metadata } = await list(PEERS);
    const query = `watch=true&resourceVersion=${metadata.resourceVersion}&timeoutSeconds=1&allowWatchBookmarks=true`;
    const seen = await events(`${PEERS}?${query}`, Number.POSITIVE_INFINITY);
    expect(new Set(seen)).toEqual(new Set(IS_REAL ? seen : ["BOOKMARK"]));
  });

  test.skipIf(IS_REAL)("what was compacted is gone: 410 for lists, an ERROR event for watches", async () => {
    for (const name of ["a", "b"]) await ask("POST", PEERS, peer(name));
    const { metadata } = await list(`${PEERS}?limit=1`);
    await ask("DELETE", `${PEERS}/b`);
    cluster.double.compact();
    expect(await fails(list(`${PEERS}?limit=1&continue=${metadata.continue}`))).toBe("410 Expired");
    expect(await events(`${PEERS}?watch=true&resourceVersion=${metadata.resourceVersion}`, 1)).toEqual(["ERROR 410"]);
  });
});

describe("deletion", () => {
  test("a finalizer holds an object; a precondition must hold", async () => {
    const made = await ask("POST", PEERS, peer("a", {}, { finalizers: ["causeway.dev/hold"] }));
    const wrong = { kind: "DeleteOptions", apiVersion: "v1", preconditions: { uid: "other" } };
    expect(await fails(ask("DELETE", `${PEERS}/a`, wrong))).toBe("409 Conflict");
    await ask("DELETE", `${PEERS}/a`, { ...wrong, preconditions: { uid: made.metadata.uid } });
    expect((await ask("GET", `${PEERS}/a`)).metadata.deletionTimestamp).toBeDefined();
    await ask("PATCH", `${PEERS}/a`, { metadata: { finalizers: null } }, MERGE);
    expect(await fails(ask("GET", `${PEERS}/a`))).toBe("404 NotFound");
  });

  test("a pod on a node waits for its kubelet", async () => {
    const pod = {
      apiVersion: "v1",
      kind: "Pod",
      metadata: { name: "a" },
      spec: { nodeName: "n", containers: [{ name: "c", image: "i" }] },
    };
    await ask("POST", PODS, pod);
    await ask("DELETE", `${PODS}/a`);
    expect((await ask("GET", `${PODS}/a`)).metadata.deletionTimestamp).toBeDefined();
    await ask("DELETE", `${PODS}/a`, { kind: "DeleteOptions", apiVersion: "v1", gracePeriodSeconds: 0 });
    expect(await fails(ask("GET", `${PODS}/a`))).toBe("404 NotFound");
  });

  // The garbage collector is part of the controller manager, which is not started beside a real API server.
  test.skipIf(IS_REAL)("what is owned goes with its last owner", async () => {
    const [one, two] = [await ask("POST", PEERS, peer("one")), await ask("POST", PEERS, peer("two"))];
    const ownerReferences = [one, two].map(({ metadata: { name, uid } }) => ({
      apiVersion: "causeway.dev/v1alpha1",
      kind: "BgpPeer",
      name,
      uid,
    }));
    const slice = { apiVersion: "discovery.k8s.io/v1", kind: "EndpointSlice", addressType: "IPv4", endpoints: [] };
    await ask("POST", SLICES, { ...slice, metadata: { name: "s", ownerReferences } });
    await ask("DELETE", `${PEERS}/one`);
    await expect
      .poll(async () => await cluster.raw("GET", `${SLICES}/s`))
      .toMatchObject({ metadata: { ownerReferences: [{ name: "two" }] } });
    await ask("DELETE", `${PEERS}/two`);
    await expect.poll(() => fails(ask("GET", `${SLICES}/s`))).toBe("404 NotFound");
  });
});

describe("access", () => {
  test("who has no token that counts is not let in; who has one is recorded", async () => {
    const { admin } = cluster;
    expect(await list(PEERS)).toBeDefined();
    if (IS_REAL) return;
    cluster.double.access.revoke("admin-token");
    expect(await fails(list(PEERS))).toBe("401 Unauthorized");
    cluster.double.allow("admin-token", "admin");
    expect(await admin.ask({ method: "GET", path: PEERS, signal: new AbortController().signal })).toBeDefined();
    expect(cluster.double.access.uses()).toContainEqual({
      user: "admin",
      verb: "list",
      group: "causeway.dev",
      resource: "bgppeers",
      namespace: "default",
    });
  });
});

describe.skipIf(!HAS_GATEWAY_API)(`the Gateway API's definitions${WITHOUT_GATEWAY_API}`, () => {
  const GATEWAYS = "/apis/gateway.networking.k8s.io/v1/namespaces/default/gateways";

  test("schemas and rules are enforced, and the versions that are served are told", async () => {
    const gateway = (listeners: readonly object[]) => ({
      apiVersion: "gateway.networking.k8s.io/v1",
      kind: "Gateway",
      metadata: { name: "gw" },
      spec: { gatewayClassName: "causeway", listeners },
    });
    const web = { name: "web", protocol: "TCP", port: 80 };
    expect(await fails(ask("POST", GATEWAYS, gateway([web, web])))).toBe("422 Invalid");
    expect(await fails(ask("POST", GATEWAYS, gateway([{ ...web, hostname: "a.example" }])))).toBe("422 Invalid");
    const made = await ask("POST", GATEWAYS, gateway([web]));
    expect(made).toMatchObject({ spec: { listeners: [{ allowedRoutes: { namespaces: { from: "Same" } } }] } });
    await ask("DELETE", `${GATEWAYS}/gw`);
    const group = await cluster.raw("GET", "/apis/gateway.networking.k8s.io");
    expect(group).toMatchObject({ preferredVersion: { version: "v1" } });
    expect(JSON.stringify(group)).not.toContain("v1alpha2");
  });
});
