import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { z } from "zod";
import { HeldTraffic, outageMs, type Seen } from "../support/faults/held-traffic.ts";
import { at, SystemLab, until } from "../support/system-lab.ts";
import { documents, ECHO_PORT } from "../support/two-tracks.ts";

const GATEWAYS = ["gateway-a", "gateway-b"] as const;
const VIPS = ["198.51.100.1", "2001:db8:100::1"];
const SERVICE = "svc0";
const LOAD = { connections: 200, newPerSecond: 100 };
/** What tells the fault: long enough that a connection begun in it is late for certain. */
const CONTROL_MS = 2_500;

/** Flows that exist are learned for so long after a change: each speaks four times a second here. */
const LEARN_SECONDS = 3;
const learnShortly = (text: string): string =>
  text.replace(/^ {2}mode: .*/m, (mode) => `${mode}\n  flowKeeping: { idleTimeoutSeconds: ${LEARN_SECONDS} }`);

const TYPES = ["TCP", "UDP", "ICMP"] as const;

const check = (type: (typeof TYPES)[number]): string =>
  documents([
    {
      apiVersion: "causeway.dev/v1alpha1",
      kind: "HealthCheck",
      metadata: { name: "echo" },
      spec: { targetRefs: [{ name: "echo" }], type },
    },
  ]);

const healthSchema = z.object({
  vips: z.array(z.object({ address: z.string(), ready: z.boolean() })),
  moves: z.object({ learningSlots: z.int(), settledSlots: z.int() }),
  health: z.object({
    targets: z.array(z.object({ target: z.string(), address: z.string(), state: z.string() })),
    networks: z.array(z.object({ interface: z.string(), family: z.string(), reachable: z.boolean() })),
  }),
});
type Health = z.infer<typeof healthSchema>;

let lab: SystemLab;
beforeAll(async () => {
  lab = await SystemLab.start("health", { example: "default", manifests: { "gateway.yaml": learnShortly } });
});
afterAll(() => lab?.close());

async function health(node: string): Promise<Health> {
  return healthSchema.parse(await lab.proxyStatus(node, 10_000));
}

/** Waits until this holds of what each of the instances says. */
async function all(nodes: readonly string[], what: string, right: (one: Health) => boolean): Promise<void> {
  await until(
    () => Promise.all(nodes.map(health)),
    (each) => each.every(right),
    20_000,
    (each) =>
      `not ${what}: ${JSON.stringify(each.map(({ vips, health: { targets, networks } }) => ({ vips, targets, networks })))}`,
  );
}

const outOf = ({ health: { targets } }: Health): string[] => [
  ...new Set(targets.filter(({ state }) => state !== "up").map(({ target }) => target)),
];
const isWhole = (one: Health): boolean => one.health.targets.length > 0 && outOf(one).length === 0;

const cut = (node: string): Promise<string> => lab.lab("cut", node, SERVICE);
const mend = (node: string): Promise<string> => lab.lab("mend", node, SERVICE);

/** Waits until the router sends to these, and to no other instance. */
async function routed(...gateways: readonly string[]): Promise<void> {
  await until(
    () => lab.status(),
    ({ vips }) => vips.every(({ nextHops }) => [...nextHops].sort().join() === gateways.join()),
    20_000,
    ({ vips }) => `the router sends to ${JSON.stringify(vips)}`,
    100,
  );
}

/** New connections of both families, all of them answered, and by whom. */
async function answering(): Promise<readonly string[]> {
  const targets = new Set<string>();
  for (const vip of VIPS) {
    const report = await lab.traffic({ to: at(vip, ECHO_PORT), protocol: "tcp", more: ["--connections", "100"] });
    expect(report, vip).toMatchObject({ answered: 100, lost: 0 });
    for (const target of Object.keys(report.targets)) targets.add(target);
  }
  return [...targets].sort();
}

/** What clients see while a node's interface to the service network loses all packets, and after. */
async function seenWhileCut(node: string, meanwhile: () => Promise<void>, after: () => Promise<void>): Promise<Seen> {
  const traffic = await HeldTraffic.start(lab, LOAD);
  await cut(node);
  await meanwhile();
  await mend(node);
  await after();
  return await traffic.stop();
}

describe.each(["DSR", "NAT"] as const)("%s", (mode) => {
  beforeAll(async () => {
    lab.edit("gateway.yaml", (text) => text.replace(/mode: (DSR|NAT)/, `mode: ${mode}`));
    await lab.proxies(GATEWAYS, (status) => status.mode === mode);
    await lab.converged();
  });

  it.each(TYPES)("%s: a target that loses all packets though its pod is ready is out, and comes back", async (type) => {
    lab.write("health.yaml", check(type));
    await all(GATEWAYS, "asked", isWhole);
    const seen = await seenWhileCut(
      "target-1",
      async () => {
        await all(GATEWAYS, "out", (one) => outOf(one).join() === "default/target-1");
        expect(await answering()).toEqual(["target-2", "target-3", "target-4"]);
      },
      () => all(GATEWAYS, "back", isWhole),
    );
    expect(seen.held).toBe(LOAD.connections);
    expect(seen.broken.filter(({ target }) => target !== "target-1")).toEqual([]);
    expect(seen.moved).toEqual([]);
    console.log(`${mode} ${type}: new connections were not served at once for ${outageMs(seen)} ms`);
    expect(await answering()).toContain("target-1");
  });

  it("negative control: without a check it is not noticed", async () => {
    lab.remove("health.yaml");
    await all(GATEWAYS, "asked no more", ({ health: { targets } }) => targets.length === 0);
    const seen = await seenWhileCut(
      "target-1",
      () => new Promise((resolve) => setTimeout(resolve, CONTROL_MS)),
      async () => undefined,
    );
    expect(outageMs(seen)).toBeGreaterThan(1000);
  });

  it("an instance that is cut off from all targets withdraws its VIPs; the other one serves by unchanged tables", async () => {
    lab.write("health.yaml", check("TCP"));
    // Flows that begin while a change is learned are known to one instance only.
    const settled = ({ moves }: Health): boolean => moves.learningSlots + moves.settledSlots === 0;
    await all(GATEWAYS, "asked and settled", (one) => isWhole(one) && settled(one));
    const owners = async (): Promise<readonly string[]> => {
      const listing = await lab.sh("gateway-b", "nft list table netdev causeway");
      return listing.split(/^(?=\t[a-z])/m).filter((part) => part.startsWith("\tmap lut-"));
    };
    const before = await owners();
    expect(before.length).toBeGreaterThan(0);
    const seen = await seenWhileCut(
      "gateway-a",
      async () => {
        await all(["gateway-a"], "withdrawn", ({ vips }) => vips.every(({ ready }) => !ready));
        await routed("gateway-b");
        expect(await answering()).toEqual(["target-1", "target-2", "target-3", "target-4"]);
      },
      async () => {
        await all(GATEWAYS, "back", (one) => isWhole(one) && one.vips.every(({ ready }) => ready));
        await routed(...GATEWAYS);
      },
    );
    expect(seen.broken).toEqual([]);
    expect(seen.moved).toEqual([]);
    expect(await owners()).toEqual(before);
  });
});
