import fc from "fast-check";
import { expect, it } from "vitest";
import { copyNumber, election, type Sister } from "./election.ts";

const copy = { key: "239.255.0.1:7401 a b", from: "a", to: "b" };
const sister = (id: string, more: Partial<Sister> = {}): Sister => ({
  id,
  networks: new Set(["a", "b"]),
  offers: new Set([copyNumber(copy.key)]),
  ...more,
});

it("gateways that all hear each other and agree elect exactly one", () => {
  const ids = fc.uniqueArray(fc.stringMatching(/^[0-9a-f]{32}$/), { minLength: 1, maxLength: 6 });
  fc.assert(
    fc.property(ids, fc.string(), (all, name) => {
      const one = { ...copy, key: name };
      const offers = new Set([copyNumber(name)]);
      const winners = all.filter((id) => {
        const others = all.filter((other) => other !== id).map((other) => sister(other, { offers }));
        return election(id, others, one).isOurs;
      });
      expect(winners).toHaveLength(1);
    }),
  );
});

it("a gateway less moves only what was its own", () => {
  const ids = ["1", "2", "3", "4"];
  const keys = Array.from({ length: 400 }, (_, index) => `239.255.0.1:${7401 + index} a b`);
  const winner = (all: readonly string[], key: string): string | undefined =>
    all.find((id) => {
      const offers = new Set([copyNumber(key)]);
      const others = all.filter((other) => other !== id).map((other) => sister(other, { offers }));
      return election(id, others, { ...copy, key }).isOurs;
    });
  const before = keys.map((key) => winner(ids, key));
  const after = keys.map((key) => winner(["1", "2", "3"], key));
  for (const [index, id] of before.entries()) if (id !== "4") expect(after[index]).toBe(id);
  for (const id of ids) expect(before.filter((won) => won === id).length).toBeGreaterThan(60);
});

it("who is not heard on both networks, or does not offer the copy, does not count", () => {
  const rivals = ["1", "2", "3", "4", "5", "6", "7", "8"];
  const counts = (more: Partial<Sister>): boolean =>
    rivals.some((id) => election("0", [sister(id, more)], copy).contested);
  expect(counts({})).toBe(true);
  expect(counts({ networks: new Set(["a"]) })).toBe(false);
  expect(counts({ networks: new Set(["b", "c"]) })).toBe(false);
  expect(counts({ offers: new Set() })).toBe(false);
});
