import { expect, test } from "vitest";
import { structuralFaults } from "./structural-rules.fixture.ts";
import { admitted, type OpenApiSchema, openApiSchema } from "./structural-schema.fixture.ts";

const text = { type: "string", maxLength: 5 } as const;
const withRule = (rule: string, message = "m", fieldPath = ".a"): OpenApiSchema => ({
  type: "object",
  properties: { a: text, free: { type: "string" }, list: { type: "array", items: text } },
  "x-kubernetes-validations": [{ rule, message, fieldPath }],
});

test.each<readonly [string, OpenApiSchema, string]>([
  ["no type", { properties: {} }, "needs either a type"],
  ["a type beside int-or-string", { type: "string", "x-kubernetes-int-or-string": true }, "needs either a type"],
  ["a list without items", { type: "array" }, "items and lists"],
  ["a nested field without type", { type: "object", properties: { a: { maxLength: 1 } } }, ".a: needs either a type"],
  ["fixed and free fields", { type: "object", properties: {}, additionalProperties: text }, "fixed fields"],
  ["an unknown field that is required", { type: "object", properties: {}, required: ["a"] }, "requires unknown a"],
  ["a type inside anyOf", { type: "string", anyOf: [{ type: "string" }] }, "type in anyOf"],
  ["a field in anyOf alone", { type: "object", anyOf: [{ properties: { a: {} } }] }, "not specified outside"],
  ["a default that is not valid", { ...text, default: "too long" }, "default of : length"],
  ["a default with unknown fields", { type: "object", properties: {}, default: { b: 1 } }, "default is incomplete"],
  [
    "a default without nested ones",
    { type: "object", properties: { a: { ...text, default: "x" } }, default: {} },
    "default is incomplete",
  ],
  [
    "a key that may be absent",
    {
      type: "array",
      "x-kubernetes-list-type": "map",
      "x-kubernetes-list-map-keys": ["a"],
      items: { type: "object", properties: { a: text } },
    },
    "key a is neither required",
  ],
  ["a map without keys", { type: "array", "x-kubernetes-list-type": "map", items: text }, "has keys"],
  ["a rule on a field that is not there", withRule("self.b == ''"), "no field b"],
  ["a rule on an unlimited text", withRule("self.free == ''"), "free is a text without maxLength"],
  ["a rule on an unlimited list", withRule("self.list.all(x, x == '')"), "list is a list without maxItems"],
  ["a rule about an unknown field", withRule("self.a == ''", "m", ".b"), "speaks of unknown .b"],
  ["a message of two lines", withRule("self.a == ''", "m\nm"), "one line"],
])("refuses %s", (_, schema, message) => {
  expect([...structuralFaults(schema, "")].join("\n")).toContain(message);
});

test("keywords that are forbidden or not understood are no schema", () => {
  for (const keyword of [{ $ref: "#/x" }, { uniqueItems: true }, { additionalProperties: false }, { nullable: true }]) {
    expect(openApiSchema.safeParse({ type: "object", ...keyword }).success).toBe(false);
  }
});

test("an object is pruned, filled in and validated", () => {
  const schema: OpenApiSchema = {
    type: "object",
    required: ["need"],
    properties: {
      need: { type: "integer", minimum: 1, maximum: 3 },
      inner: {
        type: "object",
        default: {},
        properties: { a: { ...text, default: "x" }, list: { type: "array", maxItems: 1, items: text } },
      },
    },
  };
  const of = (value: unknown) => admitted(schema, value);
  expect(of({ need: 1, other: 2, inner: null })).toEqual({
    object: { need: 1, inner: { a: "x" } },
    faults: [],
    broken: [],
  });
  expect(of({ need: 4 }).faults).toEqual([".need: more than 3"]);
  expect(of({ need: 1.5 }).faults).toEqual([".need: not of type integer"]);
  expect(of({ inner: { a: "123456", list: ["", 1] } }).faults).toEqual([
    ": need is missing",
    ".inner.a: length",
    ".inner.list: too many items",
    ".inner.list[1]: not of type string",
  ]);
});
