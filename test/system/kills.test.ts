import { readFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { TrafficReport } from "../../lab/traffic/report.ts";
import { type LabSnapshot, labSnapshot, programmedSinceDeath } from "../support/lab-snapshot.ts";
import { at, type Background, SystemLab, until } from "../support/system-lab.ts";

const GATEWAYS = ["gateway-a", "gateway-b"];
const VIP4 = at("198.51.100.1", 8080);
const VIP6 = at("2001:db8:100::1", 8080);
const KEEP = ["--keep", "--connections", "50", "--interval", "100", "--timeout", "3000"];

let lab: SystemLab;
beforeAll(async () => {
  // What a change leaves behind for flows that exist is to be gone before a test ends.
  const short = "flowKeeping: { idleTimeoutSeconds: 1, datagramIdleTimeoutSeconds: 1 }";
  const manifests = { "gateway.yaml": (text: string) => text.replace("mode: DSR", `mode: DSR\n  ${short}`) };
  lab = await SystemLab.start("kills", { example: "default", manifests });
});
afterAll(() => lab?.close());

async function carried(): Promise<number> {
  const statuses = await Promise.all(GATEWAYS.map((node) => lab.proxy(node)));
  return statuses.flatMap((status) => status?.services ?? []).reduce((sum, { packets }) => sum + packets, 0);
}

/** Held UDP and TCP flows, and new connections all the time. */
async function traffic(): Promise<readonly Background[]> {
  const before = await carried();
  const started = [
    lab.background({ to: VIP4, protocol: "udp", more: KEEP }),
    lab.background({ to: VIP6, protocol: "tcp", more: KEEP }),
    lab.background({ to: VIP4, protocol: "tcp", more: ["--rate", "100", "--timeout", "3000"] }),
  ];
  await until(
    carried,
    (packets) => packets > before + 1000,
    20_000,
    () => "no traffic",
    100,
  );
  return started;
}

const stopAll = (running: readonly Background[]): Promise<TrafficReport[]> =>
  Promise.all(running.map((background) => background.stop()));

function expectNothingLost(reports: readonly TrafficReport[]): void {
  for (const { protocol, to, lost, broken = [], moved = [], answered } of reports) {
    expect({ protocol, to, lost, broken, moved }).toEqual({ protocol, to, lost: 0, broken: [], moved: [] });
    expect(answered).toBeGreaterThan(30);
  }
}

/** While something is down: new flows of both families and protocols, all of them answered. */
async function expectService(): Promise<void> {
  for (const to of [VIP4, VIP6])
    for (const protocol of ["tcp", "udp"] as const)
      expect(await lab.traffic({ to, protocol, more: ["--connections", "100"] })).toMatchObject({
        answered: 100,
        lost: 0,
      });
}

/** Waits until routes, rules, addresses, tables and processes are what they were, and converged besides. */
async function expectAsBefore(before: LabSnapshot): Promise<void> {
  await lab.converged();
  await until(
    () => labSnapshot(lab),
    (now) => JSON.stringify(now) === JSON.stringify(before),
    20_000,
    (now) => {
      const differs = Object.keys({ ...before, ...now }).filter(
        (k) => JSON.stringify(before[k]) !== JSON.stringify(now[k]),
      );
      const lines = differs.map((key) => {
        const [old, fresh] = [before[key] ?? [], now[key] ?? []];
        const gone = old.filter((line) => !fresh.includes(line));
        return `${key}: gone ${JSON.stringify(gone)}, new ${JSON.stringify(fresh.filter((line) => !old.includes(line)))}`;
      });
      return `not as before:\n${lines.join("\n")}`;
    },
    200,
  );
}

async function generations(): Promise<(number | undefined)[]> {
  return await Promise.all(GATEWAYS.map(async (node) => (await lab.proxy(node))?.generation));
}

describe("kill -9 under traffic", () => {
  /**
   * Promise: the data plane goes on without any of our processes, nothing is lost while it is down or when it comes back,
   * and what it left in the kernel is neither lost nor doubled. What is killed stays down until the flows of a whole
   * burst have been answered without it.
   */
  it.each([
    ["cluster", "controller"],
    ["cluster", "node"],
    ["gateway-a", "proxy"],
    ["gateway-a", "frontend"],
  ])("%s %s", async (node, name) => {
    const before = await labSnapshot(lab);
    const generation = await generations();
    const running = await traffic();
    await lab.lab("stop", node, name);
    await expectService();
    await lab.lab("start", node, name);
    await expectAsBefore(before);
    expectNothingLost(await stopAll(running));
    if (name === "proxy") {
      // It found everything in place: its plan was empty.
      expect(programmedSinceDeath(lab.log(node, name))).toEqual([{ changes: 0, transactions: 0 }]);
      expect((await generations()).slice(1)).toEqual(generation.slice(1));
    } else if (node === "cluster") {
      expect(await generations()).toEqual(generation);
    }
  });

  /** Promise: the same of gobgpd, which its frontend starts again by itself. */
  it("gobgpd", async () => {
    const before = await labSnapshot(lab);
    const pidOf = (): string => readFileSync(join(lab.folder, "run/gateway-a/gobgpd.pid"), "utf8").trim();
    const running = await traffic();
    const pid = pidOf();
    await lab.kill("gateway-a", Number(pid));
    await expectService();
    await until(
      pidOf,
      (now) => now !== "" && now !== pid,
      15_000,
      () => "gobgpd did not come back",
    );
    await expectAsBefore(before);
    expectNothingLost(await stopAll(running));
  });

  /** Promise: all processes of an instance may die at once; the other one, and the kernel of the dead one, carry on. */
  it("a whole gateway instance", async () => {
    const before = await labSnapshot(lab);
    const running = await traffic();
    await lab.lab("stop", "gateway-a");
    await lab.converged((status) => status.vips.every(({ nextHops }) => nextHops.join() === "gateway-b"));
    await expectService();
    await lab.lab("start", "gateway-a");
    await expectAsBefore(before);
    expectNothingLost(await stopAll(running));
    expect(programmedSinceDeath(lab.log("gateway-a", "proxy"))[0]).toEqual({ changes: 0, transactions: 0 });
  });
});

describe("a target that dies and comes back", () => {
  /**
   * Promise: only its own flows feel it, and the service is whole again as soon as the tables are. A TCP connection ends
   * when its target dies; a UDP flow goes on at another target, and stays there when the first one comes back. When all
   * that has ended, the tables are what they were.
   */
  it("takes only its own flows along", async () => {
    const before = await labSnapshot(lab);
    const running = await traffic();
    const [udp, tcp, fresh] = running;
    if (udp === undefined || tcp === undefined || fresh === undefined) throw new Error("no traffic");
    await lab.lab("stop", "target-2");
    await lab.proxies(GATEWAYS, ({ services }) => services.every(({ readyTargets }) => readyTargets === 3));
    await expectService();
    const tcpReport = await tcp.stop();
    const newReport = await fresh.stop();
    await lab.lab("start", "target-2");
    await lab.proxies(GATEWAYS, ({ services }) => services.every(({ readyTargets }) => readyTargets === 4));
    const beforeReturn = await carried();
    await until(
      carried,
      (packets) => packets > beforeReturn + 200,
      10_000,
      () => "no traffic",
    );
    const udpReport = await udp.stop();

    // Of 50 flows 12.5 are the target's; none at all, or more than 30, is one case in a million.
    const own = (tcpReport.broken ?? []).filter(({ target }) => target === "target-2");
    expect(own.length).toBeGreaterThan(0);
    expect(own.length).toBeLessThan(31);
    expect((tcpReport.broken ?? []).filter(({ target }) => target !== "target-2")).toEqual([]);
    // Connections begun between its death and the change of the tables.
    expect(newReport.lost).toBeLessThan(newReport.sent / 10);

    const moved = udpReport.moved ?? [];
    expect(moved.length).toBeGreaterThan(0);
    expect(moved.filter(({ from }) => from !== "target-2")).toEqual([]);
    expect(new Set(moved.map(({ connection }) => connection)).size).toBe(moved.length);
    for (const { target } of udpReport.broken ?? []) expect(target).toBe("target-2");
    await expectAsBefore(before);
    await expectService();
  });
});
