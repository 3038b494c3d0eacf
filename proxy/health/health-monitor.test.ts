import { beforeEach, describe, expect, test } from "vitest";
import type { Service, ServicePort } from "#shared/api/core.ts";
import { KINDS } from "#shared/api/kinds.ts";
import { ip } from "#shared/net/ip.ts";
import { HealthMonitor } from "./health-monitor.ts";
import type { HealthThreadOptions } from "./health-thread.ts";
import { type PlannedProbe, useOf } from "./plan-probes.ts";
import type { ProbeReport } from "./probe-spec.ts";

const HTTP: ServicePort = { protocol: "TCP", port: 80 };
const MORE: ServicePort = { name: "more", protocol: "TCP", port: 81 };
const SERVICE: Service = KINDS.Service.schema.parse({
  apiVersion: "v1",
  kind: "Service",
  metadata: { name: "web" },
  spec: { ports: [HTTP, MORE] },
});

/** A probe of target `n`, IPv4. */
function probe(n: number, port: ServicePort = HTTP, more: Partial<PlannedProbe> = {}): PlannedProbe {
  const address = ip(`10.1.0.${n}`);
  return {
    id: `${address} ${port.port}`,
    address,
    interface: "svc0",
    type: "TCP",
    port: port.port,
    intervalMs: 200,
    timeoutMs: 150,
    failureThreshold: 3,
    successThreshold: 2,
    payload: "",
    answer: "",
    leaving: false,
    target: `default/pod-${n}`,
    network: "default/net",
    checks: ["default/check"],
    uses: [useOf(SERVICE, port, address)],
    ...more,
  };
}

let lines: string[];
let changes: number;
let nowMs: number;
let thread: HealthThreadOptions | undefined;
beforeEach(() => {
  lines = [];
  changes = 0;
  nowMs = 1_000;
  thread = undefined;
});

function monitor(remembered: readonly string[] = []): HealthMonitor {
  const say =
    (level: string) =>
    (_: unknown, text?: string): void => {
      lines.push(`${level}: ${text}`);
    };
  return new HealthMonitor({
    log: { debug: () => undefined, info: say("info"), warn: say("warn"), error: say("error") },
    clock: { nowMs: () => nowMs },
    remembered: new Set(remembered),
    onChange: () => {
      changes += 1;
    },
    open: (options) => {
      thread = options;
      return { tell: () => undefined, close: async () => undefined };
    },
  });
}

const initials = (): readonly string[] =>
  (thread?.probes() ?? []).map(({ address, initial }) => `${address} ${initial}`);
const news = (reports: Record<string, ProbeReport["state"]>, partitioned: readonly string[] = []): void =>
  thread?.onNews({
    reports: Object.entries(reports).map(([id, state]) => ({ id, state, falls: 0, message: "m" })),
    partitioned,
  });
const out = (of: HealthMonitor, port = HTTP): readonly number[] =>
  [1, 2, 3].filter((n) => of.isUnreachable(SERVICE, port, ip(`10.1.0.${n}`)));

describe("what is taken for granted", () => {
  test("at first all are trusted; who joins has to answer first", () => {
    const one = monitor();
    one.plan([probe(1), probe(2)]);
    expect(initials()).toEqual(["10.1.0.1 up", "10.1.0.2 up"]);
    one.plan([probe(1), probe(2), probe(3)]);
    expect(initials()).toEqual(["10.1.0.1 up", "10.1.0.2 up", "10.1.0.3 pending"]);
    expect(out(one)).toEqual([3]);
    news({ "10.1.0.3 80": "up" });
    expect([out(one), changes]).toEqual([[], 1]);
  });

  test("a port that was not asked before is trusted, though others are asked", () => {
    const one = monitor();
    one.plan([probe(1)]);
    one.plan([probe(1), probe(1, MORE)]);
    expect(initials()).toEqual(["10.1.0.1 up", "10.1.0.1 up"]);
  });

  test("another question to the same target goes on from what is known", () => {
    const one = monitor();
    one.plan([probe(1), probe(2)]);
    news({ "10.1.0.1 80": "down" });
    one.plan([probe(1, HTTP, { id: "new" }), probe(2, HTTP, { id: "too" })]);
    expect(initials()).toEqual(["10.1.0.1 down", "10.1.0.2 up"]);
    expect(out(one)).toEqual([1]);
  });

  test("what this instance said before it was started anew holds", () => {
    const one = monitor(["default/check 10.1.0.2", "default/other 10.1.0.1"]);
    one.plan([probe(1), probe(2)]);
    expect(initials()).toEqual(["10.1.0.1 up", "10.1.0.2 down"]);
    expect(out(one)).toEqual([2]);
  });
});

describe("news", () => {
  test("a change is told once, in the log, too; what is not new is not", () => {
    const one = monitor();
    one.plan([probe(1), probe(2)]);
    nowMs = 2_000;
    news({ "10.1.0.1 80": "down" });
    nowMs = 3_000;
    news({ "10.1.0.1 80": "down", nobody: "down" });
    expect([out(one), changes, lines]).toEqual([[1], 1, ["warn: target is unhealthy: taken out"]]);
    expect(one.statuses()[0]).toMatchObject({ state: "down", sinceMs: 2_000, message: "m" });
    news({ "10.1.0.1 80": "up" });
    expect([out(one), changes, lines.at(-1)]).toEqual([[], 2, "info: target is healthy"]);
  });

  test("of a cut one line is said, not one for each target", () => {
    const one = monitor();
    one.plan([probe(1), probe(2)]);
    news({ "10.1.0.1 80": "down", "10.1.0.2 80": "down" }, ["IPv4 by svc0"]);
    expect([out(one), changes]).toEqual([[1, 2], 1]);
    expect(one.networks()).toEqual([{ interface: "svc0", family: "IPv4", reachable: false }]);
    news({ "10.1.0.1 80": "up", "10.1.0.2 80": "up" });
    expect(one.networks()).toEqual([{ interface: "svc0", family: "IPv4", reachable: true }]);
    expect(lines).toEqual([
      "warn: no target answers: this instance is taken to be cut off",
      "info: targets answer again",
    ]);
  });

  test("the same plan is no change", () => {
    const one = monitor();
    expect([one.plan([probe(1)]), one.plan([probe(1)]), one.plan([])]).toEqual([true, false, true]);
    expect(one.statuses()).toEqual([]);
  });
});
