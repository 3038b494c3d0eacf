import fc from "fast-check";
import { expect, test } from "vitest";
import { putBack, Repairs } from "./repairs.ts";

const names = fc.uniqueArray(fc.constantFrom("a", "b", "c", "d", "e", "f"));
const text = (name: string): string => name;
const planOf = (desired: readonly string[], actual: readonly string[]) => ({
  add: desired.filter((name) => !actual.includes(name)),
  replace: [],
  delete: actual.filter((name) => !desired.includes(name)),
});

test("what the objects change is no repair", () => {
  fc.assert(
    fc.property(names, names, (placed, desired) => {
      expect(putBack(planOf(desired, placed), placed, text)).toBe(0);
    }),
  );
});

test("what somebody else took away or added is, when the objects want the same", () => {
  fc.assert(
    fc.property(names, names, (placed, actual) => {
      const differing = new Set(placed).symmetricDifference(new Set(actual)).size;
      expect(putBack(planOf(placed, actual), placed, text)).toBe(differing);
    }),
  );
});

test("in the first pass nothing is known to have been there", () => {
  expect(putBack(planOf(["a"], ["b"]), undefined, text)).toBe(0);
});

test("counts passes by kind, and knows when the last was", () => {
  const repairs = new Repairs();
  expect(repairs.note({ routes: 0, settings: 0 }, 0)).toEqual([]);
  expect(repairs.note({ routes: 3, ruleset: 1 }, 0)).toEqual(["ruleset", "routes"]);
  expect(repairs.note({ routes: 1 }, 60_000)).toEqual(["routes"]);
  expect(repairs.status()).toEqual([
    { what: "ruleset", count: 1, lastAt: "1970-01-01T00:00:00.000Z" },
    { what: "routes", count: 2, lastAt: "1970-01-01T00:01:00.000Z" },
  ]);
});
