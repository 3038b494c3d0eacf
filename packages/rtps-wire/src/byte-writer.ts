import { RtpsBuildError } from "./errors.ts";

const encoder = new TextEncoder();

/** Writes integers, strings and octets into a buffer that grows. Values that do not fit are `RtpsBuildError`s. */
export class ByteWriter {
  #bytes = new Uint8Array(256);
  #view = new DataView(this.#bytes.buffer);
  #length = 0;
  littleEndian: boolean;

  constructor(littleEndian: boolean) {
    this.littleEndian = littleEndian;
  }

  get length(): number {
    return this.#length;
  }

  finish(): Uint8Array<ArrayBuffer> {
    return this.#bytes.slice(0, this.#length);
  }

  /** Where to write so many octets. It may replace the buffer: call it before the buffer is named. */
  #reserve(length: number): number {
    const start = this.#length;
    if (start + length > this.#bytes.length) {
      const bytes = new Uint8Array(Math.max(start + length, 2 * this.#bytes.length));
      bytes.set(this.#bytes);
      this.#bytes = bytes;
      this.#view = new DataView(bytes.buffer);
    }
    this.#length = start + length;
    return start;
  }

  u8(value: number, field: string): void {
    const checked = within(value, 0, 0xff, field);
    const at = this.#reserve(1);
    this.#view.setUint8(at, checked);
  }

  u16(value: number, field: string): void {
    const checked = within(value, 0, 0xffff, field);
    const at = this.#reserve(2);
    this.#view.setUint16(at, checked, this.littleEndian);
  }

  u32(value: number, field: string): void {
    const checked = within(value, 0, 0xffff_ffff, field);
    const at = this.#reserve(4);
    this.#view.setUint32(at, checked, this.littleEndian);
  }

  i32(value: number, field: string): void {
    const checked = within(value, -0x8000_0000, 0x7fff_ffff, field);
    const at = this.#reserve(4);
    this.#view.setInt32(at, checked, this.littleEndian);
  }

  /** High word, then low word, each in the byte order of the rest. */
  i64(value: bigint, field: string): void {
    if (BigInt.asIntN(64, value) !== value) throw new RtpsBuildError(field, `${value} does not fit in 64 bits`);
    this.i32(Number(value >> 32n), field);
    this.u32(Number(value & 0xffff_ffffn), field);
  }

  octets(value: Uint8Array): void {
    const at = this.#reserve(value.length);
    this.#bytes.set(value, at);
  }

  /** Exactly `length` octets. */
  fixed(value: Uint8Array, length: number, field: string): void {
    if (value.length !== length) throw new RtpsBuildError(field, `${value.length} octets instead of ${length}`);
    this.octets(value);
  }

  /** The buffer is only ever written forwards, so what lies ahead is zero. */
  zeros(length: number): void {
    this.#reserve(length);
  }

  /** Zeros up to a multiple of 4 from `origin`. */
  align(origin: number): void {
    this.zeros(-(this.#length - origin) & 3);
  }

  /** A CDR string: length with the final NUL, UTF-8, NUL. */
  text(value: string, field: string): void {
    if (value.includes("\0")) throw new RtpsBuildError(field, "holds a NUL");
    if (!value.isWellFormed()) throw new RtpsBuildError(field, "holds half of a surrogate pair");
    const octets = encoder.encode(value);
    this.u32(octets.length + 1, field);
    this.octets(octets);
    this.zeros(1);
  }

  /** Overwrites a u16 that was written before. */
  setU16(offset: number, value: number, field: string): void {
    this.#view.setUint16(offset, within(value, 0, 0xffff, field), this.littleEndian);
  }
}

function within(value: number, smallest: number, largest: number, field: string): number {
  if (Number.isInteger(value) && value >= smallest && value <= largest) return value;
  throw new RtpsBuildError(field, `${value} is not an integer from ${smallest} to ${largest}`);
}
