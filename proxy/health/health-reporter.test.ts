import { afterEach, describe, expect, test, vi } from "vitest";
import type { HealthCheck } from "#shared/api/health-check.ts";
import { ip } from "#shared/net/ip.ts";
import { object } from "#shared/resolve/objects.fixture.ts";
import { MemoryStore } from "#shared/store/memory-store.ts";
import { testLog } from "../../test/support/testbed.ts";
import type { TargetHealthStatus } from "./health-monitor.ts";
import { HealthReporter, instanceEntry, rememberedFrom } from "./health-reporter.ts";

const status = (n: number, state: TargetHealthStatus["state"]): TargetHealthStatus => ({
  target: `default/pod-${n}`,
  network: "default/net",
  address: ip(`10.1.0.${n}`),
  port: 80,
  checks: ["default/check"],
  state,
  sinceMs: Date.parse("2026-01-01T00:00:00Z"),
  falls: 0,
  message: state === "down" ? "no answer in 150 ms" : "",
});

const CHECK = object({
  kind: "HealthCheck",
  metadata: { name: "check" },
  spec: { targetRefs: [{ name: "web" }] },
});

let stop = new AbortController();
afterEach(() => stop.abort());

async function reporting(store: MemoryStore, statuses: () => readonly TargetHealthStatus[]): Promise<HealthReporter> {
  stop = new AbortController();
  const view = await store.watch([{ kind: "HealthCheck" }], () => undefined, stop.signal);
  const pod = { namespace: "default", name: "gateway-a" };
  return new HealthReporter({ store, view, pod, statuses, log: testLog, signal: stop.signal, quietMs: 50 });
}
const instances = (store: MemoryStore): NonNullable<HealthCheck["status"]>["instances"] | undefined =>
  store.get("HealthCheck", "default", "check")?.status?.instances;

describe("what an instance says of a check", () => {
  test("how many answer, and who does not", () => {
    expect(instanceEntry("gateway-a", [status(1, "up"), status(2, "down"), status(3, "pending")])).toEqual({
      name: "gateway-a",
      healthy: 1,
      unhealthy: 2,
      message: "2 of 3 are out",
      targets: [
        {
          name: "default/pod-2",
          address: "10.1.0.2",
          since: "2026-01-01T00:00:00.000Z",
          message: "no answer in 150 ms",
        },
        {
          name: "default/pod-3",
          address: "10.1.0.3",
          since: "2026-01-01T00:00:00.000Z",
          message: "has not answered yet",
        },
      ],
    });
  });

  test("names no more than the schema takes", () => {
    const many = Array.from({ length: 40 }, (_, n) => status(n, n === 0 ? "up" : "down"));
    const entry = instanceEntry("gateway-a", many);
    expect([entry.unhealthy, entry.targets.length]).toEqual([39, 16]);
    expect(entry.message).toBe("39 of 40 are out; 23 of them are not named here");
  });
});

test("it is written once, not more often than it may be, and taken back when nothing is asked any more", async () => {
  const store = new MemoryStore([CHECK]);
  const written = vi.spyOn(store, "applyStatus");
  let statuses: readonly TargetHealthStatus[] = [status(1, "up")];
  const reporter = await reporting(store, () => statuses);
  await vi.waitFor(() => expect(instances(store)).toMatchObject([{ name: "gateway-a", healthy: 1, unhealthy: 0 }]));
  for (let change = 0; change < 100; change++) {
    statuses = [status(1, change % 2 === 0 ? "up" : "down")];
    reporter.touch();
    await new Promise((resolve) => setImmediate(resolve));
  }
  await vi.waitFor(() => expect(instances(store)).toMatchObject([{ healthy: 0, unhealthy: 1 }]));
  expect(written.mock.calls.length).toBeLessThan(20);
  statuses = [];
  reporter.touch();
  await vi.waitFor(() => expect(instances(store)).toEqual([]));
});

test("nothing new, nothing written", async () => {
  const store = new MemoryStore([CHECK]);
  const written = vi.spyOn(store, "applyStatus");
  const passes = vi.fn(() => [status(1, "up")]);
  const reporter = await reporting(store, passes);
  await vi.waitFor(() => expect(written).toHaveBeenCalledTimes(1));
  reporter.touch();
  await vi.waitFor(() => expect(passes).toHaveBeenCalledTimes(2));
  expect(written).toHaveBeenCalledTimes(1);
});

test("what it said is remembered after a new start, unless it was cut off then", async () => {
  const store = new MemoryStore([CHECK]);
  const view = await store.watch([{ kind: "HealthCheck" }], () => undefined, new AbortController().signal);
  const said = async (pod: string, ...all: TargetHealthStatus[]): Promise<void> => {
    const ref = { kind: "HealthCheck", namespace: "default", name: "check" } as const;
    await store.applyStatus(ref, { instances: [instanceEntry(pod, all)] }, { fieldManager: `proxy-${pod}` });
  };
  await said("gateway-a", status(1, "down"), status(2, "up"));
  await said("gateway-b", status(1, "down"), status(2, "down"));
  expect([...rememberedFrom(view, "gateway-a")]).toEqual(["default/check 10.1.0.1"]);
  expect([...rememberedFrom(view, "gateway-b")]).toEqual([]);
});
