import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { at, SystemLab, until } from "../support/system-lab.ts";

const GATEWAYS = ["gateway-a", "gateway-b"];
const VIPS = [at("198.51.100.1", 8080), at("2001:db8:100::1", 8080)];
const TARGETS = ["target-1", "target-2", "target-3", "target-4"];

let lab: SystemLab;
beforeAll(async () => {
  lab = await SystemLab.start("target-drain", { example: "default" });
});
afterAll(() => lab?.close());

const readyTargets = (count: number): Promise<void> =>
  lab.proxies(GATEWAYS, ({ services }) => services.every((service) => service.readyTargets === count));

const target2 = async () => (await lab.status()).nodes.find(({ name }) => name === "target-2");

describe("a target whose pod is deleted", () => {
  /** Promise: it keeps its connections to their end, gets no new flows, and is gone when nobody is left. */
  it("drains", async () => {
    const holding = VIPS.map((to) =>
      lab.traffic({
        to,
        protocol: "tcp",
        more: ["--keep", "--connections", "100", "--interval", "100", "--duration", "20"],
      }),
    );
    await until(
      () => lab.exec("target-2", "ss", "-Htn", "state", "established"),
      (text) => text.split("\n").length > 30,
      20_000,
      (text) => `not enough connections: ${text}`,
      100,
    );
    await lab.lab("drain", "target-2", "--grace", "60");
    await readyTargets(3);
    for (const to of VIPS) {
      const tcp = await lab.traffic({ to, protocol: "tcp", more: ["--connections", "100"] });
      expect(tcp, JSON.stringify(tcp)).toMatchObject({ answered: 100, lost: 0 });
      expect(Object.keys(tcp.targets)).toEqual(TARGETS.filter((name) => name !== "target-2"));
      // Of a datagram nothing tells whether its flow is new: for a while some still go to where their slot was.
      expect(await lab.traffic({ to, protocol: "udp", more: ["--connections", "100"] })).toMatchObject({
        answered: 100,
        lost: 0,
      });
    }
    expect(await target2()).toMatchObject({ draining: true, processes: [{ state: "running" }] });
    for (const report of await Promise.all(holding)) {
      expect(report).toMatchObject({ held: 100, broken: [], moved: [], lost: 0 });
      expect(Object.keys(report.targets)).toEqual(TARGETS);
    }
    await until(
      target2,
      (node) => node?.stopped === true,
      10_000,
      (node) => `it does not end: ${JSON.stringify(node)}`,
    );
    await lab.lab("start", "target-2");
    await readyTargets(4);
    await lab.converged();
  });

  /** Promise: all targets can be replaced, one after the other, and no new flow is lost. */
  it("can be replaced after another", async () => {
    const running = VIPS.map((to) =>
      lab.background({ to, protocol: "tcp", more: ["--rate", "100", "--timeout", "3000"] }),
    );
    console.log(await lab.lab("restart", ...TARGETS, "--grace", "20"));
    for (const background of running) {
      const { answered, lost } = await background.stop();
      expect(lost).toBe(0);
      expect(answered).toBeGreaterThan(500);
    }
  });
});
