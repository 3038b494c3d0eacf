/*
 * The wire format of protocol buffers (https://protobuf.dev/programming-guides/encoding/), as far as the container
 * runtime interface needs it: a library for it takes 5 MB of resident memory.
 */

const VARINT = 0;
const FIXED_64 = 1;
const LENGTH = 2;
const FIXED_32 = 5;

/** One field of a message as it is on the wire; fixed-width fields, which nothing here has, are passed over. */
export type Field =
  | { readonly number: number; readonly kind: "varint"; readonly value: bigint }
  | { readonly number: number; readonly kind: "bytes"; readonly value: Buffer };

/** Reads a message's fields in their order. @throws RangeError when the bytes are no message. */
export function* fieldsOf(message: Buffer): Generator<Field> {
  let at = 0;
  const varint = (): bigint => {
    let value = 0n;
    for (let shift = 0n; shift < 70n; shift += 7n) {
      const byte = message[at++];
      if (byte === undefined) throw new RangeError("the message ends inside a number");
      value |= BigInt(byte & 0x7f) << shift;
      if (byte < 0x80) return BigInt.asUintN(64, value);
    }
    throw new RangeError("a number has more than ten bytes");
  };
  const take = (length: number): Buffer => {
    if (length > message.length - at) throw new RangeError("the message ends inside a field");
    at += length;
    return message.subarray(at - length, at);
  };
  while (at < message.length) {
    const tag = varint();
    const number = Number(tag >> 3n);
    if (number < 1 || number > 0x1fffffff) throw new RangeError(`no field has the number ${number}`);
    switch (Number(tag & 7n)) {
      case VARINT:
        yield { number, kind: "varint", value: varint() };
        break;
      case LENGTH:
        // Longer than any buffer: refused by `take` all the same.
        yield { number, kind: "bytes", value: take(Number(varint())) };
        break;
      case FIXED_64:
        take(8);
        break;
      case FIXED_32:
        take(4);
        break;
      default:
        throw new RangeError(`field ${number} has a wire type that does not exist`);
    }
  }
}

function varintBytes(value: number): Buffer {
  const bytes: number[] = [];
  let rest = value;
  while (rest >= 0x80) {
    bytes.push((rest % 0x80) | 0x80);
    rest = Math.floor(rest / 0x80);
  }
  return Buffer.from([...bytes, rest]);
}

/** A field of a string, or of a message in its bytes. */
export function bytesField(number: number, value: string | Buffer): Buffer {
  const bytes = typeof value === "string" ? Buffer.from(value) : value;
  return Buffer.concat([varintBytes(number * 8 + LENGTH), varintBytes(bytes.length), bytes]);
}

/** A field of a whole number that is not negative, a truth value or an enumeration. */
export function varintField(number: number, value: number): Buffer {
  return Buffer.concat([varintBytes(number * 8 + VARINT), varintBytes(value)]);
}
