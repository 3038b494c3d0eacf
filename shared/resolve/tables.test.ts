import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { type Leg, REFUSED } from "./intent-types.ts";
import { shareTables, TableCache, type TableRequest } from "./tables.ts";

const leg = (n: number): Leg => ({
  id: 0x10000 + n,
  key: `default/pod-${n}@default/svc`,
  target: `default/pod-${n}`,
  network: "default/svc",
  interface: "svc0",
  addresses: {},
  state: "accepting",
});
const request = (group: string, legs: readonly number[], more: Partial<TableRequest> = {}): TableRequest => ({
  group,
  size: 251,
  family: 4,
  shares: legs.map((n) => ({ leg: leg(n), weight: 1 / legs.length })),
  refused: 0,
  ...more,
});
const tablesOf = (...requests: TableRequest[]) => shareTables(requests, new TableCache());

describe("lookup tables", () => {
  it("are shared by groups of equal content, in whatever order targets are named", () => {
    const { tables, nameOf } = tablesOf(request("b", [1, 2]), request("a", [2, 1]), request("c", [1, 3]));
    expect(tables.size).toBe(2);
    expect(nameOf.get("a")).toBe(nameOf.get("b"));
    expect(nameOf.get("c")).not.toBe(nameOf.get("a"));
  });

  it.each([
    ["size", { size: 997 }],
    ["share of refused packets", { refused: 1 }],
    ["weights", { shares: [1, 2].map((n) => ({ leg: leg(n), weight: n })) }],
  ] as const)("are apart when their %s differ", (_what, more) => {
    expect(tablesOf(request("a", [1, 2]), request("b", [1, 2], more)).tables.size).toBe(2);
  });

  it("keep their names while targets that a whole group shares come and go", () => {
    const before = tablesOf(request("a", [1, 2]), request("b", [1, 2]));
    const after = tablesOf(request("b", [1, 2, 3]), request("a", [1, 2, 3]));
    expect([...after.tables.keys()]).toEqual([...before.tables.keys()]);
  });

  it("give refused backends their share of slots, and all of it when nobody else is there", () => {
    const half = tablesOf(request("a", [1, 2], { refused: 1 }))
      .tables.values()
      .next().value;
    const refused = half?.slots.filter((owner) => owner === REFUSED).length ?? 0;
    // Turns are dealt in rounds of the heaviest: two slots (of targets of half its weight) around the exact share.
    expect(Math.abs(refused - 251 / 2)).toBeLessThanOrEqual(2);
    const all = tablesOf(request("a", [], { refused: 1 }))
      .tables.values()
      .next().value;
    expect(new Set(all?.slots)).toEqual(new Set([REFUSED]));
  });

  it("are built once while nothing changes, and forgotten when nobody asks for them", () => {
    const cache = new TableCache();
    const slotsOf = (...legs: number[]) =>
      shareTables([request("a", legs)], cache)
        .tables.values()
        .next().value?.slots;
    const first = slotsOf(1, 2);
    cache.turn();
    expect(slotsOf(1, 2)).toBe(first);
    cache.turn();
    expect(slotsOf(1)).not.toBe(first);
    cache.turn();
    const rebuilt = slotsOf(1, 2);
    expect(rebuilt).not.toBe(first);
    expect(rebuilt).toEqual(first);
  });

  it("have a name for each group, owners that are legs of theirs, and nothing to do with the order of requests", () => {
    const legs = fc.uniqueArray(fc.integer({ min: 1, max: 6 }), { minLength: 1, maxLength: 6 });
    const requests = fc.uniqueArray(fc.record({ group: fc.stringMatching(/^[a-d]{1,2}$/), legs }), {
      selector: ({ group }) => group,
      maxLength: 6,
    });
    fc.assert(
      fc.property(requests, (some) => {
        const all = some.map(({ group, legs: members }) => request(group, members));
        const { tables, nameOf } = tablesOf(...all);
        for (const one of all) {
          const table = tables.get(nameOf.get(one.group) ?? "");
          expect(new Set(table?.slots)).toEqual(new Set(one.shares.map((share) => share.leg.id)));
          expect(new Set(table?.legs)).toEqual(new Set(table?.slots));
        }
        const reversed = tablesOf(...[...all].reverse());
        expect(new Map([...reversed.nameOf].sort())).toEqual(new Map([...nameOf].sort()));
        for (const [name, { slots }] of tables) expect(reversed.tables.get(name)?.slots).toEqual(slots);
      }),
      { numRuns: 50 },
    );
  });
});
