import fc from "fast-check";
import { describe, expect, test } from "vitest";
import type { OpenApiSchema } from "#shared/api/structural-schema.fixture.ts";
import { merged } from "./api-double/field-merge.ts";
import { decodeFieldSet, encodeFieldSet, leavesOf } from "./api-double/field-set.ts";

/* The double's server-side apply, by property. */

const name = fc.constantFrom("a", "b", "c", "d.e/f");
const schema: OpenApiSchema = {
  type: "object",
  properties: {
    list: {
      type: "array",
      "x-kubernetes-list-type": "map",
      "x-kubernetes-list-map-keys": ["name"],
      items: { type: "object", properties: { name: { type: "string" } } },
    },
    set: { type: "array", "x-kubernetes-list-type": "set", items: { type: "string" } },
    atomic: { type: "array", items: { type: "object" } },
    whole: { type: "object", "x-kubernetes-map-type": "atomic" },
    map: { type: "object", additionalProperties: { type: "integer" } },
  },
};
const value = fc.record(
  {
    list: fc.uniqueArray(fc.record({ name, x: fc.nat() }, { requiredKeys: ["name"] }), {
      selector: (item) => item.name,
    }),
    set: fc.uniqueArray(name),
    atomic: fc.array(fc.record({ name })),
    whole: fc.dictionary(name, fc.nat()),
    map: fc.dictionary(name, fc.nat()),
    text: fc.string(),
  },
  { requiredKeys: [] },
);

describe("field sets", () => {
  test("are the same after FieldsV1 and back", () => {
    fc.assert(
      fc.property(value, (object) => {
        const set = new Set(leavesOf(schema, object).keys());
        expect(decodeFieldSet(encodeFieldSet(set))).toEqual(set);
      }),
    );
  });

  test("merging states all that was applied, and nothing that was not there before", () => {
    fc.assert(
      fc.property(value, value, (live, applied) => {
        const both = leavesOf(schema, merged(schema, live, applied));
        const [before, stated] = [leavesOf(schema, live), leavesOf(schema, applied)];
        for (const [path, leaf] of stated) if (both.has(path)) expect(both.get(path)).toEqual(leaf);
        for (const path of both.keys()) expect(before.has(path) || stated.has(path)).toBe(true);
        expect(merged(schema, applied, applied)).toEqual(applied);
      }),
    );
  });
});
