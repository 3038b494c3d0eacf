import type { ByteReader } from "./byte-reader.ts";
import type { ByteWriter } from "./byte-writer.ts";
import { RtpsBuildError, RtpsParseError } from "./errors.ts";
import { type Duration, readDuration, writeDuration } from "./time.ts";

/*
 * QoS policies as they travel (DDS 2.2.3, RTPS 9.6.3.2). A kind is a 32-bit number on the wire and a word here.
 */

export const DURABILITY_KINDS = ["volatile", "transient-local", "transient", "persistent"] as const;
export const OWNERSHIP_KINDS = ["shared", "exclusive"] as const;
const LIVELINESS_KINDS = ["automatic", "manual-by-participant", "manual-by-topic"] as const;
export const DESTINATION_ORDERS = ["by-reception-timestamp", "by-source-timestamp"] as const;
const ACCESS_SCOPES = ["instance", "topic", "group"] as const;
/** 0 is none of them. */
const RELIABILITY_KINDS = [undefined, "best-effort", "reliable"] as const;

export type Durability = (typeof DURABILITY_KINDS)[number];
export type Ownership = (typeof OWNERSHIP_KINDS)[number];
export type DestinationOrder = (typeof DESTINATION_ORDERS)[number];
export type Reliability = { readonly kind: "best-effort" | "reliable"; readonly maxBlockingTime: Duration };
export type Liveliness = { readonly kind: (typeof LIVELINESS_KINDS)[number]; readonly leaseDuration: Duration };
export type Presentation = {
  readonly accessScope: (typeof ACCESS_SCOPES)[number];
  readonly coherent: boolean;
  readonly ordered: boolean;
};

export function readKind<Kind extends string>(
  reader: ByteReader,
  kinds: readonly (Kind | undefined)[],
  what: string,
): Kind {
  const at = reader.offset;
  const number = reader.u32(what);
  const kind = kinds[number];
  if (kind === undefined) throw new RtpsParseError(at, `${what}: there is no kind ${number}`);
  return kind;
}

export function writeKind<Kind extends string>(
  writer: ByteWriter,
  kinds: readonly (Kind | undefined)[],
  kind: Kind,
  field: string,
): void {
  const number = kinds.indexOf(kind);
  if (number < 0) throw new RtpsBuildError(field, `there is no kind ${JSON.stringify(kind)}`);
  writer.u32(number, field);
}

export function readReliability(reader: ByteReader, what: string): Reliability {
  return { kind: readKind(reader, RELIABILITY_KINDS, what), maxBlockingTime: readDuration(reader, what) };
}

export function writeReliability(writer: ByteWriter, { kind, maxBlockingTime }: Reliability, field: string): void {
  writeKind(writer, RELIABILITY_KINDS, kind, field);
  writeDuration(writer, maxBlockingTime, field);
}

export function readLiveliness(reader: ByteReader, what: string): Liveliness {
  return { kind: readKind(reader, LIVELINESS_KINDS, what), leaseDuration: readDuration(reader, what) };
}

export function writeLiveliness(writer: ByteWriter, { kind, leaseDuration }: Liveliness, field: string): void {
  writeKind(writer, LIVELINESS_KINDS, kind, field);
  writeDuration(writer, leaseDuration, field);
}

export function readPresentation(reader: ByteReader, what: string): Presentation {
  return {
    accessScope: readKind(reader, ACCESS_SCOPES, what),
    coherent: reader.u8(what) !== 0,
    ordered: reader.u8(what) !== 0,
  };
}

export function writePresentation(writer: ByteWriter, presentation: Presentation, field: string): void {
  writeKind(writer, ACCESS_SCOPES, presentation.accessScope, field);
  writer.u8(presentation.coherent ? 1 : 0, field);
  writer.u8(presentation.ordered ? 1 : 0, field);
}

/** A length and a NUL. */
const SMALLEST_NAME = 4;

export function readPartition(reader: ByteReader, what: string): string[] {
  const count = reader.count(SMALLEST_NAME, what);
  const names: string[] = [];
  for (let index = 0; index < count; index++) names.push(reader.text(what));
  return names;
}

export function writePartition(writer: ByteWriter, names: readonly string[], field: string): void {
  const origin = writer.length;
  writer.u32(names.length, field);
  for (const name of names) {
    writer.align(origin);
    writer.text(name, field);
  }
}

/** XTypes 7.6.3.1.1: identifiers of data representations, such as 0 for XCDR1 and 2 for XCDR2. */
export function readRepresentations(reader: ByteReader, what: string): number[] {
  const count = reader.count(2, what);
  const representations: number[] = [];
  for (let index = 0; index < count; index++) representations.push((reader.u16(what) << 16) >> 16);
  return representations;
}

export function writeRepresentations(writer: ByteWriter, representations: readonly number[], field: string): void {
  writer.u32(representations.length, field);
  for (const representation of representations) writer.u16(representation & 0xffff, field);
}
