import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { BFD_STATES, type BfdPacket, BfdPacketError, encodeBfdPacket, parseBfdPacket } from "./bfd-packet.ts";

const uint32 = fc.nat(0xffffffff);
const packets: fc.Arbitrary<BfdPacket> = fc
  .record({
    diagnostic: fc.nat(31),
    state: fc.constantFrom(...BFD_STATES),
    poll: fc.boolean(),
    final: fc.boolean(),
    controlPlaneIndependent: fc.boolean(),
    demand: fc.boolean(),
    detectMultiplier: fc.integer({ min: 1, max: 255 }),
    myDiscriminator: fc.integer({ min: 1, max: 0xffffffff }),
    yourDiscriminator: fc.integer({ min: 1, max: 0xffffffff }),
    desiredMinTxUs: uint32,
    requiredMinRxUs: uint32,
    requiredMinEchoRxUs: uint32,
  })
  .filter(({ poll, final }) => !(poll && final));

/** Up, poll, multiplier 3, 0x11223344 to 0x55667788, 100 ms both ways, no echo. */
const VECTOR = "20 e0 03 18 11223344 55667788 000186a0 000186a0 00000000";

function bytes(hex: string): Uint8Array {
  return Uint8Array.from(Buffer.from(hex.replaceAll(" ", ""), "hex"));
}

describe("BFD control packets", () => {
  it("are laid out as RFC 5880, section 4.1 draws them", () => {
    const packet: BfdPacket = {
      diagnostic: 0,
      state: "Up",
      poll: true,
      final: false,
      controlPlaneIndependent: false,
      demand: false,
      detectMultiplier: 3,
      myDiscriminator: 0x11223344,
      yourDiscriminator: 0x55667788,
      desiredMinTxUs: 100_000,
      requiredMinRxUs: 100_000,
      requiredMinEchoRxUs: 0,
    };
    expect(encodeBfdPacket(packet)).toEqual(bytes(VECTOR));
    expect(parseBfdPacket(bytes(VECTOR))).toEqual(packet);
  });

  it("read another implementation's first packet: Down, diagnostic 1, 1 s", () => {
    expect(parseBfdPacket(bytes("21 40 05 18 deadbeef 00000000 000f4240 0000c350 00000000"))).toMatchObject({
      diagnostic: 1,
      state: "Down",
      detectMultiplier: 5,
      myDiscriminator: 0xdeadbeef,
      yourDiscriminator: 0,
      desiredMinTxUs: 1_000_000,
      requiredMinRxUs: 50_000,
    });
  });

  it("come back as they were sent, wherever in a buffer they lie", () => {
    fc.assert(
      fc.property(packets, fc.nat(7), (packet, offset) => {
        const buffer = new Uint8Array(64).fill(0xff);
        buffer.set(encodeBfdPacket(packet), offset);
        expect(parseBfdPacket(buffer.subarray(offset, offset + 24))).toEqual(packet);
      }),
    );
  });

  it.each([
    ["length", VECTOR.slice(0, -2)],
    ["length", ""],
    ["length", VECTOR.replace("18", "17")],
    ["length", VECTOR.replace("18", "19")],
    ["version", VECTOR.replace("20", "00")],
    ["version", VECTOR.replace("20", "40")],
    ["authentication", VECTOR.replace("e0", "e4")],
    ["multipoint", VECTOR.replace("e0", "e1")],
    ["poll-and-final", VECTOR.replace("e0", "f0")],
    ["multiplier", VECTOR.replace("03", "00")],
    ["discriminator", VECTOR.replace("11223344", "00000000")],
    ["your-discriminator", VECTOR.replace("55667788", "00000000")],
    ["your-discriminator", VECTOR.replace("55667788", "00000000").replace("e0", "a0")],
  ])("are discarded for their %s: %s", (rule, hex) => {
    expect(() => parseBfdPacket(bytes(hex))).toThrow(expect.objectContaining({ name: "BfdPacketError", rule }));
  });

  it("of any bytes are read or refused with a typed error", () => {
    const nearly = packets.chain((packet) =>
      fc.tuple(fc.nat(23), fc.nat(255)).map(([at, value]) => encodeBfdPacket(packet).with(at, value)),
    );
    fc.assert(
      fc.property(fc.oneof(fc.uint8Array({ maxLength: 300 }), nearly), (hostile) => {
        try {
          const packet = parseBfdPacket(hostile);
          expect(packet.myDiscriminator).toBeGreaterThan(0);
          expect(packet.detectMultiplier).toBeGreaterThan(0);
        } catch (error) {
          expect(error).toBeInstanceOf(BfdPacketError);
        }
      }),
      { numRuns: 1000 },
    );
  });
});
