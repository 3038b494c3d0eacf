import type { ByteReader } from "./byte-reader.ts";
import type { ByteWriter } from "./byte-writer.ts";

/** A CDR sequence of octets, as a view. */
export function readOctets(reader: ByteReader, what: string): Uint8Array {
  return reader.view(reader.count(1, what), what);
}

export function writeOctets(writer: ByteWriter, octets: Uint8Array, field: string): void {
  writer.u32(octets.length, field);
  writer.octets(octets);
}
