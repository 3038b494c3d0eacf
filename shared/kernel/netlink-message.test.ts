import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { MessageWriter, NetlinkDecodeError, parseAttributes, parseMessages, parseNextHops } from "./netlink-message.ts";

const attributesOf = fc.uniqueArray(
  fc.record({ type: fc.integer({ min: 1, max: 200 }), value: fc.uint8Array({ maxLength: 40 }) }),
  { selector: ({ type }) => type, maxLength: 12 },
);

describe("netlink messages", () => {
  test("byte vector: ip route add 10.0.0.0/8 via 192.0.2.1", () => {
    const writer = new MessageWriter();
    writer.startMessage(24, 0x605, 7);
    writer.u8(2).u8(8).u8(0).u8(0).u8(254).u8(3).u8(0).u8(1).u32(0);
    writer.attribute(1, Uint8Array.of(10, 0, 0, 0)).attribute(5, Uint8Array.of(192, 0, 2, 1));
    writer.endMessage();
    expect(Buffer.from(writer.bytes()).toString("hex")).toBe(
      `${"2c000000"}${"1800"}${"0506"}${"07000000"}${"00000000"}${"02080000"}${"fe030001"}${"00000000"}${"08000100"}${"0a000000"}${"08000500"}${"c0000201"}`,
    );
  });

  test("byte vector: padding, strings, nesting", () => {
    const writer = new MessageWriter();
    writer.startMessage(16, 0, 1);
    writer.nested(18, () => writer.attributeString(1, "veth").attributeU8(2, 9));
    writer.endMessage();
    writer.addFlags(4);
    expect(Buffer.from(writer.bytes()).toString("hex")).toBe(
      "280000001000040001000000000000001800128009000100766574680000000005000200" + "09000000",
    );
    const [message] = parseMessages(writer.bytes());
    const nested = message && parseAttributes(message.payload, 0).nested(18);
    expect([nested?.string(1), nested?.u8(2), nested?.u8(3)]).toEqual(["veth", 9, undefined]);
  });

  test("what is written is read back, abandoned messages excepted", () => {
    fc.assert(
      fc.property(
        fc.array(fc.record({ type: fc.nat(0xffff), attributes: attributesOf, keep: fc.boolean() }), { maxLength: 6 }),
        (messages) => {
          const writer = new MessageWriter();
          messages.forEach(({ type, attributes, keep }, index) => {
            writer.startMessage(type, 1, index);
            writer.u32(index);
            for (const { type, value } of attributes) writer.attribute(type, value);
            if (keep) writer.endMessage();
            else writer.abandonMessage();
          });
          const kept = messages.map((message, index) => ({ ...message, index })).filter(({ keep }) => keep);
          const parsed = parseMessages(writer.bytes());
          expect(parsed.map(({ type, sequence }) => [type, sequence])).toEqual(kept.map((m) => [m.type, m.index]));
          parsed.forEach(({ payload }, position) => {
            const read = parseAttributes(payload, 4);
            for (const { type, value } of kept[position]?.attributes ?? []) expect(read.bytes(type)).toEqual(value);
          });
        },
      ),
    );
  });

  test("next hops are read back", () => {
    const hop = fc.record({
      flags: fc.nat(255),
      hops: fc.nat(255),
      ifindex: fc.nat(0xffffffff),
      gateway: fc.uint8Array({ minLength: 4, maxLength: 4 }),
    });
    fc.assert(
      fc.property(fc.array(hop, { maxLength: 20 }), (hops) => {
        const writer = new MessageWriter();
        for (const { flags, hops: weight, ifindex, gateway } of hops) {
          writer.nextHop(flags, weight, ifindex, () => writer.attribute(5, gateway));
        }
        const read = parseNextHops(writer.bytes());
        expect(read.map(({ attributes, ...rest }) => ({ ...rest, gateway: attributes.bytes(5) }))).toEqual(hops);
      }),
    );
  });

  test("any bytes are parsed or refused with NetlinkDecodeError", () => {
    const bytes = fc.oneof(
      fc.uint8Array({ maxLength: 200 }),
      // Plausible lengths get further into the parser than random ones.
      fc
        .array(fc.integer({ min: 0, max: 40 }), { maxLength: 50 })
        .map((words) => new Uint8Array(Uint32Array.from(words).buffer)),
    );
    fc.assert(
      fc.property(bytes, fc.nat(20), (input, offset) => {
        for (const parse of [
          () => parseMessages(input),
          () => parseAttributes(input, offset),
          () => parseNextHops(input),
        ]) {
          try {
            parse();
          } catch (error) {
            expect(error).toBeInstanceOf(NetlinkDecodeError);
          }
        }
      }),
      { numRuns: 2000 },
    );
  });

  test("every truncation of a message is refused", () => {
    const writer = new MessageWriter();
    writer.startMessage(1, 0, 1);
    writer.attributeU32(3, 5);
    writer.endMessage();
    const whole = writer.bytes();
    for (let length = 1; length < whole.length; length++) {
      expect(() => parseMessages(whole.subarray(0, length))).toThrow(NetlinkDecodeError);
    }
    const attributes = parseAttributes(Uint8Array.of(5, 0, 1, 0, 9), 0);
    expect(() => attributes.u32(1)).toThrow(NetlinkDecodeError);
  });
});
