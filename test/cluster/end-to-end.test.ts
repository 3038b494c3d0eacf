import { globSync, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { isSeq, parseAllDocuments, parseDocument } from "yaml";
import { z } from "zod";
import type { TrafficReport } from "../../lab/traffic/report.ts";
import { HeldTraffic, type Seen } from "../support/faults/held-traffic.ts";
import { at, until } from "../support/system-lab.ts";
import { ECHO_PORT, TRACK_PORT, tracks, withListeners } from "../support/two-tracks.ts";
import { ApiLab } from "./support/api-lab.ts";
import { HAS_GATEWAY_API, IS_REAL, type Manifest, WITHOUT_GATEWAY_API } from "./support/cluster.ts";

/*
 * From `kubectl` to the packet: every process of the system runs on an API server, objects are changed over HTTP, and a
 * client behind a router holds connections to the VIPs, of both families, and makes new ones beside them.
 */

const EXAMPLE = fileURLToPath(new URL("../../examples/lab/default", import.meta.url));
const VIPS = ["198.51.100.1", "2001:db8:100::1"];
const TARGETS = Array.from({ length: 5 }, (_, index) => `target-${index + 1}`);
/** Pods of the Service `stable`; the others' is `canary`. */
const STABLE = TARGETS.slice(0, 2);
const CANARY = TARGETS.slice(2);
const PATIENCE_MS = 90_000;
const CONNECTIONS = 60;
const PROXY_LABEL = "service.kubernetes.io/service-proxy-name";

/** Of examples/lab/default, with five targets on two tracks, and without processes that belong to no node. */
function topology(): string {
  const document = parseDocument(readFileSync(`${EXAMPLE}/topology.yaml`, "utf8"));
  document.set("cluster", document.createNode([]));
  const members = document.getIn(["networks", "service", "members"]);
  if (!isSeq(members)) throw new TypeError("the example has no service network");
  for (const [index, name] of TARGETS.entries()) {
    const labels = { app: "echo", track: STABLE.includes(name) ? "stable" : "canary" };
    const echo = { tcp: [ECHO_PORT, TRACK_PORT], udp: [ECHO_PORT] };
    document.setIn(["nodes", name], document.createNode({ role: "target", labels, echo }));
    if (index < 4) continue;
    members.add(document.createNode({ node: name, ipv4: `10.1.0.${index + 11}`, ipv6: `fd00:1::${index + 11}` }));
  }
  return document.toString();
}

const manifestSchema = z.looseObject({
  apiVersion: z.string(),
  kind: z.string(),
  metadata: z.looseObject({ name: z.string() }),
});
function manifests(): readonly Manifest[] {
  const listener = { name: "tracks-tcp", protocol: "TCP", port: TRACK_PORT };
  const texts = globSync(`${EXAMPLE}/manifests/*.yaml`).map((file) => readFileSync(file, "utf8"));
  return [...texts.map((text) => withListeners(text, [listener])), tracks(1, 0)]
    .flatMap((text) => parseAllDocuments(text))
    .map((document) => manifestSchema.parse(document.toJS()))
    .filter(({ kind, metadata }) => kind !== "UDPRoute" || metadata.name !== "tracks");
}

const named = (kind: string, name: string): Manifest => {
  const found = manifests().find((manifest) => manifest.kind === kind && manifest.metadata.name === name);
  if (found === undefined) throw new TypeError(`there is no ${kind} ${name}`);
  return found;
};

const weights = (stable: number, canary: number) => ({
  spec: {
    rules: [
      {
        backendRefs: [
          { name: "stable", port: TRACK_PORT, weight: stable },
          { name: "canary", port: TRACK_PORT, weight: canary },
        ],
      },
    ],
  },
});
const label = (value: string | null) => ({ metadata: { labels: { [PROXY_LABEL]: value } } });

const namesIn = (reports: readonly TrafficReport[]): string[] =>
  [...new Set(reports.flatMap(({ targets }) => Object.keys(targets)))].sort();
const answeredIn = (reports: readonly TrafficReport[]): number[] => reports.map(({ answered }) => answered);
const destinations = (port: number): string[] => VIPS.map((vip) => at(vip, port));

describe.skipIf(!HAS_GATEWAY_API)(`a cluster, from its API server to the packet${WITHOUT_GATEWAY_API}`, () => {
  let lab: ApiLab;
  let held: HeldTraffic | undefined;
  let seen: Seen | undefined;

  /** Waits until new connections of both families are all answered, by exactly these. */
  async function answeredBy(port: number, targets: readonly string[]): Promise<void> {
    const wanted = VIPS.map(() => CONNECTIONS);
    await until(
      () => lab.ask(destinations(port), CONNECTIONS),
      (reports) =>
        JSON.stringify(answeredIn(reports)) === JSON.stringify(wanted) &&
        JSON.stringify(namesIn(reports)) === JSON.stringify(targets),
      PATIENCE_MS,
      (reports) => `port ${port} is answered by ${namesIn(reports).join(", ")}: ${answeredIn(reports).join(", ")}`,
    );
  }
  /** Waits until the router leads both VIPs to these. */
  const routedTo = (gateways: readonly string[]): Promise<unknown> =>
    until(
      async () => ({
        hops: await Promise.all(VIPS.map((vip) => lab.nextHops(vip))),
        instances: await lab.instances(),
      }),
      ({ hops }) => hops.every((nodes) => nodes.join() === gateways.join()),
      PATIENCE_MS,
      ({ hops, instances }) =>
        `the router leads VIPs to ${JSON.stringify(hops)}: ${JSON.stringify(instances).slice(0, 3000)}`,
    );
  /** States of a target in the instances' tables. */
  const statesOf = async (target: string): Promise<readonly (string | undefined)[]> =>
    (await lab.instances()).map(({ proxy }) => proxy?.targets.find(({ name }) => name === `default/${target}`)?.state);

  beforeAll(async () => {
    if (!HAS_GATEWAY_API) return;
    lab = await ApiLab.start(topology());
    lab.startCluster();
    for (const manifest of manifests()) await lab.cluster.apply(manifest);
    for (const node of [...lab.gateways, ...TARGETS.slice(0, 3)]) await lab.createPod(node);
    await routedTo(lab.gateways);
    await answeredBy(ECHO_PORT, TARGETS.slice(0, 3));
    held = await HeldTraffic.start(lab, { connections: 120, newPerSecond: 40 });
  }, 240_000);
  afterAll(async () => {
    await lab?.close();
  });

  test("a pod that is created gets traffic; not while the node agent hears nothing of it", async () => {
    lab.agentsWay.refuse();
    await lab.createPod("target-4");
    await until(
      () => statesOf("target-4"),
      (states) => states.every((state) => state === "arriving"),
      PATIENCE_MS,
      (states) => `target-4 is ${JSON.stringify(states)}`,
    );
    expect(lab.exec("target-4", "ip", "addr", "show", "dev", "lo")).not.toContain(VIPS[0]);
    const reports = await lab.ask(destinations(ECHO_PORT), CONNECTIONS);
    expect(answeredIn(reports)).toEqual(VIPS.map(() => CONNECTIONS));
    expect(namesIn(reports)).toEqual(TARGETS.slice(0, 3));
    lab.agentsWay.heal();
    await answeredBy(ECHO_PORT, TARGETS.slice(0, 4));
    expect(lab.exec("target-4", "ip", "addr", "show", "dev", "lo")).toContain(VIPS[0]);
  });

  test(`the API server is killed${IS_REAL ? " (not a real one)" : ""}: traffic goes on; what changes afterwards arrives`, async () => {
    if (!IS_REAL) await lab.cluster.double.stop();
    try {
      const reports = await lab.ask(destinations(ECHO_PORT), CONNECTIONS);
      expect(answeredIn(reports)).toEqual(VIPS.map(() => CONNECTIONS));
      expect(namesIn(reports)).toEqual(TARGETS.slice(0, 4));
    } finally {
      if (!IS_REAL) await lab.cluster.double.start();
    }
    await lab.createPod("target-5");
    await answeredBy(ECHO_PORT, TARGETS);
  });

  test("the leading controller is killed: routes go on to count, and a successor does the rest", async () => {
    await answeredBy(TRACK_PORT, STABLE);
    const leader = await lab.leader();
    expect(leader).toBeDefined();
    await lab.kill(leader ?? "");
    // Proxies read routes by themselves: weights change while nobody leads.
    await lab.cluster.patch(named("TCPRoute", "tracks"), weights(1, 1));
    await answeredBy(TRACK_PORT, TARGETS);
    await lab.cluster.patch(named("TCPRoute", "tracks"), weights(0, 1));
    // Who has targets is the controller's to say: a Service without our label has none.
    await lab.cluster.patch(named("Service", "canary"), label(null));
    await until(
      () => lab.ask(destinations(TRACK_PORT), 10, 500),
      (reports) => answeredIn(reports).every((answered) => answered === 0),
      PATIENCE_MS,
      (reports) => `${namesIn(reports).join(", ")} answer`,
    );
    expect([undefined, leader]).not.toContain(await lab.leader());
    await lab.cluster.patch(named("Service", "canary"), label("causeway"));
    await answeredBy(TRACK_PORT, CANARY);
  });

  test("a pod that is deleted serves its connections to their end, and gets no new ones", async () => {
    const { ended } = await lab.deletePod("target-2", 60);
    await answeredBy(ECHO_PORT, ["target-1", ...CANARY]);
    seen = await held?.stop();
    // Nobody is left: the pod ends long before its time.
    await ended;
    expect(await lab.cluster.get(lab.podManifest("target-2"))).toBeUndefined();
    await answeredBy(ECHO_PORT, ["target-1", ...CANARY]);
  });

  test("through all of this no connection broke or moved, and no new one was lost", () => {
    expect(seen).toMatchObject({ held: 120, broken: [], moved: [], lost: 0 });
    expect(seen?.newConnections).toBeGreaterThan(100);
    expect(seen?.newTargets).toEqual(TARGETS);
  });

  test("a Gateway that is deleted takes its VIPs along, and brings them back", async () => {
    const gateway = named("Gateway", "edge");
    await lab.cluster.delete(gateway);
    await routedTo([]);
    expect(answeredIn(await lab.ask(destinations(ECHO_PORT), 3, 500))).toEqual([0, 0]);
    await lab.cluster.create(gateway);
    await routedTo(lab.gateways);
    await answeredBy(ECHO_PORT, ["target-1", ...CANARY]);
  });
});
