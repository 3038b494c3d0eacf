import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { TrafficReport } from "../../lab/traffic/report.ts";
import { at, type Background, SystemLab, until } from "../support/system-lab.ts";

const GATEWAYS = ["gateway-a", "gateway-b"];
const VIPS = ["198.51.100.1", "2001:db8:100::1"];
const TIMEOUT = ["--timeout", "3000"];

let lab: SystemLab;
beforeAll(async () => {
  lab = await SystemLab.start("rolling", { example: "default" });
});
afterAll(() => lab?.close());

const carriedBy = async (node: string): Promise<number> =>
  ((await lab.proxy(node))?.services ?? []).reduce((sum, { packets }) => sum + packets, 0);

/** Held TCP connections and new ones, of both families, until both instances carry them. */
async function traffic(): Promise<readonly Background[]> {
  const before = await Promise.all(GATEWAYS.map(carriedBy));
  const running = VIPS.flatMap((vip) => [
    lab.background({
      to: at(vip, 8080),
      protocol: "tcp",
      more: ["--keep", "--connections", "100", "--interval", "100", ...TIMEOUT],
    }),
    lab.background({ to: at(vip, 8080), protocol: "tcp", more: ["--rate", "100", ...TIMEOUT] }),
  ]);
  await until(
    () => Promise.all(GATEWAYS.map(carriedBy)),
    (now) => now.every((packets, index) => packets > (before[index] ?? 0) + 1_000),
    30_000,
    (now) => `no traffic: ${now}`,
    100,
  );
  return running;
}

const ended = (running: readonly Background[]): Promise<TrafficReport[]> =>
  Promise.all(running.map((background) => background.stop()));

const harm = (reports: readonly TrafficReport[]) =>
  reports.map(({ to, lost, broken = [], moved = [] }) => ({ to, lost, broken: broken.length, moved: moved.length }));

const NO_HARM = VIPS.flatMap((vip) => [0, 0].map(() => ({ to: at(vip, 8080), lost: 0, broken: 0, moved: 0 })));

const routesOf = async (vip: string): Promise<string[]> =>
  (await lab.status()).vips.find(({ address }) => address === vip)?.nextHops ?? [];

const gatewayA = async () => (await lab.status()).nodes.find(({ name }) => name === "gateway-a");

describe("an instance that is ended in order", () => {
  /**
   * Promise: instances can be ended and started again, one after the other, under load: no connection breaks and none is
   * lost. The network of an ended instance is gone, as that of a deleted pod: an end that came too early would show.
   */
  it("rolls without harm", async () => {
    const running = await traffic();
    console.log(await lab.lab("restart", ...GATEWAYS));
    const reports = await ended(running);
    expect(harm(reports)).toEqual(NO_HARM);
    for (const report of reports) expect(report.answered).toBeGreaterThan(500);
    const nodes = (await lab.status()).nodes.filter(({ name }) => GATEWAYS.includes(name));
    for (const { processes } of nodes) expect(processes.map(({ restarts }) => restarts)).toEqual([0, 0]);
  });

  /** Promise: an instance goes on for as long as packets come, though its VIPs are withdrawn, and ends when they do not. */
  it("waits for a router that is slow to move", async () => {
    // A router whose forwarding does not follow its BGP: it sends all to gateway-a, until it is told otherwise.
    const stuck = (verb: string): Promise<string> =>
      lab.sh(
        "router",
        `ip route ${verb} 198.51.100.1/32 via 192.0.2.2; ip route ${verb} 2001:db8:100::1/128 via 2001:db8:e::2 metric 1`,
      );
    await stuck("add");
    const before = await carriedBy("gateway-b");
    const running = VIPS.map((vip) =>
      lab.background({ to: at(vip, 8080), protocol: "tcp", more: ["--rate", "50", ...TIMEOUT] }),
    );
    const start = await carriedBy("gateway-a");
    await until(
      () => carriedBy("gateway-a"),
      (now) => now > start + 300,
      20_000,
      () => "no traffic",
    );
    await lab.lab("drain", "gateway-a");
    await until(
      () => routesOf("198.51.100.1"),
      (hops) => hops.join() === "gateway-b",
      10_000,
      (hops) => `via ${hops}`,
    );
    const withdrawn = await carriedBy("gateway-a");
    await until(
      () => carriedBy("gateway-a"),
      (now) => now > withdrawn + 1_000,
      20_000,
      () => "it has ended too early",
    );
    expect((await gatewayA())?.draining).toBe(true);
    await stuck("del");
    await until(
      gatewayA,
      (node) => node?.stopped === true,
      10_000,
      (node) => `it does not end: ${JSON.stringify(node)}`,
    );
    expect(await carriedBy("gateway-b")).toBeGreaterThan(before);
    const reports = await ended(running);
    expect(harm(reports).map(({ lost }) => lost)).toEqual([0, 0]);
    expect(lab.log("gateway-a", "proxy")).not.toContain("packets still come");
    await lab.lab("start", "gateway-a");
    await lab.converged();
  });

  /** Control: an instance that is gone without a word, and that no BFD watches, takes connections along. */
  it("is missed when it goes without a word", async () => {
    const running = await traffic();
    for (const device of ["ext0", "svc0"]) await lab.lab("cut", "gateway-a", device);
    await lab.lab("stop", "gateway-a");
    await until(
      () => routesOf("198.51.100.1"),
      (hops) => hops.join() === "gateway-b",
      30_000,
      (hops) => `via ${hops}`,
    );
    const reports = await ended(running);
    expect(harm(reports).reduce((sum, { lost }) => sum + lost, 0)).toBeGreaterThan(0);
    expect(harm(reports).reduce((sum, { broken }) => sum + broken, 0)).toBeGreaterThan(0);
  });
});
