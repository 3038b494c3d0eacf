import type { ByteReader } from "./byte-reader.ts";
import type { ByteWriter } from "./byte-writer.ts";

/** RTPS 9.3.2: seconds and fractions of 2^-32 s, as on the wire, so that nothing is rounded. */
export type Duration = { readonly seconds: number; readonly fraction: number };

/** Seconds since 1970 and fractions of 2^-32 s. */
export type Timestamp = { readonly seconds: number; readonly fraction: number };

const INFINITE_SECONDS = 0x7fff_ffff;
export const DURATION_INFINITE: Duration = { seconds: INFINITE_SECONDS, fraction: 0xffff_ffff };

/** Milliseconds; `Infinity` for an infinite one. Some vendors write another fraction with an infinite one's seconds. */
export function durationToMs({ seconds, fraction }: Duration): number {
  return seconds === INFINITE_SECONDS ? Number.POSITIVE_INFINITY : seconds * 1000 + (fraction * 1000) / 2 ** 32;
}

/** The duration of so many milliseconds, which are at most 2^31 s or `Infinity`. */
export function durationFromMs(ms: number): Duration {
  if (ms === Number.POSITIVE_INFINITY) return DURATION_INFINITE;
  const seconds = Math.floor(ms / 1000);
  const fraction = Math.round(((ms - seconds * 1000) / 1000) * 2 ** 32);
  return fraction === 2 ** 32 ? { seconds: seconds + 1, fraction: 0 } : { seconds, fraction };
}

export function readDuration(reader: ByteReader, what: string): Duration {
  return { seconds: reader.i32(what), fraction: reader.u32(what) };
}

export function writeDuration(writer: ByteWriter, { seconds, fraction }: Duration, field: string): void {
  writer.i32(seconds, field);
  writer.u32(fraction, field);
}

export function readTimestamp(reader: ByteReader, what: string): Timestamp {
  return { seconds: reader.u32(what), fraction: reader.u32(what) };
}

export function writeTimestamp(writer: ByteWriter, { seconds, fraction }: Timestamp, field: string): void {
  writer.u32(seconds, field);
  writer.u32(fraction, field);
}
