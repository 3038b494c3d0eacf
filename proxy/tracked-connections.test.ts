import { describe, expect, it } from "vitest";
import type { Log } from "#shared/process/log.ts";
import type { Intent, LegId } from "#shared/resolve/intent-types.ts";
import { intentOf, scenario, slice } from "../test/support/scenario.ts";
import { TrackedConnections, type TrackingKernel } from "./tracked-connections.ts";

const nothing = (): void => undefined;
const silent: Log = { debug: nothing, info: nothing, warn: nothing, error: nothing };
const LISTENERS = [
  { protocol: "TCP", port: 80 },
  { protocol: "UDP", port: 53 },
] as const;

class Kernel implements TrackingKernel {
  readonly forgotten: LegId[][] = [];
  tracked = new Map<LegId, number>();
  looks = 0;
  broken = false;
  trackedLegs(): ReadonlyMap<LegId, number> {
    this.looks++;
    return this.tracked;
  }
  forgetTracked(legs: readonly LegId[]): void {
    if (this.broken) throw new Error("no");
    this.forgotten.push([...legs].sort());
  }
}

const withTargets = (...targets: number[]): Promise<Intent> =>
  intentOf(scenario({ listeners: LISTENERS, ordinary: () => true, targetsOf: () => targets }));
const legsOf = (intent: Intent, target: string, protocol?: string): LegId[] =>
  [...intent.legs.values()]
    .filter((leg) => leg.target === target && (protocol === undefined || leg.protocol === protocol))
    .map(({ id }) => id)
    .sort();

describe("connections to targets that are gone", () => {
  it("are forgotten, and no others", async () => {
    const kernel = new Kernel();
    const connections = new TrackedConnections(kernel, silent);
    const both = await withTargets(1, 2);
    connections.applied(both);
    connections.applied(both);
    expect(kernel.forgotten).toEqual([]);
    connections.applied(await withTargets(2));
    expect(kernel.forgotten).toEqual([legsOf(both, "default/pod-1")]);
    expect(kernel.looks).toBe(1);
  });

  it("are looked for when a proxy starts, and after a failure", async () => {
    const kernel = new Kernel();
    kernel.tracked = new Map([[4711, 2]]);
    kernel.broken = true;
    const connections = new TrackedConnections(kernel, silent);
    const intent = await withTargets(1);
    connections.applied(intent);
    expect(kernel.forgotten).toEqual([]);
    kernel.broken = false;
    connections.applied(intent);
    connections.applied(intent);
    expect(kernel.forgotten).toEqual([[4711]]);
    expect(kernel.looks).toBe(2);
  });

  it("are not looked for where nothing is tracked", async () => {
    const kernel = new Kernel();
    new TrackedConnections(kernel, silent).applied(await intentOf(scenario()));
    expect(kernel.looks).toBe(0);
  });

  it("UDP leaves a target that is not ready, TCP stays", async () => {
    const kernel = new Kernel();
    const connections = new TrackedConnections(kernel, silent);
    const store = scenario({ listeners: LISTENERS, ordinary: () => true, targets: 2 });
    const before = await intentOf(store);
    connections.applied(before);
    for (const { protocol, port } of LISTENERS) {
      const name = `${protocol.toLowerCase()}-${port}`;
      for (const family of [4, 6] as const) {
        const [first, second] = family === 4 ? ["10.244.0.1", "10.244.0.2"] : ["fd00:244::1", "fd00:244::2"];
        const made = slice(name, family, port, protocol, new Map([["pod-2", second]]));
        const gone = slice(name, family, port, protocol, new Map([["pod-1", first]]));
        if (made.kind !== "EndpointSlice" || gone.kind !== "EndpointSlice") continue;
        const unready = gone.endpoints.map((endpoint) => ({ ...endpoint, conditions: { ready: false } }));
        store.put({ ...made, endpoints: [...made.endpoints, ...unready] });
      }
    }
    connections.applied(await intentOf(store));
    expect(kernel.forgotten).toEqual([legsOf(before, "default/pod-1", "UDP")]);
  });
});
