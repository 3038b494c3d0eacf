import { expect, test } from "vitest";
import { quantityValue, sameQuantity } from "./quantity.ts";

test.each([
  ["1000m", "1"],
  ["0.5", "500m"],
  ["1024Mi", "1Gi"],
  ["2e3", "2k"],
  ["1500M", "1.5G"],
])("%s is %s", (a, b) => {
  expect(sameQuantity(a, b)).toBe(true);
});

test("what is no quantity is only itself", () => {
  expect(quantityValue("edge")).toBeUndefined();
  expect(quantityValue("")).toBeUndefined();
  expect(sameQuantity("a", "a")).toBe(true);
  expect(sameQuantity("a", "b")).toBe(false);
  expect(sameQuantity("1", "2")).toBe(false);
  expect(sameQuantity(1, "1")).toBe(false);
  expect(sameQuantity(undefined, "1")).toBe(false);
});
