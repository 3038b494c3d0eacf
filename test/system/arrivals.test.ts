import { afterAll, beforeAll, expect, it } from "vitest";
import { z } from "zod";
import type { TrafficReport } from "../../lab/traffic/report.ts";
import { at, SystemLab, until } from "../support/system-lab.ts";

const GATEWAYS = ["gateway-a", "gateway-b"];
const TARGETS = ["target-1", "target-2", "target-3", "target-4"];
const VIPS = ["198.51.100.1", "2001:db8:100::1"];

const statusSchema = z.object({ targets: z.array(z.object({ name: z.string(), state: z.string() })) });

let lab: SystemLab;
beforeAll(async () => {
  lab = await SystemLab.start("arrivals", { example: "default" });
});
afterAll(() => lab?.close());

/** Whether target-4's Pod belongs to the service. */
function member(is: boolean): void {
  lab.edit("pods.yaml", (text) => {
    const [head = "", rest = ""] = text.split("name: target-4");
    return `${head}name: target-4${is ? rest.replace("app: gone", "app: echo") : rest.replace("app: echo", "app: gone")}`;
  });
}

/** Waits until both instances have target-4 in that state; undefined: not at all. */
async function inState(state: string | undefined): Promise<void> {
  for (const node of GATEWAYS) {
    await until(
      async () => statusSchema.parse(await lab.proxyStatus(node)).targets.find(({ name }) => name.endsWith("target-4")),
      (target) => target?.state === state,
      15_000,
      (target) => `${node} has target-4 as ${target?.state} instead of ${state}`,
      20,
    );
  }
}

const vipsOf = async (node: string): Promise<string[]> => {
  const addresses = await lab.exec(node, "ip", "-o", "addr", "show", "dev", "lo");
  return VIPS.filter((vip) => addresses.includes(` ${vip}/`));
};
const hasVips = (count: number): Promise<string[]> =>
  until(
    () => vipsOf("target-4"),
    (vips) => vips.length === count,
    15_000,
    (vips) => `target-4 has the VIPs ${vips.join()}`,
    50,
  );

/** New connections over both families and instances. */
async function connect(): Promise<TrafficReport[]> {
  const more = ["--connections", "100", "--timeout", "1500"];
  return await Promise.all(VIPS.map((vip) => lab.traffic({ to: at(vip, 8080), protocol: "tcp", more })));
}
const reached = (reports: readonly TrafficReport[]): string[] =>
  [...new Set(reports.flatMap(({ targets }) => Object.keys(targets)))].sort();

/** Takes target-4 out of the service and then the node agent away, so that nobody sets the target up when it comes back. */
async function comeWithoutAgent(): Promise<void> {
  member(false);
  await hasVips(0);
  await inState(undefined);
  await lab.lab("stop", "cluster", "node");
  member(true);
}

it("a target that comes gets no flows until its pod has the VIPs; then it does", async () => {
  await comeWithoutAgent();
  await inState("arriving");
  // Past the time after which silence would say nothing, if nobody answered.
  const began = performance.now();
  await until(
    async () => performance.now() - began,
    (ms) => ms > 2_000,
    5_000,
    String,
    100,
  );
  await inState("arriving");
  const without = await connect();
  expect(without.map(({ answered, lost }) => [answered, lost])).toEqual([
    [100, 0],
    [100, 0],
  ]);
  expect(reached(without)).toEqual(TARGETS.slice(0, 3));
  await lab.lab("start", "cluster", "node");
  await inState("accepting");
  expect(await vipsOf("target-4")).toEqual(VIPS);
  const withIt = await connect();
  expect(withIt.map(({ answered, lost }) => [answered, lost])).toEqual([
    [100, 0],
    [100, 0],
  ]);
  expect(reached(withIt)).toEqual(TARGETS);
});

it("control: where no pod answers echo requests, it gets flows that it cannot take", async () => {
  for (const node of TARGETS) {
    await lab.sh(
      node,
      "echo 1 > /proc/sys/net/ipv4/icmp_echo_ignore_all; echo 1 > /proc/sys/net/ipv6/icmp/echo_ignore_all",
    );
  }
  // Others are known to answer from before: proxies that begin anew know nothing of them.
  for (const node of GATEWAYS) {
    await lab.lab("stop", node, "proxy");
    await lab.lab("start", node, "proxy");
  }
  await lab.converged();
  await comeWithoutAgent();
  await inState("accepting");
  const lost = (await connect()).reduce((sum, report) => sum + report.lost, 0);
  expect(lost).toBeGreaterThan(10);
  await lab.lab("start", "cluster", "node");
  await hasVips(2);
  expect((await connect()).map((report) => report.lost)).toEqual([0, 0]);
});
