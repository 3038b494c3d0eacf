import fc from "fast-check";
import { describe, expect, it } from "vitest";
import {
  bigIntToIp,
  bitsOf,
  cidr,
  cidrContains,
  cidrSpan,
  familyOf,
  hostCidr,
  ip,
  ipToBigInt,
  parseCidr,
  parseIp,
  parseIpRange,
  rangesOverlap,
} from "./ip.ts";

const address = fc.oneof(
  fc.bigInt(0n, 2n ** 32n - 1n).map((value) => bigIntToIp(value, 4)),
  // ::/16 holds the IPv4-mapped and -compatible forms, which are refused on purpose.
  fc.bigInt(2n ** 112n, 2n ** 128n - 1n).map((value) => bigIntToIp(value, 6)),
);

describe("addresses and prefixes", () => {
  it("keeps one canonical text per address", () => {
    expect(parseIp("2001:DB8:0:0::1")).toBe("2001:db8::1");
    for (const bad of [
      "",
      "1.2.3",
      "1.2.3.4.5",
      "01.2.3.4",
      "1.2.3.256",
      "::ffff:1.2.3.4",
      "fe80::1%eth0",
      "1",
      "::g",
    ]) {
      expect(parseIp(bad), bad).toBeUndefined();
    }
  });

  it("round-trips through integers", () => {
    fc.assert(
      fc.property(address, (a) => {
        expect(bigIntToIp(ipToBigInt(a), familyOf(a))).toBe(a);
        expect(parseIp(a)).toBe(a);
      }),
    );
  });

  it("clears host bits and contains what it spans", () => {
    expect(parseCidr("10.1.2.3/24")).toBe("10.1.2.0/24");
    expect(parseCidr("10.1.2.3/33")).toBeUndefined();
    expect(parseCidr("10.1.2.3/024")).toBeUndefined();
    fc.assert(
      fc.property(address, fc.nat(128), (a, n) => {
        const prefix = cidr(`${a}/${n % (bitsOf(familyOf(a)) + 1)}`);
        expect(cidrContains(prefix, a)).toBe(true);
        expect(parseCidr(prefix)).toBe(prefix);
        const { first, last, family } = cidrSpan(prefix);
        expect(cidrContains(prefix, bigIntToIp(first, family)) && cidrContains(prefix, bigIntToIp(last, family))).toBe(
          true,
        );
      }),
    );
    expect(hostCidr(ip("10.0.0.1"))).toBe("10.0.0.1/32");
  });

  it("reads ranges, refuses backward and mixed ones", () => {
    expect(parseIpRange("10.0.0.9-10.0.0.12")).toEqual({ family: 4, first: 167772169n, last: 167772172n });
    for (const bad of ["10.0.0.9-10.0.0.1", "10.0.0.1-2001:db8::1", "10.0.0.1", "a-b", "10.0.0.1-10.0.0.2-10.0.0.3"]) {
      expect(parseIpRange(bad), bad).toBeUndefined();
    }
    const range = (text: string) => parseIpRange(text) ?? expect.fail(text);
    expect(rangesOverlap(range("10.0.0.0/24"), range("10.0.0.255-10.0.1.3"))).toBe(true);
    expect(rangesOverlap(range("10.0.0.0/24"), range("10.0.1.0/24"))).toBe(false);
  });
});
