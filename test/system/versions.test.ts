import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { EarlierVersion, earlierCommit, type Version } from "../support/earlier-version.ts";
import { at, type Background, SystemLab, until } from "../support/system-lab.ts";

/*
 * Versions that differ, as while an upgrade goes through a cluster: what each writes the other understands, and traffic
 * does not notice. docs/upgrade.md.
 */

const GATEWAYS = ["gateway-a", "gateway-b"];
const VIPS = ["198.51.100.1", "2001:db8:100::1"];
const TIMEOUT = ["--timeout", "3000"];
const commit = earlierCommit();

describe.skipIf(commit === undefined)(`together with ${commit ?? "an earlier commit (git knows none)"}`, () => {
  let earlier: EarlierVersion;
  let lab: SystemLab;
  let running: readonly Background[];

  beforeAll(async () => {
    earlier = new EarlierVersion(commit ?? "");
    earlier.choose("earlier", "controller", "node", "proxy", "frontend");
    lab = await SystemLab.start("versions", { example: "default", program: earlier.program });
  });
  afterAll(async () => {
    await lab?.close();
    earlier?.close();
  });

  /** Held TCP connections and new ones, of both families. */
  beforeEach(() => {
    running = VIPS.flatMap((vip) => [
      lab.background({
        to: at(vip, 8080),
        protocol: "tcp",
        more: ["--keep", "--connections", "100", "--interval", "100", ...TIMEOUT],
      }),
      lab.background({ to: at(vip, 8080), protocol: "tcp", more: ["--rate", "50", ...TIMEOUT] }),
    ]);
  });
  afterEach(async () => {
    const reports = await Promise.all(running.map((background) => background.stop()));
    const harm = reports.map(({ to, lost, broken = [] }) => ({ to, lost, broken: broken.length }));
    expect(harm).toEqual(VIPS.flatMap((vip) => [0, 0].map(() => ({ to: at(vip, 8080), lost: 0, broken: 0 }))));
    for (const { answered } of reports) expect(answered).toBeGreaterThan(100);
  });

  async function replace(version: Version, name: "controller" | "node"): Promise<void> {
    earlier.choose(version, name);
    const before = await lab.pid("cluster", name);
    await lab.kill("gateway-a", before);
    const now = async (): Promise<number> => lab.pid("cluster", name).catch(() => before);
    await until(
      now,
      (pid) => pid !== before,
      10_000,
      () => `${name} was not started again`,
      100,
    );
    await lab.converged();
  }

  /** Asks for VIPs; whoever runs must allocate, publish, program and announce them. */
  async function moreVips(...vips: readonly string[]): Promise<void> {
    const wanted = [...VIPS, ...vips].map((value) => `    - { type: IPAddress, value: "${value}" }\n`).join("");
    lab.edit("gateway.yaml", (text) =>
      text
        .replace(/ {2}addresses:\n(?: {4}- \{ type: IPAddress.*\n)+/, "")
        .replace("  gatewayClassName: causeway\n", `  gatewayClassName: causeway\n  addresses:\n${wanted}`),
    );
    const routed = (address: string, status: Awaited<ReturnType<SystemLab["status"]>>): boolean =>
      status.vips.find((vip) => vip.address === address)?.nextHops.length === GATEWAYS.length;
    await lab.converged((status) => vips.every((vip) => routed(vip, status)));
    for (const vip of vips) {
      const report = await lab.traffic({ to: at(vip, 8080), protocol: "tcp", more: ["--connections", "100"] });
      expect(report).toMatchObject({ answered: 100, lost: 0 });
    }
  }

  it("a new controller and a new node agent with old instances", async () => {
    await replace("current", "controller");
    await replace("current", "node");
    await moreVips("198.51.100.21");
  });

  it("new instances beside old ones, then instead of them", async () => {
    earlier.choose("current", "proxy", "frontend");
    await lab.lab("restart", "gateway-a");
    await lab.converged();
    const statuses = await Promise.all(GATEWAYS.map((node) => lab.proxy(node)));
    expect(statuses.map((status) => status?.services.map(({ name, readyTargets }) => [name, readyTargets]))).toEqual([
      statuses[0]?.services.map(({ name, readyTargets }) => [name, readyTargets]),
      statuses[0]?.services.map(({ name, readyTargets }) => [name, readyTargets]),
    ]);
    await lab.lab("restart", "gateway-b");
    await lab.converged();
  });

  it("an old controller and an old node agent with new instances", async () => {
    await replace("earlier", "controller");
    await replace("earlier", "node");
    await moreVips("198.51.100.21", "198.51.100.22");
  });

  it("old instances again", async () => {
    earlier.choose("earlier", "proxy", "frontend");
    await lab.lab("restart", ...GATEWAYS);
    await lab.converged();
    for (const name of ["controller", "node"] as const) {
      expect(earlier.startedAs(name)).toEqual(["earlier", "current", "earlier"]);
    }
    for (const name of ["proxy", "frontend"] as const) {
      expect(earlier.startedAs(name)).toEqual(["earlier", "earlier", "current", "current", "earlier", "earlier"]);
    }
  });
});
