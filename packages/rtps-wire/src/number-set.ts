import type { ByteReader } from "./byte-reader.ts";
import type { ByteWriter } from "./byte-writer.ts";
import { RtpsBuildError, RtpsParseError } from "./errors.ts";

/**
 * RTPS 9.4.2.6 and 9.4.2.8: numbers from `base` on, at most 256 of them: bit i of `bitmap` says whether `base + i` is in
 * the set. Bit 0 is the highest of the first word. Bits from `numBits` on are 0.
 */
type NumberSet<Base> = { readonly base: Base; readonly numBits: number; readonly bitmap: readonly number[] };
export type SequenceNumberSet = NumberSet<bigint>;
export type FragmentNumberSet = NumberSet<number>;

const MAX_BITS = 256;

/** The set of `numbers`, which lie less than 256 above `base`, in any order. An empty one says only `base`. */
export function sequenceNumberSet(base: bigint, numbers: Iterable<bigint> = []): SequenceNumberSet {
  const indexes = [...numbers].map((number) => ({ number, index: Number(number - base) }));
  const numBits = indexes.reduce((bits, { index }) => Math.max(bits, index + 1), 0);
  const bitmap = new Array<number>(Math.min(MAX_BITS, numBits + 31) >>> 5).fill(0);
  for (const { number, index } of indexes) {
    if (!(index >= 0 && index < MAX_BITS)) {
      throw new RtpsBuildError("numbers", `${number} is not from ${base} to ${base + BigInt(MAX_BITS - 1)}`);
    }
    bitmap[index >>> 5] = ((bitmap[index >>> 5] ?? 0) | (1 << (31 - (index & 31)))) >>> 0;
  }
  return { base, numBits, bitmap };
}

/** The numbers of a set, in order. */
export function sequenceNumbers({ base, numBits, bitmap }: SequenceNumberSet): bigint[] {
  return indexesOf(numBits, bitmap).map((index) => base + BigInt(index));
}

/** The fragments of a set, in order. */
export function fragmentNumbers({ base, numBits, bitmap }: FragmentNumberSet): number[] {
  return indexesOf(numBits, bitmap).map((index) => base + index);
}

function indexesOf(numBits: number, bitmap: readonly number[]): number[] {
  const indexes: number[] = [];
  for (let index = 0; index < numBits; index++) {
    if (((bitmap[index >>> 5] ?? 0) >>> (31 - (index & 31))) & 1) indexes.push(index);
  }
  return indexes;
}

export function readSequenceNumberSet(reader: ByteReader, what: string): SequenceNumberSet {
  return { base: reader.i64(what), ...readBits(reader, what) };
}

export function readFragmentNumberSet(reader: ByteReader, what: string): FragmentNumberSet {
  return { base: reader.u32(what), ...readBits(reader, what) };
}

function readBits(reader: ByteReader, what: string): { numBits: number; bitmap: number[] } {
  const at = reader.offset;
  const numBits = reader.u32(what);
  if (numBits > MAX_BITS) throw new RtpsParseError(at, `${what}: ${numBits} bits are more than ${MAX_BITS}`);
  const bitmap: number[] = [];
  for (let index = 0; index < numBits; index += 32) {
    const word = reader.u32(what);
    bitmap.push(numBits - index < 32 ? (word & (-1 << (32 - (numBits - index)))) >>> 0 : word);
  }
  return { numBits, bitmap };
}

export function writeSequenceNumberSet(writer: ByteWriter, set: SequenceNumberSet, field: string): void {
  writer.i64(set.base, field);
  writeBits(writer, set, field);
}

export function writeFragmentNumberSet(writer: ByteWriter, set: FragmentNumberSet, field: string): void {
  writer.u32(set.base, field);
  writeBits(writer, set, field);
}

function writeBits(writer: ByteWriter, { numBits, bitmap }: NumberSet<unknown>, field: string): void {
  if (numBits > MAX_BITS) throw new RtpsBuildError(field, `${numBits} bits are more than ${MAX_BITS}`);
  writer.u32(numBits, field);
  const words = (numBits + 31) >>> 5;
  if (bitmap.length !== words) throw new RtpsBuildError(field, `${bitmap.length} words for ${numBits} bits`);
  for (const word of bitmap) writer.u32(word, field);
}
