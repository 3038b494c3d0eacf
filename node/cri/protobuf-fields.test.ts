import fc from "fast-check";
import { expect, test } from "vitest";
import { bytesField, type Field, fieldsOf, varintField } from "./protobuf-fields.ts";

const number = fc.integer({ min: 1, max: 0x1fffffff });
const bytes = fc.uint8Array({ maxLength: 300 }).map((array) => Buffer.from(array));

test("what is written is read back, in its order", () => {
  const field: fc.Arbitrary<Field> = fc.oneof(
    fc.record({ number, kind: fc.constant("bytes" as const), value: bytes }),
    fc.record({ number, kind: fc.constant("varint" as const), value: fc.bigInt({ min: 0n, max: 2n ** 53n - 1n }) }),
  );
  fc.assert(
    fc.property(fc.array(field), (fields) => {
      const message = Buffer.concat(
        fields.map((f) =>
          f.kind === "bytes" ? bytesField(f.number, f.value) : varintField(f.number, Number(f.value)),
        ),
      );
      expect([...fieldsOf(message)]).toEqual(fields);
      for (const cut of [1, Math.floor(message.length / 2)]) {
        if (cut < message.length) readable(message.subarray(0, message.length - cut));
      }
    }),
  );
});

/** Reads whatever comes: only RangeError may come of it. */
function readable(message: Buffer): void {
  try {
    for (const { value } of fieldsOf(message)) if (value instanceof Buffer) expect(value.length).toBeLessThan(1_000);
  } catch (error) {
    expect(error).toBeInstanceOf(RangeError);
  }
}

test("any bytes are a message or refused", () => {
  fc.assert(fc.property(bytes, readable));
});

test.each<[string, readonly number[]]>([
  ["inside a number", [0x80]],
  ["inside a number", [0x08]],
  ["inside a field", [0x0a, 0x02, 0x41]],
  ["inside a field", [0x0a, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01]],
  ["inside a field", [0x09, 0, 0, 0, 0, 0, 0, 0]],
  ["ten bytes", [0x08, ...new Array<number>(11).fill(0x80)]],
  ["number 0", [0x00, 0x00]],
  ["wire type", [0x0b]],
])("refused: %s, %j", (reason, message) => {
  expect(() => [...fieldsOf(Buffer.from(message))]).toThrow(reason);
});

test("fixed-width fields are passed over", () => {
  const message = Buffer.from([0x09, 1, 2, 3, 4, 5, 6, 7, 8, 0x15, 1, 2, 3, 4, 0x08, 0x07]);
  expect([...fieldsOf(message)]).toEqual([{ number: 1, kind: "varint", value: 7n }]);
});
