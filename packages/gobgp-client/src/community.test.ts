import fc from "fast-check";
import { expect, test } from "vitest";
import { formatCommunity, formatLargeCommunity, parseCommunity, parseLargeCommunity } from "./community.ts";

const u32 = fc.integer({ min: 0, max: 0xffffffff });

test("communities read back from their text", () => {
  fc.assert(fc.property(u32, (value) => parseCommunity(formatCommunity(value)) === value));
  expect(parseCommunity("65535:65281")).toBe(0xffffff01);
  fc.assert(
    fc.property(u32, u32, u32, (globalAdmin, localData1, localData2) => {
      const value = { globalAdmin, localData1, localData2 };
      expect(parseLargeCommunity(formatLargeCommunity(value))).toEqual(value);
    }),
  );
});

test("what is no community is refused", () => {
  for (const text of [
    "",
    "1",
    "1:2:3",
    "65536:0",
    "0:65536",
    "-1:0",
    "1:",
    ":1",
    "01:1",
    "0x1:1",
    " 1:1",
    "1e3:1",
    "no-export",
  ]) {
    expect(parseCommunity(text)).toBeUndefined();
  }
  for (const text of ["1:2", "1:2:3:4", "4294967296:0:0", "1:2:", "a:b:c"])
    expect(parseLargeCommunity(text)).toBeUndefined();
});
