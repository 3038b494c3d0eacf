import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { text } from "node:stream/consumers";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { z } from "zod";
import { ip } from "#shared/net/ip.ts";
import type { Intent } from "#shared/resolve/intent-types.ts";
import { TableCache } from "#shared/resolve/tables.ts";
import { type TrafficReport, trafficReportSchema } from "../../lab/traffic/report.ts";
import { FlowKeeper } from "../../proxy/moves/flow-keeper.ts";
import type { Moves } from "../../proxy/moves/moves.ts";
import { whereabouts } from "../../proxy/moves/whereabouts.ts";
import { intentOf, type ScenarioOptions, scenario } from "../support/scenario.ts";
import { until } from "../support/system-lab.ts";
import { Testbed } from "../support/testbed.ts";

const TARGETS = 6;
const VIPS = { 4: "198.51.100.10", 6: "2001:db8:100::10" } as const;
const COMMAND = join(import.meta.dirname, "../../bin/causeway");
const PORT = 8080;
const HELD = 300;
const EVERY = Array.from({ length: TARGETS }, (_, index) => index + 1);

const ASK = join(import.meta.dirname, "../support/ask-flows.ts");

/** What the kernel was last programmed with. */
interface Programmed {
  readonly intent: Intent;
  readonly moves: Moves;
}

type Keeping = Intent["flowKeeping"];

/** A running process of the test's own, ended with it. */
interface Background {
  readonly child: ChildProcess;
  readonly output: Promise<string>;
}

