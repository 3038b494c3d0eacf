import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { text } from "node:stream/consumers";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { z } from "zod";
import { FAMILIES } from "#shared/net/ip.ts";
import type { Intent } from "#shared/resolve/intent-types.ts";
import { TableCache } from "#shared/resolve/tables.ts";
import { trafficReportSchema } from "../../lab/traffic/report.ts";
import { InstanceKernel } from "../../proxy/instance-kernel.ts";
import { FlowKeeper } from "../../proxy/moves/flow-keeper.ts";
import { fastPath } from "../../proxy/nft/fast-path.ts";
import { slowPath } from "../../proxy/nft/slow-path.ts";
import { TrackedConnections } from "../../proxy/tracked-connections.ts";
import { intentOf, scenario } from "../support/scenario.ts";
import { until } from "../support/system-lab.ts";
import { Testbed, testLog } from "../support/testbed.ts";

const PODS = 4;
const PORT = 8080;
const VIP = { 4: "198.51.100.10", 6: "2001:db8:100::10" } as const;
const COMMAND = join(import.meta.dirname, "../../bin/causeway");
/** Of each family. */
const HELD = 60;

interface Held {
  readonly child: ChildProcess;
  readonly output: Promise<string>;
}

/** What became of held connections. */
interface Fate {
  readonly held: number;
  /** By who had answered them before they broke. */
  readonly broken: readonly string[];
  /** By who had answered them before another did. */
  readonly moved: readonly string[];
}

describe("connections to ordinary Services, and changes", () => {
  let bed: Testbed;
  const servers: ChildProcess[] = [];
  let cache: TableCache;
  let keeper: FlowKeeper;
  let connections: TrackedConnections;

  beforeAll(async () => {
    bed = new Testbed({ prefix: "cw-h", targets: 0, pods: PODS });
    await Promise.all(
      Array.from({ length: PODS }, async (_, index) => {
        const args = ["echo", "--name", `pod-${index + 1}`, "--tcp", String(PORT), "--udp", String(PORT)];
        const server = spawn("ip", ["netns", "exec", bed.name(`p${index + 1}`), "sh", COMMAND, ...args], {
          stdio: ["ignore", "pipe", "inherit"],
        });
        servers.push(server);
        await once(server.stdout, "data");
      }),
    );
  });
  afterAll(() => {
    for (const server of servers) server.kill("SIGKILL");
    bed.close();
  });
  beforeEach(() => {
    bed.exec("g", "nft flush ruleset");
    bed.kernel.forget();
    cache = new TableCache();
    keeper = new FlowKeeper(bed.kernel, () => performance.now());
    connections = new TrackedConnections(bed.kernel, testLog);
  });

  const intentFor = (targets: readonly number[], terminating: readonly number[] = []): Promise<Intent> =>
    intentOf(scenario({ ordinary: () => true, targetsOf: () => targets, terminating }), cache);

  /** One pass of the proxy's loop. */
  async function program(targets: readonly number[], terminating: readonly number[] = []): Promise<Intent> {
    const intent = await intentFor(targets, terminating);
    const next = keeper.next(intent);
    bed.program(intent, next.moves);
    connections.applied(intent);
    keeper.applied(next, intent);
    return intent;
  }

  /** Held connections (or UDP flows) to both VIPs, each answered once. */
  async function hold(protocol: "tcp" | "udp" = "tcp"): Promise<Held> {
    const to = FAMILIES.flatMap((family) => ["--to", family === 4 ? `${VIP[4]}:${PORT}` : `[${VIP[6]}]:${PORT}`]);
    const load = [
      "--keep",
      "--connections",
      String(HELD),
      "--interval",
      "200",
      "--timeout",
      "5000",
      // A datagram may be on its way to who has just gone.
      "--retries",
      protocol === "udp" ? "9" : "0",
      "--duration",
      "60",
    ];
    const args = ["traffic", "--json", ...to, "--protocol", protocol, ...load];
    const child = spawn("ip", ["netns", "exec", bed.name("c"), "sh", COMMAND, ...args], {
      stdio: ["ignore", "pipe", "pipe"],
    });
    const lines = createInterface(child.stderr);
    let holding = 0;
    const output = text(child.stdout);
    for await (const line of lines) {
      if (line.startsWith("holding")) holding++;
      if (holding === FAMILIES.length) break;
    }
    return { child, output };
  }

  /** Waits until pods have been sent a few more rounds of requests. */
  async function rounds(count = 3): Promise<void> {
    const packets = (): number =>
      [...bed.kernel.counters()].reduce((sum, [name, { packets: of }]) => sum + (name.startsWith("leg-") ? of : 0), 0);
    const enough = packets() + FAMILIES.length * HELD * count;
    await until(
      packets,
      (now) => now > enough,
      20_000,
      () => "no traffic",
    );
  }

  async function end({ child, output }: Held): Promise<Fate> {
    child.kill("SIGINT");
    const parsed: unknown = JSON.parse(await output);
    const reports = z.array(trafficReportSchema).parse(Array.isArray(parsed) ? parsed : [parsed]);
    return {
      held: reports.reduce((sum, report) => sum + (report.held ?? 0), 0),
      broken: reports.flatMap(({ broken }) => (broken ?? []).map(({ target }) => target)),
      moved: reports.flatMap(({ moved }) => (moved ?? []).map(({ from }) => from)),
    };
  }

  it("targets come and drain, a proxy starts anew, somebody flushes the rules: none breaks", async () => {
    await program([1, 2]);
    const held = await hold();
    await program([1, 2, 3]);
    await rounds();
    await program([2, 3], [1]);
    const intent = await program([2, 3, 4], [1]);
    await rounds();
    // Another process, which knows nothing but the kernel.
    const kernel = new InstanceKernel(testLog, `/run/netns/${bed.name("g")}`);
    try {
      const { environment } = kernel.observe(intent);
      const anew = new FlowKeeper(kernel, () => performance.now());
      const { moves } = anew.next(intent);
      expect(kernel.applyTables([slowPath(intent, moves), fastPath(intent, environment, moves)])).toBe(0);
      new TrackedConnections(kernel, testLog).applied(intent);
    } finally {
      kernel.close();
    }
    await rounds();
    bed.exec("g", "nft flush ruleset");
    bed.kernel.forget();
    await program([2, 3, 4], [1]);
    await rounds();
    expect(await end(held)).toEqual({ held: FAMILIES.length * HELD, broken: [], moved: [] });
  });

  it("a target that is gone breaks its own connections, by a reset, and no others", async () => {
    await program([1, 2, 3]);
    const held = await hold();
    await program([2, 3]);
    await rounds();
    const { broken, moved } = await end(held);
    expect(broken.length).toBeGreaterThan(0);
    expect(new Set(broken)).toEqual(new Set(["pod-1"]));
    expect(moved).toEqual([]);
  });

  it("UDP flows of a target that is gone find another at once", async () => {
    await program([1, 2, 3]);
    const held = await hold("udp");
    await program([2, 3]);
    await rounds();
    const { broken, moved } = await end(held);
    expect(broken).toEqual([]);
    expect(moved.length).toBeGreaterThan(0);
    expect(new Set(moved)).toEqual(new Set(["pod-1"]));
  });

  it("control: connections that are not forgotten go on to where nobody is", async () => {
    await program([1, 2, 3]);
    const held = await hold("udp");
    const intent = await intentFor([2, 3]);
    const next = keeper.next(intent);
    bed.program(intent, next.moves);
    keeper.applied(next, intent);
    await rounds(2);
    const { moved } = await end(held);
    expect(moved).toEqual([]);
  });
});
