import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { bigIntToIp, ip } from "../net/ip.ts";
import { flowSlot } from "./flow-hash.ts";

describe("flowSlot", () => {
  // Slots that Linux 6.18 put into the mark for `jhash … mod 997 seed 0x1234`.
  it.each([
    ["10.0.0.1", "10.9.0.1", "tuple", 73],
    ["2001:db8::1", "2001:db8:9::1", "tuple", 506],
    ["2001:db8::1", "2001:db8:9::1", "source", 69],
  ] as const)("%s to %s by %s is slot %i, as in the kernel", (source, destination, fields, slot) => {
    const flow = { source: ip(source), destination: ip(destination), sourcePort: 1234, destinationPort: 80 };
    expect(flowSlot(flow, fields, 997, 0x1234).slot).toBe(slot);
  });

  const address = fc.bigInt(0n, 2n ** 32n - 1n).map((value) => bigIntToIp(value, 4));
  const port = fc.integer({ min: 0, max: 65535 });

  it("is a slot of the table, whatever the seed", () => {
    fc.assert(
      fc.property(address, address, port, port, fc.integer({ min: 0, max: 0xffffffff }), (a, b, p, q, seed) => {
        const flow = { source: a, destination: b, sourcePort: p, destinationPort: q };
        const { hash, slot } = flowSlot(flow, "tuple", 251, seed);
        expect(hash >= 0 && hash <= 0xffffffff && slot >= 0 && slot < 251).toBe(true);
        expect(flowSlot({ ...flow, sourcePort: 0 }, "source", 251, seed)).toEqual(flowSlot(flow, "source", 251, seed));
      }),
    );
  });
});
