import { isIPv4, isIPv6 } from "node:net";
import ipaddr from "ipaddr.js";
import { KernelInvalidError } from "./kernel-error.ts";

export type Family = 4 | 6;

export interface PrefixBytes {
  readonly family: Family;
  readonly bytes: Uint8Array;
  readonly length: number;
}

/** 4 or 16 bytes in network order. Accepts dotted IPv4 and IPv6 without a zone; anything else is KernelInvalidError. */
export function addressBytes(address: string): Uint8Array {
  if (isIPv4(address)) return Uint8Array.from(address.split("."), Number);
  if (isIPv6(address) && !address.includes("%")) return Uint8Array.from(ipaddr.IPv6.parse(address).toByteArray());
  throw new KernelInvalidError(`address "${address}"`, "EINVAL", "not an IPv4 or IPv6 address without a zone");
}

/** Canonical text: dotted IPv4, or IPv6 as RFC 5952 writes it. Any other length than 4 or 16 is KernelInvalidError. */
export function formatAddress(bytes: Uint8Array): string {
  if (bytes.length === 4) return bytes.join(".");
  if (bytes.length === 16) return new ipaddr.IPv6(Array.from(bytes)).toRFC5952String();
  throw new KernelInvalidError("address", "EINVAL", `has ${bytes.length} bytes where 4 or 16 are right`);
}

/** "addr/len" with no host bits set (the kernel refuses them for IPv4 and drops them silently for IPv6). */
export function prefixBytes(prefix: string): PrefixBytes {
  const match = /^([^/]+)\/(\d{1,3})$/.exec(prefix);
  const object = `prefix "${prefix}"`;
  if (!match?.[1] || !match[2]) throw new KernelInvalidError(object, "EINVAL", "must be written ADDRESS/LENGTH");
  const bytes = addressBytes(match[1]);
  const length = Number(match[2]);
  if (length > bytes.length * 8) {
    throw new KernelInvalidError(object, "EINVAL", `the length must be at most ${bytes.length * 8}`);
  }
  const network = bytes.map((byte, index) => byte & maskByte(length - index * 8));
  if (network.some((byte, index) => byte !== bytes[index])) {
    const fix = `${formatAddress(network)}/${length}`;
    throw new KernelInvalidError(object, "EINVAL", `has bits set beyond its length; write ${fix}`);
  }
  return { family: bytes.length === 4 ? 4 : 6, bytes, length };
}

export function canonicalAddress(address: string): string {
  return formatAddress(addressBytes(address));
}

export function canonicalPrefix(prefix: string): string {
  const { bytes, length } = prefixBytes(prefix);
  return `${formatAddress(bytes)}/${length}`;
}

export function anyPrefix(family: Family): string {
  return family === 4 ? "0.0.0.0/0" : "::/0";
}

function maskByte(bits: number): number {
  if (bits >= 8) return 0xff;
  return bits <= 0 ? 0 : (0xff00 >> bits) & 0xff;
}
