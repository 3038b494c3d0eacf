import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { type Damping, damp, holdDownMs, NEVER_READY } from "./flap-damping.ts";

function play(events: readonly (readonly [atMs: number, ready: boolean])[]): Damping {
  return events.reduce((state, [atMs, ready]) => damp(state, ready, atMs).damping, NEVER_READY);
}

describe("damp", () => {
  it("reports the first readiness and every fall at once", () => {
    expect(play([[100_000, true]]).reported).toBe(true);
    expect(
      play([
        [100_000, true],
        [100_001, false],
      ]).reported,
    ).toBe(false);
  });

  it("holds down for a time that doubles with each fall", () => {
    expect([0, 1, 2, 3, 10].map(holdDownMs)).toEqual([0, 1_000, 2_000, 4_000, 30_000]);
    const fallen = play([
      [100_000, true],
      [100_100, false],
      [100_200, true],
    ]);
    expect(fallen.reported).toBe(false);
    expect(damp(fallen, true, 100_200).againMs).toBe(1_000);
    expect(damp(fallen, true, 101_200).damping.reported).toBe(true);
  });

  it("forgets falls after a minute", () => {
    expect(
      play([
        [100_000, true],
        [100_100, false],
        [160_100, true],
      ]).reported,
    ).toBe(true);
  });

  it("never reports ready what is not, and always gets there when readiness stays", () => {
    const steps = fc.array(fc.tuple(fc.integer({ min: 1, max: 5_000 }), fc.boolean()), { maxLength: 40 });
    fc.assert(
      fc.property(steps, (moves) => {
        let nowMs = 1_000_000;
        let state = NEVER_READY;
        for (const [waitMs, ready] of moves) {
          nowMs += waitMs;
          state = damp(state, ready, nowMs).damping;
          if (!ready) expect(state.reported).toBe(false);
        }
        const { damping, againMs } = damp(state, true, nowMs);
        expect(againMs ?? 0).toBeLessThanOrEqual(30_000);
        expect(damp(damping, true, nowMs + (againMs ?? 0)).damping.reported).toBe(true);
      }),
    );
  });
});
