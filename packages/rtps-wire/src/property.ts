import type { ByteReader } from "./byte-reader.ts";
import type { ByteWriter } from "./byte-writer.ts";

/** DDS Security 7.2.1: a name and a value that a participant tells the others. */
export type Property = { readonly name: string; readonly value: string };

/** Two lengths. */
const SMALLEST_PROPERTY = 8;

/** The sequence of text properties; the binary ones that may follow are left alone. */
export function readProperties(reader: ByteReader, what: string): Property[] {
  const count = reader.count(SMALLEST_PROPERTY, what);
  const properties: Property[] = [];
  for (let index = 0; index < count; index++) {
    properties.push({ name: reader.text(what), value: reader.text(what) });
  }
  return properties;
}

export function writeProperties(writer: ByteWriter, properties: readonly Property[], field: string): void {
  const origin = writer.length;
  writer.u32(properties.length, field);
  for (const { name, value } of properties) {
    writer.align(origin);
    writer.text(name, field);
    writer.align(origin);
    writer.text(value, field);
  }
}
