import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { type Candidate, lookupTable } from "./maglev.ts";

const SIZE = 997;
const equal = (count: number): Candidate[] =>
  Array.from({ length: count }, (_, i) => ({ key: `ns/pod-${i}@net`, weight: 1 }));
const owners = (candidates: readonly Candidate[], size = SIZE): (string | undefined)[] =>
  Array.from(lookupTable(candidates, size), (index) => candidates[index]?.key);
const share = (table: readonly (string | undefined)[], key: string): number =>
  table.filter((owner) => owner === key).length;

describe("lookupTable", () => {
  it("gives every candidate its share within Maglev's bound", () => {
    for (const count of [1, 2, 4, 10, 100]) {
      const candidates = equal(count);
      const table = owners(candidates);
      const counts = candidates.map(({ key }) => share(table, key));
      // Turns are dealt in rounds, so shares of equal candidates differ by one slot at most.
      expect(Math.max(...counts) - Math.min(...counts)).toBeLessThanOrEqual(1);
    }
  });

  it("follows weights to within one slot a round", () => {
    const candidates = [
      { key: "a", weight: 90 },
      { key: "b", weight: 9 },
      { key: "c", weight: 1 },
      { key: "d", weight: 0 },
    ];
    const table = owners(candidates);
    expect(share(table, "a") / SIZE).toBeCloseTo(0.9, 2);
    expect(share(table, "b") / SIZE).toBeCloseTo(0.09, 2);
    expect(share(table, "c")).toBeGreaterThanOrEqual(9);
    expect(share(table, "d")).toBe(0);
  });

  it("does not depend on the order of candidates, and fills every slot", () => {
    const keys = fc.uniqueArray(fc.string({ minLength: 1, maxLength: 8 }), { minLength: 1, maxLength: 30 });
    fc.assert(
      fc.property(keys, fc.infiniteStream(fc.integer({ min: 1, max: 1000 })), fc.nat(), (names, weights, rotation) => {
        const candidates = names.map((key) => ({ key, weight: weights.next().value ?? 1 }));
        const rotated = candidates.map((_, i) => candidates[(i + rotation) % candidates.length] ?? expect.fail());
        const table = owners(candidates, 251);
        expect(table).toEqual(owners(rotated, 251));
        expect(table.every((owner) => owner !== undefined)).toBe(true);
      }),
    );
  });

  it("moves few slots besides those of a removed candidate", () => {
    for (const [count, limit] of [
      [4, 0.3],
      [10, 0.14],
      [100, 0.06],
    ] as const) {
      const before = owners(equal(count));
      const after = owners(equal(count).slice(0, -1));
      const moved = before.filter((owner, slot) => owner !== after[slot]).length / SIZE;
      expect(moved, `${count} targets`).toBeLessThan(limit);
      expect(moved).toBeGreaterThan(0);
    }
  });

  it("leaves all slots free when nobody has weight", () => {
    expect(new Set(lookupTable([], 7))).toEqual(new Set([-1]));
    expect(new Set(lookupTable([{ key: "a", weight: 0 }], 7))).toEqual(new Set([-1]));
  });
});
