import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { carried, Drain } from "./drain.ts";

describe("the drain of an instance", () => {
  it("ends when no packet has come for the quiet time, never before, and at the limit in any case", () => {
    const looks = fc.array(fc.tuple(fc.integer({ min: 1, max: 400 }), fc.integer({ min: 0, max: 3 })), {
      minLength: 1,
      maxLength: 60,
    });
    fc.assert(
      fc.property(looks, fc.integer({ min: 0, max: 5_000 }), (steps, limitMs) => {
        const drain = new Drain({ limitMs, quietMs: 1_000 }, 7, 0);
        let [packets, nowMs, lastMs] = [7, 0, 0];
        for (const [ms, more] of steps) {
          nowMs += ms;
          packets += more;
          if (more > 0) lastMs = nowMs;
          const end = drain.look(packets, nowMs);
          const quiet = nowMs - lastMs >= 1_000;
          expect(end).toBe(quiet ? "quiet" : nowMs >= limitMs ? "limit" : undefined);
          if (end !== undefined) return;
        }
      }),
    );
  });

  it("counters that begin anew are traffic as well", () => {
    const drain = new Drain({ limitMs: 9_000, quietMs: 1_000 }, 50, 0);
    expect(drain.look(3, 900)).toBeUndefined();
    expect(drain.look(3, 1_800)).toBeUndefined();
    expect(drain.look(3, 1_900)).toBe("quiet");
  });

  it("looks at services' packets, not at BGP, scans and strays", () => {
    const counters = new Map(
      Object.entries({ "flow-a": 1, "leg-b": 2, "error-c": 4, "no-target": 8, refused: 16 }).map(([name, packets]) => [
        name,
        { packets },
      ]),
    );
    expect(carried(counters)).toBe(31);
    for (const name of ["slow-path", "stray", "unmatched"]) counters.set(name, { packets: 100 });
    expect(carried(counters)).toBe(31);
  });
});
