import { RtpsParseError } from "./errors.ts";

const decoder = new TextDecoder("utf-8", { ignoreBOM: true });

/**
 * Reads `bytes` from `offset` up to `end`, never past it. Offsets count from the start of `bytes`, in errors too. CDR
 * aligns to the start of the value, so `origin` is where the reader began.
 */
export class ByteReader {
  readonly bytes: Uint8Array;
  readonly origin: number;
  readonly end: number;
  readonly littleEndian: boolean;
  offset: number;

  constructor(bytes: Uint8Array, offset: number, end: number, littleEndian: boolean) {
    this.bytes = bytes;
    this.origin = offset;
    this.offset = offset;
    this.end = end;
    this.littleEndian = littleEndian;
  }

  get remaining(): number {
    return this.end - this.offset;
  }

  /** Moves on by `length` octets and returns where they start. */
  take(length: number, what: string): number {
    const start = this.offset;
    if (length > this.end - start) {
      throw new RtpsParseError(start, `${what}: ${length} octets are needed, ${this.end - start} are left`);
    }
    this.offset = start + length;
    return start;
  }

  u8(what: string): number {
    return byteAt(this.bytes, this.take(1, what));
  }

  u16(what: string): number {
    return u16At(this.bytes, this.take(2, what), this.littleEndian);
  }

  u32(what: string): number {
    return u32At(this.bytes, this.take(4, what), this.littleEndian);
  }

  i32(what: string): number {
    return this.u32(what) | 0;
  }

  /** A sequence number or other 64-bit integer: signed high word, then unsigned low word. */
  i64(what: string): bigint {
    const start = this.take(8, what);
    const high = u32At(this.bytes, start, this.littleEndian) | 0;
    const low = u32At(this.bytes, start + 4, this.littleEndian);
    return high === 0 ? BigInt(low) : (BigInt(high) << 32n) | BigInt(low);
  }

  view(length: number, what: string): Uint8Array {
    const start = this.take(length, what);
    return this.bytes.subarray(start, start + length);
  }

  /** Octets up to the next multiple of 4; a value may end without them. */
  align(): void {
    this.offset = Math.min(this.end, this.offset + (-(this.offset - this.origin) & 3));
  }

  /** The length of a sequence, checked against what is left before anything is made of it. */
  count(smallest: number, what: string): number {
    const start = this.offset;
    const count = this.u32(what);
    if (count * smallest > this.remaining) {
      throw new RtpsParseError(start, `${what}: ${count} elements do not fit in ${this.remaining} octets`);
    }
    return count;
  }

  /** A CDR string: length with the final NUL, octets, NUL. Octets that are not UTF-8 become U+FFFD. */
  text(what: string): string {
    this.align();
    const length = this.count(1, what);
    if (length === 0) return "";
    const start = this.take(length, what);
    const end = start + length - 1;
    const nul = this.bytes.indexOf(0, start);
    if (nul !== end) throw new RtpsParseError(start, `${what}: a string ends with its only NUL`);
    return end - start > 24 ? decoder.decode(this.bytes.subarray(start, end)) : shortText(this.bytes, start, end);
  }
}

/** For a few ASCII characters a decoder's call costs more than they do. */
function shortText(bytes: Uint8Array, start: number, end: number): string {
  let text = "";
  for (let at = start; at < end; at++) {
    const byte = byteAt(bytes, at);
    if (byte >= 0x80) return decoder.decode(bytes.subarray(start, end));
    text += String.fromCharCode(byte);
  }
  return text;
}

/** The octet at `offset`, which the caller has checked to be there. */
export function byteAt(bytes: Uint8Array, offset: number): number {
  return bytes[offset] ?? 0;
}

export function u16At(bytes: Uint8Array, offset: number, littleEndian: boolean): number {
  const first = byteAt(bytes, offset);
  const second = byteAt(bytes, offset + 1);
  return littleEndian ? first | (second << 8) : (first << 8) | second;
}

export function u32At(bytes: Uint8Array, offset: number, littleEndian: boolean): number {
  const first = u16At(bytes, offset, littleEndian);
  const second = u16At(bytes, offset + 2, littleEndian);
  return (littleEndian ? first | (second << 16) : (first << 16) | second) >>> 0;
}
