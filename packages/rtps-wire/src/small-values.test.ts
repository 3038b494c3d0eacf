import fc from "fast-check";
import { expect, it } from "vitest";
import { formatIpv4, formatIpv6, parseIpv4, parseIpv6 } from "./ip-text.ts";
import { domainOfPort, MAX_DOMAIN_ID, portsOf } from "./ports.ts";
import { DURATION_INFINITE, durationFromMs, durationToMs } from "./time.ts";

it("writes IPv6 addresses as the platform's URLs do, and reads them back", () => {
  const group = fc.oneof(fc.constant(0), fc.integer({ min: 0, max: 0xffff }));
  fc.assert(
    fc.property(fc.array(group, { minLength: 8, maxLength: 8 }), (groups) => {
      const octets = Uint8Array.from(groups.flatMap((value) => [value >> 8, value & 255]));
      const text = formatIpv6(octets, 0);
      expect(`[${text}]`).toBe(new URL(`http://[${groups.map((value) => value.toString(16)).join(":")}]`).hostname);
      expect(parseIpv6(text)).toEqual(octets);
    }),
  );
});

it("reads every form of an IPv6 address that the platform reads, and no other", () => {
  fc.assert(
    fc.property(fc.oneof(fc.ipV6(), fc.string({ unit: fc.constantFrom(..."012af:.") })), (text) => {
      const octets = parseIpv6(text);
      expect(octets !== undefined).toBe(URL.canParse(`http://[${text}]`));
      if (octets) expect(`[${formatIpv6(octets, 0)}]`).toBe(new URL(`http://[${text}]`).hostname);
    }),
    { numRuns: 2000 },
  );
});

it("reads and writes IPv4 addresses, without leading zeros", () => {
  fc.assert(
    fc.property(fc.ipV4(), (text) => {
      expect(formatIpv4(parseIpv4(text) ?? new Uint8Array(4), 0)).toBe(text);
    }),
  );
  for (const text of ["", "1.2.3", "1.2.3.4.5", "1.2.3.256", "01.2.3.4", "1.2.3.-4", "1.2.3.4 ", "::1"]) {
    expect(parseIpv4(text)).toBeUndefined();
  }
});

it("maps domains to ports and back", () => {
  expect(portsOf(0)).toEqual({
    metatrafficMulticast: 7400,
    metatrafficUnicast: 7410,
    userMulticast: 7401,
    userUnicast: 7411,
  });
  expect(portsOf(3, 2)).toEqual({
    metatrafficMulticast: 8150,
    metatrafficUnicast: 8164,
    userMulticast: 8151,
    userUnicast: 8165,
  });
  fc.assert(
    fc.property(fc.integer({ min: 0, max: MAX_DOMAIN_ID }), fc.integer({ min: 0, max: 62 }), (domainId, index) => {
      for (const port of Object.values(portsOf(domainId, index))) {
        expect(port).toBeLessThanOrEqual(65_535);
        expect(domainOfPort(port)).toBe(domainId);
      }
    }),
  );
  expect([7399, 0, -1, 65_650].map(domainOfPort)).toEqual(new Array(4).fill(undefined));
  expect(Object.values(portsOf(0, 119)).map(domainOfPort)).toEqual([0, 0, 0, 0]);
});

it.each([
  [-1, 0],
  [233, 0],
  [0.5, 0],
  [0, -1],
  [0, 120],
  [232, 63],
])("refuses domain %s, participant %s", (domainId, index) => {
  expect(() => portsOf(domainId, index)).toThrow(/is not an integer from 0 to/);
});

it("turns durations to milliseconds and back", () => {
  expect(durationToMs({ seconds: 1, fraction: 2 ** 31 })).toBe(1500);
  expect(durationToMs(DURATION_INFINITE)).toBe(Number.POSITIVE_INFINITY);
  expect(durationFromMs(Number.POSITIVE_INFINITY)).toEqual(DURATION_INFINITE);
  fc.assert(
    fc.property(fc.integer({ min: -1e9, max: 1e9 }), (ms) => {
      const duration = durationFromMs(ms);
      expect(duration.fraction).toBeGreaterThanOrEqual(0);
      expect(durationToMs(duration)).toBeCloseTo(ms, 5);
    }),
  );
  expect(durationFromMs(999.999_999_999)).toEqual({ seconds: 1, fraction: 0 });
});
