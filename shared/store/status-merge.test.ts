import fc from "fast-check";
import { expect, test } from "vitest";
import { mergeStatus } from "./status-merge.ts";

const ready = { type: "Ready", status: "True" };
const accepted = { type: "Accepted", status: "False" };

test("lists with a key merge item by item, at any depth", () => {
  const merged = mergeStatus([
    { conditions: [ready], listeners: [{ name: "web", attachedRoutes: 1, conditions: [accepted] }] },
    { conditions: [{ ...ready, status: "False" }, accepted], listeners: [{ name: "web", conditions: [ready] }] },
  ]);
  expect(merged).toEqual({
    conditions: [{ ...ready, status: "False" }, accepted],
    listeners: [{ name: "web", attachedRoutes: 1, conditions: [accepted, ready] }],
  });
});

test("a parent is the same one with or without the defaults of its reference", () => {
  const parent = (parentRef: object, controllerName = "causeway.dev/gateway-controller") => ({
    parents: [{ parentRef, controllerName, conditions: [] }],
  });
  const merged = mergeStatus([
    parent({ name: "gw" }),
    parent({ kind: "Gateway", group: "gateway.networking.k8s.io", name: "gw" }),
    parent({ name: "gw", sectionName: "web" }),
    parent({ name: "gw" }, "example.com/other"),
  ]);
  expect(merged.parents).toHaveLength(3);
});

test("other lists come whole from the last layer that has them", () => {
  expect(mergeStatus([{ supportedKinds: [1, 2] }, { supportedKinds: [3] }, {}])).toEqual({ supportedKinds: [3] });
});

test("merging takes any JSON, keeps every field, and pollutes no prototype", () => {
  const json = fc.dictionary(
    fc.oneof(fc.constantFrom("conditions", "parents", "instances", "addresses", "__proto__"), fc.string()),
    fc.jsonValue(),
  );
  fc.assert(
    fc.property(json, json, (lower, upper) => {
      const merged = mergeStatus([lower, upper]);
      expect(new Set(Object.keys(merged))).toEqual(new Set([...Object.keys(lower), ...Object.keys(upper)]));
      expect(Object.getPrototypeOf(merged)).toBe(Object.prototype);
    }),
  );
});