describe("flows and changes of targets", () => {
  let bed: Testbed;
  const servers: ChildProcess[] = [];
  let nowMs = 0;
  let cache = new TableCache();
  let keeper: FlowKeeper;
  let last: Programmed;
  let folder: string;

  beforeAll(async () => {
    folder = mkdtempSync(join(tmpdir(), "cw-"));
    bed = new Testbed({ prefix: "cw-m", targets: TARGETS, vips: Object.values(VIPS) });
    const listening = Array.from({ length: TARGETS }, async (_, index) => {
      const args = ["echo", "--name", `pod-${index + 1}`, "--tcp", String(PORT), "--udp", String(PORT)];
      const server = spawn("ip", ["netns", "exec", bed.name(`t${index + 1}`), "sh", COMMAND, ...args], {
        stdio: ["ignore", "pipe", "inherit"],
      });
      servers.push(server);
      await once(server.stdout, "data");
    });
    await Promise.all(listening);
  });
  afterAll(() => {
    for (const server of servers) server.kill("SIGKILL");
    bed.close();
    rmSync(folder, { recursive: true });
  });

  function begin(): void {
    // Another table first: what an earlier test left in the kernel is not to be recovered.
    bed.exec("g", "nft flush ruleset");
    bed.kernel.forget();
    bed.kernel.kept.forget();
    cache = new TableCache();
    nowMs = 1_000_000;
    keeper = new FlowKeeper(bed.kernel, () => nowMs);
  }

  /** One pass of the proxy's loop. @returns after how long it wants another; undefined when nothing is moved. */
  async function program(
    targets: readonly number[],
    keeping: Partial<Keeping> = {},
    options: ScenarioOptions = {},
  ): Promise<number | undefined> {
    // Those that a Service has no more serve out what they have.
    const terminating = EVERY.filter((n) => !targets.includes(n));
    const resolved = await intentOf(scenario({ targetsOf: () => targets, terminating, ...options }), cache);
    const intent = { ...resolved, flowKeeping: { ...resolved.flowKeeping, ...keeping } };
    const next = keeper.next(intent);
    bed.program(intent, next.moves);
    last = { intent, moves: next.moves };
    return keeper.applied(next, intent);
  }

  function client(...args: string[]): Background {
    const child = spawn("ip", ["netns", "exec", bed.name("c"), "sh", COMMAND, "traffic", "--json", ...args], {
      stdio: ["ignore", "pipe", "pipe"],
    });
    return { child, output: text(child.stdout ?? expect.fail("no output")) };
  }

  async function reports({ child, output }: Background): Promise<readonly TrafficReport[]> {
    child.kill("SIGINT");
    const parsed: unknown = JSON.parse(await output);
    return z.array(trafficReportSchema).parse(Array.isArray(parsed) ? parsed : [parsed]);
  }

  const to = (family: 4 | 6): string => (family === 4 ? `${VIPS[4]}:${PORT}` : `[${VIPS[6]}]:${PORT}`);

  /** Held connections to both VIPs, all of them answered once. */
  async function hold(protocol: "tcp" | "udp" = "tcp", connections = HELD): Promise<Background> {
    const held = client(
      ...["--to", to(4), "--to", to(6), "--protocol", protocol, "--keep", "--connections", String(connections)],
      ...["--interval", "300", "--timeout", "5000", "--duration", "60"],
    );
    const lines = createInterface(held.child.stderr ?? expect.fail("no errors"));
    let holding = 0;
    for await (const line of lines) {
      if (line.startsWith("holding")) holding++;
      if (holding === 2) break;
    }
    return held;
  }

  /** New connections: who answers them. */
  async function answers(family: 4 | 6, connections = 100): Promise<TrafficReport> {
    const { child, output } = client("--to", to(family), "--connections", String(connections), "--timeout", "3000");
    const [report] = await Promise.all([
      output.then((json) => trafficReportSchema.parse(JSON.parse(json))),
      once(child, "exit"),
    ]);
    return report;
  }

  /** Waits until every held connection has had time for a few more requests, and answers. */
  async function rounds(): Promise<void> {
    const packets = (): number =>
      [...bed.kernel.counters()].reduce((sum, [name, count]) => sum + (name.startsWith("leg-") ? count.packets : 0), 0);
    const before = packets();
    // A request and the acknowledgement of its answer, three rounds.
    const enough = before + 2 * HELD * 2 * 3;
    await until(
      packets,
      (now) => now > enough,
      20_000,
      () => "no traffic",
    );
  }

  /** What became of held connections: how many broke, and how many another target answers. */
  async function damage(held: Background): Promise<{ held: number; broken: number; moved: number; lost: number }> {
    const all = await reports(held);
    const count = (list: readonly unknown[] | undefined): number => list?.length ?? 0;
    return {
      held: all.reduce((sum, report) => sum + (report.held ?? 0), 0),
      broken: all.reduce((sum, { broken }) => sum + count(broken), 0),
      moved: all.reduce((sum, { moved }) => sum + count(moved), 0),
      lost: all.reduce((sum, { lost }) => sum + lost, 0),
    };
  }

  describe.each([
    ["DSR", {}],
    ["NAT", { mode: "NAT", targetPort: PORT, listeners: [{ protocol: "TCP", port: PORT }] }],
  ] as const)("%s", (_mode, options: ScenarioOptions) => {
    it("breaks no connection when targets come and go, and serves new ones at the new targets at once", async () => {
      begin();
      await program([1, 2, 3], {}, options);
      const held = await hold();
      await program([1, 2, 3, 4], {}, options);
      expect(Object.keys((await answers(4)).targets)).toContain("pod-4");
      for (const targets of [
        [2, 3, 4],
        [2, 3, 4, 5, 6],
        [3, 4, 5, 6, 1],
        [5, 6, 1],
        [1, 2, 3, 4, 5, 6],
      ]) {
        await program(targets, {}, options);
        const report = await answers(6, 60);
        expect(report.lost).toBe(0);
        expect(Object.keys(report.targets).toSorted()).toEqual(targets.map((n) => `pod-${n}`).toSorted());
      }
      await rounds();
      expect(await damage(held)).toEqual({ held: 2 * HELD, broken: 0, moved: 0, lost: 0 });
    });

    it("control: without flow keeping the same change breaks connections", async () => {
      begin();
      await program([1, 2, 3], { mode: "Off" }, options);
      const held = await hold();
      await program([1, 2, 3, 4], { mode: "Off" }, options);
      await rounds();
      expect((await damage(held)).broken).toBeGreaterThan(HELD / 4);
    });
  });

  /** The ruleset without what packets change. */
  const ruleset = (): string =>
    bed.exec("g", "nft -s list ruleset").replace(/(flags dynamic[^{}]*)\n\s*elements = \{[^{}]*\}/g, "$1");

  it("a proxy that starts in the middle of a change finds it in the kernel, and goes on", async () => {
    begin();
    await program([1, 2, 3]);
    const held = await hold();
    await program([1, 2, 3, 4]);
    await rounds();
    const before = ruleset();
    cache = new TableCache();
    bed.kernel.forget();
    keeper = new FlowKeeper(bed.kernel, () => nowMs);
    await program([1, 2, 3, 4]);
    expect(ruleset()).toBe(before);
    expect(before).toContain("map conn-");
    bed.kernel.forget();
    keeper = new FlowKeeper(bed.kernel, () => nowMs);
    // What changed while no proxy ran is a change like any other.
    await program([2, 3, 4, 5]);
    await rounds();
    expect(await damage(held)).toEqual({ held: 2 * HELD, broken: 0, moved: 0, lost: 0 });
  });

  it("settles after a while, keeps the flows that are known, and ends with the last of them", async () => {
    begin();
    const keeping = { idleTimeoutSeconds: 1, datagramIdleTimeoutSeconds: 1 };
    await program([1, 2, 3], keeping);
    const held = await hold();
    await program([1, 2, 3, 4], keeping);
    await rounds();
    nowMs += 2_000;
    await program([1, 2, 3, 4], keeping);
    expect(keeper.status()).toMatchObject({ learningSlots: 0 });
    expect(keeper.status().settledSlots).toBeGreaterThan(400);
    await rounds();
    nowMs += 5_000;
    await program([1, 2, 3, 4], keeping);
    const kept = [...keeper.status().kept.values()].reduce((sum, flows) => sum + flows, 0);
    expect(kept).toBeGreaterThan(HELD / 4);
    expect(kept).toBeLessThan(HELD);
    expect(await damage(held)).toEqual({ held: 2 * HELD, broken: 0, moved: 0, lost: 0 });
    const ended = async (): Promise<boolean> => {
      nowMs += 5_000;
      return (await program([1, 2, 3, 4], keeping)) === undefined;
    };
    await until(
      ended,
      (over) => over,
      20_000,
      () => `still kept: ${JSON.stringify([...keeper.status().kept])}`,
      200,
    );
    expect(ruleset()).not.toMatch(/conn-|dgram-|chain moved-/);
  });

  it("breaks nothing when there is no room to know a flow: new ones go to the former owner", async () => {
    begin();
    const keeping = { maxFlows: 16 };
    await program([1, 2, 3], keeping);
    const held = await hold();
    await program([1, 2, 3, 4], keeping);
    expect((await answers(4)).lost).toBe(0);
    await rounds();
    nowMs += 10 * 300_000;
    await program([1, 2, 3, 4], keeping);
    expect(bed.kernel.counters().get("kept-full")?.packets).toBeGreaterThan(0);
    expect(keeper.status().learningSlots).toBeGreaterThan(400);
    await rounds();
    expect(await damage(held)).toEqual({ held: 2 * HELD, broken: 0, moved: 0, lost: 0 });
  });

  it("keeps UDP flows that send, and lets new ones go to the new owner after a while", async () => {
    begin();
    await program([1, 2, 3]);
    const held = await hold("udp");
    await program([1, 2, 3, 4]);
    await rounds();
    nowMs += 11_000;
    await program([1, 2, 3, 4]);
    const fresh = client("--to", to(4), "--protocol", "udp", "--connections", "100", "--timeout", "3000");
    expect(Object.keys(trafficReportSchema.parse(JSON.parse(await fresh.output)).targets)).toContain("pod-4");
    await rounds();
    expect(await damage(held)).toEqual({ held: 2 * HELD, broken: 0, moved: 0, lost: 0 });
  });

  it("a target that is gone takes its own flows along, at once and no others", async () => {
    begin();
    await program([1, 2, 3]);
    const held = await hold();
    await program([1, 2, 3, 4]);
    await rounds();
    const gone = await intentOf(scenario({ targetsOf: () => [2, 3, 4] }), cache);
    const next = keeper.next(gone);
    bed.program(gone, next.moves);
    keeper.applied(next, gone);
    await rounds();
    const broken = (await reports(held)).flatMap((report) => report.broken ?? []);
    expect(broken.length).toBeGreaterThan(HELD / 3);
    expect(new Set(broken.map(({ target, outcome }) => `${target} ${outcome}`))).toEqual(new Set(["pod-1 reset"]));
  });

  it.each([
    ["drains", { terminating: [1] }],
    ["is gone", {}],
  ])(
    "a client that uses a port again, by which its target is known that %s, is served at once by another",
    async (_, left) => {
      begin();
      await program([2, 3, 4]);
      // pod-1 has moved slots only: all who come to it are known there.
      await program([1, 2, 3, 4]);
      const ports = Array.from({ length: 200 }, (_, index) => 20_000 + index);
      const connect = async (): Promise<string[]> => {
        const flows = ports.map((sourcePort) => ({
          protocol: "tcp",
          source: "192.0.2.1",
          sourcePort,
          destination: VIPS[4],
          destinationPort: PORT,
        }));
        writeFileSync(join(folder, "again.json"), JSON.stringify(flows));
        const said: unknown = JSON.parse(bed.exec("c", `${process.execPath} ${ASK} ${join(folder, "again.json")}`));
        return z.array(z.string()).parse(said);
      };
      const first = await connect();
      expect(new Set(first)).toEqual(new Set(["pod-1", "pod-2", "pod-3", "pod-4"]));
      const resolved = await intentOf(scenario({ targetsOf: () => [2, 3, 4], ...left }), cache);
      const next = keeper.next(resolved);
      bed.program(resolved, next.moves);
      keeper.applied(next, resolved);
      const resent = (): number =>
        Number(/^Tcp:(?: -?\d+){11} (\d+)/m.exec(bed.exec("c", "cat /proc/net/snmp"))?.[1] ?? expect.fail("no count"));
      const before = resent();
      const again = await connect();
      expect(resent()).toBe(before);
      expect(new Set(again)).toEqual(new Set(["pod-2", "pod-3", "pod-4"]));
      // Who is known elsewhere stays there.
      for (const [index, target] of first.entries()) if (target === "pod-4") expect(again[index]).toBe("pod-4");
    },
  );

  it("outlives a flush of the ruleset: kept flows are put back with it, and nobody is reset meanwhile", async () => {
    begin();
    await program([1, 2, 3]);
    const held = await hold();
    await program([1, 2, 3, 4]);
    await rounds();
    // Known to be kept now, and settled: only what is known goes to the former owners.
    nowMs += 300_001;
    await program([1, 2, 3, 4]);
    expect(keeper.status()).toMatchObject({ learningSlots: 0 });
    bed.exec("g", "nft flush ruleset");
    const received = (): number => Number(/ext0:\s*\d+\s+(\d+)/.exec(bed.exec("g", "cat /proc/net/dev"))?.[1]);
    const before = received();
    // Each held connection has sent, and sends again.
    await until(
      received,
      (now) => now > before + 2 * HELD,
      20_000,
      () => "no packet met the empty ruleset",
    );
    await program([1, 2, 3, 4]);
    await rounds();
    expect(await damage(held)).toEqual({ held: 2 * HELD, broken: 0, moved: 0, lost: 0 });
  });

  it("tells where the packets of a flow go as the kernel sends them", async () => {
    begin();
    const flows = ([4, 6] as const).flatMap((family) =>
      Array.from({ length: 80 }, (_, index) => ({
        protocol: "udp",
        source: family === 4 ? "192.0.2.1" : "2001:db8:2::1",
        sourcePort: 20_000 + 2 * index,
        destination: VIPS[family],
        destinationPort: PORT,
      })),
    );
    const file = join(folder, "flows.json");
    const ask = async (asked: typeof flows): Promise<readonly string[]> => {
      writeFileSync(file, JSON.stringify(asked));
      return z.array(z.string()).parse(JSON.parse(await bed.run("c", process.execPath, ASK, file)));
    };
    const told = (asked: typeof flows, now: Programmed): readonly (string | undefined)[] =>
      asked.map(({ source, destination, ...ports }) => {
        const packet = { ...ports, protocol: "UDP" as const, source: ip(source), destination: ip(destination) };
        const kept = (family: 4 | 6, hash: number) => bed.kernel.kept.at(now.intent, family, hash);
        return whereabouts(now.intent, now.moves, packet, kept, () => undefined).leg?.target.replace("default/", "");
      });
    await program([1, 2, 3]);
    const before = await ask(flows);
    await program([2, 3, 4, 5]);
    expect(told(flows, last)).toEqual(before);
    expect(await ask(flows)).toEqual(before);
    // Learned now: the slots settle, and these flows stay.
    nowMs += 10_001;
    await program([2, 3, 4, 5]);
    expect(told(flows, last)).toEqual(before);
    expect(await ask(flows)).toEqual(before);
    const others = flows.map((flow) => ({ ...flow, sourcePort: flow.sourcePort + 1 }));
    const expected = told(others, last);
    expect(new Set(expected)).toEqual(new Set(["pod-2", "pod-3", "pod-4", "pod-5"]));
    expect(await ask(others)).toEqual(expected);
  });
});
