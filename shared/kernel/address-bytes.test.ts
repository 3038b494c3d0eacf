import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { addressBytes, canonicalAddress, canonicalPrefix, formatAddress, prefixBytes } from "./address-bytes.ts";
import { KernelInvalidError } from "./kernel-error.ts";

describe("addresses", () => {
  test.each([
    ["192.0.2.1", "192.0.2.1"],
    ["2001:DB8:0:0:0:0:0:1", "2001:db8::1"],
    ["2001:db8:0:1:1:1:1:1", "2001:db8:0:1:1:1:1:1"],
    ["::", "::"],
    ["0:0:1::", "0:0:1::"],
  ])("%s is written %s", (input, canonical) => {
    expect(canonicalAddress(input)).toBe(canonical);
  });

  test("bytes survive the way through text", () => {
    const bytes = fc.oneof(
      fc.uint8Array({ minLength: 4, maxLength: 4 }),
      fc.uint8Array({ minLength: 16, maxLength: 16 }),
    );
    fc.assert(
      fc.property(bytes, (value) => {
        expect(addressBytes(formatAddress(value))).toEqual(value);
      }),
    );
  });

  test.each(["", "1.2.3", "1.2.3.4.5", "01.2.3.4", "256.1.1.1", "fe80::1%eth0", "::1::", "host", "1.2.3.4\0"])(
    "%j is no address",
    (input) => {
      expect(() => addressBytes(input)).toThrow(KernelInvalidError);
    },
  );

  test("prefixes", () => {
    expect(prefixBytes("10.0.0.0/8")).toEqual({ family: 4, bytes: Uint8Array.of(10, 0, 0, 0), length: 8 });
    expect(canonicalPrefix("2001:DB8:0::/33")).toBe("2001:db8::/33");
    expect(() => prefixBytes("10.0.0.1/31")).toThrow(/write 10\.0\.0\.0\/31/);
    expect(() => prefixBytes("fd00::ff/121")).toThrow(/write fd00::80\/121/);
    for (const bad of ["10.0.0.0", "10.0.0.0/33", "::/129", "/8", "10.0.0.0/-1", "10.0.0.0/8/8"]) {
      expect(() => prefixBytes(bad)).toThrow(KernelInvalidError);
    }
  });
});
