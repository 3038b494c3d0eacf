import ipaddr from "ipaddr.js";
import type { Ip } from "../net/ip.ts";

/** What identifies a flow to the balancer. */
export interface FlowTuple {
  readonly source: Ip;
  readonly destination: Ip;
  readonly sourcePort: number;
  readonly destinationPort: number;
}

/** Which fields of a flow are hashed: all four, or the source address alone (session affinity ClientIP). */
export type HashFields = "tuple" | "source";

const rotate = (word: number, bits: number): number => (word << bits) | (word >>> (32 - bits));

/**
 * Jenkins' lookup3 as Linux has it (include/linux/jhash.h, `jhash()`), over little-endian words, on a length that is a
 * multiple of four.
 * @returns an unsigned 32-bit integer.
 */
function jhash(bytes: Uint8Array, seed: number): number {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  let a = (0xdeadbeef + bytes.length + seed) | 0;
  let b = a;
  let c = a;
  let at = 0;
  for (; bytes.length - at > 12; at += 12) {
    a = (a + view.getUint32(at, true)) | 0;
    b = (b + view.getUint32(at + 4, true)) | 0;
    c = (c + view.getUint32(at + 8, true)) | 0;
    a = (a - c) ^ rotate(c, 4);
    c = (c + b) | 0;
    b = (b - a) ^ rotate(a, 6);
    a = (a + c) | 0;
    c = (c - b) ^ rotate(b, 8);
    b = (b + a) | 0;
    a = (a - c) ^ rotate(c, 16);
    c = (c + b) | 0;
    b = (b - a) ^ rotate(a, 19);
    a = (a + c) | 0;
    c = (c - b) ^ rotate(b, 4);
    b = (b + a) | 0;
  }
  const left = bytes.length - at;
  if (left === 0) return c >>> 0;
  if (left >= 12) c = (c + view.getUint32(at + 8, true)) | 0;
  if (left >= 8) b = (b + view.getUint32(at + 4, true)) | 0;
  a = (a + view.getUint32(at, true)) | 0;
  c = (c ^ b) - rotate(b, 14);
  a = (a ^ c) - rotate(c, 11);
  b = (b ^ a) - rotate(a, 25);
  c = (c ^ b) - rotate(b, 16);
  a = (a ^ c) - rotate(c, 4);
  b = (b ^ a) - rotate(a, 14);
  c = (c ^ b) - rotate(b, 24);
  return c >>> 0;
}

/** The bytes that nftables hashes for `ip saddr . ip daddr . th sport . th dport`: each field padded to four bytes. */
function tupleBytes(flow: FlowTuple, fields: HashFields): Uint8Array {
  const source = ipaddr.parse(flow.source).toByteArray();
  if (fields === "source") return Uint8Array.from(source);
  const ports = [
    flow.sourcePort >> 8,
    flow.sourcePort & 0xff,
    0,
    0,
    flow.destinationPort >> 8,
    flow.destinationPort & 0xff,
    0,
    0,
  ];
  return Uint8Array.from([...source, ...ipaddr.parse(flow.destination).toByteArray(), ...ports]);
}

/**
 * The slot of a flow, as the kernel computes it for `jhash … mod SIZE seed SEED` (net/netfilter/nft_hash.c: the hash
 * is scaled, not divided).
 */
export function flowSlot(
  flow: FlowTuple,
  fields: HashFields,
  size: number,
  seed: number,
): { hash: number; slot: number } {
  const hash = jhash(tupleBytes(flow, fields), seed);
  return { hash, slot: Number((BigInt(hash) * BigInt(size)) >> 32n) };
}
