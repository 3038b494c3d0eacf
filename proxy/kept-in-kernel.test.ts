import { expect, test } from "vitest";
import { restoredFlows } from "./kept-in-kernel.ts";

const SLOW = Uint32Array.of(1, 10, 2, 10);
const FAST = Uint32Array.of(3, 20, 1, 20, 4, 30);

test("flows of both paths are put back, once each", () => {
  expect([...restoredFlows([SLOW, FAST], 100)]).toEqual([
    [3, 20],
    [1, 20],
    [4, 30],
    [2, 10],
  ]);
});

test("no more than the map has room for, those of the fast path first", () => {
  expect([...restoredFlows([SLOW, FAST], 3).keys()]).toEqual([3, 1, 4]);
});
