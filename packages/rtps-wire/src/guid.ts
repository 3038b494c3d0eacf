import { type ByteReader, byteAt } from "./byte-reader.ts";
import type { ByteWriter } from "./byte-writer.ts";
import { RtpsBuildError } from "./errors.ts";

/** The 12 octets that all entities of a participant share, as 24 lower-case hexadecimal digits. */
export type GuidPrefix = string;

/** Which entity of the participant: 4 octets read as a big-endian integer, such as 0x000100c2. */
export type EntityId = number;

/** RTPS 8.2.4: names an entity for as long as it lives. */
export type Guid = { readonly prefix: GuidPrefix; readonly entityId: EntityId };

const GUID_PREFIX_LENGTH = 12;
export const GUID_LENGTH = 16;
/** "Nobody in particular": in INFO_DST, every participant. */
export const GUID_PREFIX_UNKNOWN: GuidPrefix = "0".repeat(24);

const PREFIX = /^[0-9a-f]{24}$/;
const TEXT = /^([0-9a-f]{24}):([0-9a-f]{8})$/;
const HEX = Array.from({ length: 256 }, (_, byte) => byte.toString(16).padStart(2, "0"));

/** `PREFIX:ENTITYID` in hexadecimal: one string per entity, fit for the key of a Map. */
export function formatGuid({ prefix, entityId }: Guid): string {
  return `${prefix}:${formatEntityId(entityId)}`;
}

export function formatEntityId(entityId: EntityId): string {
  return entityId.toString(16).padStart(8, "0");
}

/** The reverse of `formatGuid`; undefined for any other text. */
export function parseGuid(text: string): Guid | undefined {
  const [, prefix, entityId] = TEXT.exec(text) ?? [];
  if (prefix === undefined || entityId === undefined) return undefined;
  return { prefix, entityId: Number.parseInt(entityId, 16) };
}

/** The hexadecimal digits of `length` octets that are there. */
export function hexAt(bytes: Uint8Array, offset: number, length: number): string {
  let text = "";
  for (let at = offset; at < offset + length; at++) text += HEX[byteAt(bytes, at)];
  return text;
}

export function readGuidPrefix(reader: ByteReader, what: string): GuidPrefix {
  return hexAt(reader.bytes, reader.take(GUID_PREFIX_LENGTH, what), GUID_PREFIX_LENGTH);
}

/** An entity id is an array of octets: its order does not follow the message's. */
export function readEntityId(reader: ByteReader, what: string): EntityId {
  const { bytes } = reader;
  const at = reader.take(4, what);
  const high = (byteAt(bytes, at) << 8) | byteAt(bytes, at + 1);
  return ((high << 16) | (byteAt(bytes, at + 2) << 8) | byteAt(bytes, at + 3)) >>> 0;
}

export function readGuid(reader: ByteReader, what: string): Guid {
  return { prefix: readGuidPrefix(reader, what), entityId: readEntityId(reader, what) };
}

export function writeGuidPrefix(writer: ByteWriter, prefix: GuidPrefix, field: string): void {
  if (!PREFIX.test(prefix)) {
    throw new RtpsBuildError(field, `${JSON.stringify(prefix)} is not 24 lower-case hexadecimal digits`);
  }
  for (let at = 0; at < prefix.length; at += 2) {
    writer.u8((digit(prefix.charCodeAt(at)) << 4) | digit(prefix.charCodeAt(at + 1)), field);
  }
}

/** The value of a lower-case hexadecimal digit by its code. */
function digit(code: number): number {
  return code < 0x40 ? code - 0x30 : code - 0x57;
}

export function writeEntityId(writer: ByteWriter, entityId: EntityId, field: string): void {
  if (!Number.isInteger(entityId) || entityId < 0 || entityId > 0xffff_ffff) {
    throw new RtpsBuildError(field, `${entityId} is not an entity id of 32 bits`);
  }
  for (let shift = 24; shift >= 0; shift -= 8) writer.u8((entityId >>> shift) & 0xff, field);
}

export function writeGuid(writer: ByteWriter, { prefix, entityId }: Guid, field: string): void {
  writeGuidPrefix(writer, prefix, field);
  writeEntityId(writer, entityId, field);
}
