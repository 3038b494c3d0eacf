import { type ByteReader, byteAt } from "./byte-reader.ts";
import { ByteWriter } from "./byte-writer.ts";
import { RtpsBuildError } from "./errors.ts";
import { formatIpv4, formatIpv6, parseIpv4, parseIpv6 } from "./ip-text.ts";

/** RTPS 9.3.2.4: where to send to. Kinds that this package does not read (shared memory, TCP) stay as they are. */
export type Locator =
  | { readonly kind: "udpv4"; readonly address: string; readonly port: number }
  | { readonly kind: "udpv6"; readonly address: string; readonly port: number }
  | { readonly kind: "other"; readonly id: number; readonly port: number; readonly address: Uint8Array };

export const LOCATOR_LENGTH = 24;

const UDPV4 = 1;
const UDPV6 = 2;

export function readLocator(reader: ByteReader, what: string): Locator {
  const { bytes } = reader;
  const id = reader.i32(what);
  const port = reader.u32(what);
  const start = reader.take(16, what);
  // The 12 octets before an IPv4 address are to be zero. One who writes others gets his locator back unchanged.
  if (id === UDPV4 && isZero(bytes, start, start + 12)) {
    return { kind: "udpv4", address: formatIpv4(bytes, start + 12), port };
  }
  if (id === UDPV6) return { kind: "udpv6", address: formatIpv6(bytes, start), port };
  return { kind: "other", id, port, address: bytes.subarray(start, start + 16) };
}

function isZero(bytes: Uint8Array, start: number, end: number): boolean {
  for (let at = start; at < end; at++) if (byteAt(bytes, at) !== 0) return false;
  return true;
}

export function writeLocator(writer: ByteWriter, locator: Locator, field: string): void {
  writer.i32(locator.kind === "udpv4" ? UDPV4 : locator.kind === "udpv6" ? UDPV6 : locator.id, field);
  writer.u32(locator.port, field);
  if (locator.kind === "other") {
    writer.fixed(locator.address, 16, field);
    return;
  }
  const isIpv4 = locator.kind === "udpv4";
  const address = isIpv4 ? parseIpv4(locator.address) : parseIpv6(locator.address);
  if (address === undefined) {
    throw new RtpsBuildError(field, `${JSON.stringify(locator.address)} is no ${isIpv4 ? "IPv4" : "IPv6"} address`);
  }
  writer.zeros(16 - address.length);
  writer.octets(address);
}

/** The 24 octets of a locator. */
export function locatorBytes(locator: Locator, littleEndian: boolean): Uint8Array<ArrayBuffer> {
  const writer = new ByteWriter(littleEndian);
  writeLocator(writer, locator, "locator");
  return writer.finish();
}
