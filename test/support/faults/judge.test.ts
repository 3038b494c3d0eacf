import { describe, expect, it } from "vitest";
import type { Broken } from "../../../lab/traffic/report.ts";
import type { Fault } from "./faults.ts";
import { joined, type Seen } from "./held-traffic.ts";
import { judge, type Moment } from "./judge.ts";

const START_MS = Date.UTC(2026, 0, 1);
const at = (ms: number): string => new Date(START_MS + ms).toISOString();
const began = (ms: number, fault: Fault): Moment => ({ atMs: START_MS + ms, fault, event: "began" });
const over = (ms: number, fault: Fault): Moment => ({ atMs: START_MS + ms, fault, event: "over" });
const broken = (target: string, ms: number): Broken => ({
  ...{ connection: 1, sourcePort: 4000, outcome: "reset", afterMs: 1 },
  ...{ target, at: at(ms) },
});
const seen = (part: Partial<Seen>): Seen => ({
  ...{ held: 1000, broken: [], moved: [], newConnections: 100, lost: 0, newTargets: [], outages: [], longestGapMs: 5 },
  ...part,
});
const outage = (fromMs: number, toMs: number) => ({ fromMs: START_MS + fromMs, toMs: START_MS + toMs, late: 3 });

const KILL: Fault = { kind: "kill-target", target: "target-3" };
const CUT: Fault = { kind: "cut-instance", node: "gateway-a" };
const DRAIN: Fault = { kind: "drain", target: "target-3", graceSeconds: 2 };

describe("a judgement", () => {
  it("has nothing to say when nothing broke, and says that there was no traffic", () => {
    expect(judge(seen({}), [began(0, KILL), over(1000, KILL)])).toEqual([]);
    expect(judge(seen({ held: 0 }), [])).toEqual(["there was no traffic"]);
  });

  it("lets connections break with their own target only, and only then", () => {
    const moments = [began(1000, KILL), over(2000, KILL)];
    expect(judge(seen({ broken: [broken("target-3", 1010)] }), moments)).toEqual([]);
    expect(judge(seen({ broken: [broken("target-3", 500)] }), moments)).toEqual([
      expect.stringMatching(/^before the first fault: 1 connections broken \(port 4000 of target-3, reset at/),
    ]);
    expect(judge(seen({ broken: [broken("target-1", 1010)] }), moments)).toEqual([
      expect.stringMatching(/^after kill-target target-3: 1 connections broken/),
    ]);
  });

  it("holds a target that is drained to its grace period", () => {
    expect(judge(seen({ broken: [broken("target-3", 3100)] }), [began(1000, DRAIN)])).toEqual([]);
    expect(judge(seen({ broken: [broken("target-3", 2000)] }), [began(1000, DRAIN)])).toHaveLength(1);
  });

  it("lets new connections wait as long as a fault allows that is felt, and names it otherwise", () => {
    const moments = [began(1000, CUT), over(3000, CUT), began(5000, { kind: "members", targets: [] })];
    expect(judge(seen({ outages: [outage(1000, 1400)] }), moments)).toEqual([]);
    expect(judge(seen({ outages: [outage(3050, 3300)] }), moments)).toEqual([]);
    expect(judge(seen({ outages: [outage(8100, 8100)] }), moments)).toEqual([
      "after members []: 3 new connections not served at once, for 0 ms; 0 ms are promised",
    ]);
    expect(judge(seen({ outages: [outage(1000, 2400)] }), moments)).toEqual([
      "after cut-instance gateway-a: 3 new connections not served at once, for 1400 ms; 1000 ms are promised",
    ]);
    expect(judge(seen({ outages: [outage(500, 520)] }), moments)).toEqual([]);
    expect(judge(seen({ outages: [outage(500, 1200)] }), moments)).toEqual([
      "before the first fault: 3 new connections not served at once, for 700 ms; 0 ms are promised",
    ]);
  });

  it("joins the outages of both families", () => {
    expect(joined([outage(2000, 2500), outage(100, 300), outage(200, 900), outage(4000, 4000)])).toEqual([
      { ...outage(100, 900), late: 6 },
      outage(2000, 2500),
      outage(4000, 4000),
    ]);
  });
});
