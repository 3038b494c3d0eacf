import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { matchesPattern, sharesPartition } from "./partition-match.ts";

describe("patterns of partitions", () => {
  it.each([
    ["*", "", true],
    ["*", "north", true],
    ["", "", true],
    ["", "north", false],
    ["n*h", "north", true],
    ["n*h", "northern", false],
    ["*or*", "north", true],
    ["n?rth", "north", true],
    ["n?rth", "nrth", false],
    ["line-[1-3]", "line-2", true],
    ["line-[1-3]", "line-4", false],
    ["line-[!1-3]", "line-4", true],
    ["line-[!1-3]", "line-3", false],
    ["[]]", "]", true],
    ["[a-]", "-", true],
    ["line-[1", "line-[1", true],
    ["\\*", "*", true],
    ["\\*", "a", false],
    ["\\", "\\", true],
    ["a.c", "abc", false],
    ["***a", "a", true],
  ])("%s and %s: %s", (pattern, name, expected) => {
    expect(matchesPattern(pattern, name)).toBe(expected);
  });

  it("agree with regular expressions", () => {
    const letters = fc.string({ unit: fc.constantFrom("a", "b"), maxLength: 8 });
    const pattern = fc.string({ unit: fc.constantFrom("a", "b", "*", "?"), maxLength: 6 });
    fc.assert(
      fc.property(pattern, letters, (some, name) => {
        const expression = new RegExp(`^${some.replaceAll("*", "[ab]*").replaceAll("?", "[ab]")}$`);
        expect(matchesPattern(some, name)).toBe(expression.test(name));
      }),
    );
  });

  it("cost no more than the product of the lengths, however many stars there are", () => {
    const began = performance.now();
    expect(matchesPattern("a*".repeat(2_000), `${"a".repeat(4_000)}b`)).toBe(true);
    expect(matchesPattern(`${"*a".repeat(1_000)}c`, "a".repeat(2_000))).toBe(false);
    expect(performance.now() - began).toBeLessThan(2_000);
  });
});

describe("partitions in common", () => {
  it.each([
    [["north"], ["north"], true],
    [["north"], ["south"], false],
    [["north", "south"], ["south"], true],
    [["nor*"], ["north"], true],
    [["north"], ["nor*"], true],
    [["*"], [""], true],
    [["north"], [""], false],
    // A pattern stands for names, not for patterns.
    [["nor*"], ["nor*"], false],
    [["*"], ["n?rth"], false],
  ])("%j and %j: %s", (one, other, expected) => {
    expect(sharesPartition(one, other)).toBe(expected);
    expect(sharesPartition(other, one)).toBe(expected);
  });
});

/* As two participants of the vendor did, one with each. */
describe.each([
  ["cyclone", [false, false, false, true, true, false, true]],
  ["fast", [true, true, true, true, true, true, true]],
] as const)("the rules of %s", (rules, expected) => {
  it("are what was seen of it", () => {
    const seen = [
      ["*", "*"],
      ["*", "n*"],
      ["n*", "n*"],
      ["*", ""],
      ["", "*"],
      ["n[a-z]rth", "north"],
      ["north", "n?rth"],
    ].map(([writer = "", reader = ""]) => sharesPartition([writer], [reader], rules));
    expect(seen).toEqual(expected);
  });
});
