import { expect, test } from "vitest";
import { apiFieldManager } from "./field-manager.ts";

test("names are ours, fit into the API's limit and stay apart", () => {
  expect(apiFieldManager("controller")).toBe("causeway-controller");
  const [a, b] = [apiFieldManager(`frontend-${"a".repeat(250)}1`), apiFieldManager(`frontend-${"a".repeat(250)}2`)];
  expect([a.length, b.length]).toEqual([128, 128]);
  expect(a).not.toBe(b);
});
