import { isIPv4, isIPv6 } from "node:net";

export type Family = "ipv4-unicast" | "ipv6-unicast";

/** A prefix in canonical text: no host bits, IPv6 as RFC 5952 writes it. */
export interface Prefix {
  readonly family: Family;
  readonly address: string;
  readonly length: number;
}

/** The bytes of an address (4 or 16), or undefined if the text is no address. A zone (`%eth0`) is not accepted. */
export function addressBytes(text: string): Uint8Array | undefined {
  if (isIPv4(text)) return Uint8Array.from(text.split("."), Number);
  if (!isIPv6(text) || text.includes("%")) return undefined;
  const groups = (part: string): number[] => {
    if (part === "") return [];
    return part.split(":").flatMap((group) => {
      if (!group.includes(".")) return [Number.parseInt(group, 16)];
      const [a = 0, b = 0, c = 0, d = 0] = group.split(".").map(Number);
      return [a * 256 + b, c * 256 + d];
    });
  };
  const [head = "", tail] = text.split("::");
  const left = groups(head);
  const right = tail === undefined ? [] : groups(tail);
  const all = [...left, ...new Array<number>(8 - left.length - right.length).fill(0), ...right];
  return Uint8Array.from(all.flatMap((group) => [group >> 8, group & 255]));
}

/** Canonical text of 4 or 16 bytes (RFC 5952 for IPv6). */
export function formatAddress(bytes: Uint8Array): string {
  if (bytes.length === 4) return bytes.join(".");
  const groups = Array.from({ length: 8 }, (_, i) => (bytes[2 * i] ?? 0) * 256 + (bytes[2 * i + 1] ?? 0));
  // RFC 5952 section 4.2: the longest run of two or more zero groups is shortened, the first one on a tie.
  let best = { start: 0, length: 1 };
  for (let start = 0; start < 8; start++) {
    let length = 0;
    while (start + length < 8 && groups[start + length] === 0) length++;
    if (length > best.length) best = { start, length };
  }
  const text = (part: readonly number[]): string => part.map((group) => group.toString(16)).join(":");
  if (best.length < 2) return text(groups);
  return `${text(groups.slice(0, best.start))}::${text(groups.slice(best.start + best.length))}`;
}

export function canonicalAddress(text: string): string | undefined {
  const bytes = addressBytes(text);
  return bytes && formatAddress(bytes);
}

export function familyOf(address: string): Family {
  return address.includes(":") ? "ipv6-unicast" : "ipv4-unicast";
}

/** Parses `10.0.0.0/8` or `2001:db8::/32`. Returns what is wrong as text when it is not a canonical network. */
export function parsePrefix(text: string): Prefix | string {
  const slash = text.indexOf("/");
  const bytes = addressBytes(slash < 0 ? text : text.slice(0, slash));
  const digits = slash < 0 ? "" : text.slice(slash + 1);
  if (!bytes || !/^\d{1,3}$/.test(digits)) return "is not a prefix such as 192.0.2.1/32 or 2001:db8::1/128";
  const length = Number(digits);
  const bits = bytes.length * 8;
  if (length > bits) return `has a length above ${bits}`;
  const network = bytes.map((byte, i) => byte & (0xff00 >> Math.min(8, Math.max(0, length - 8 * i))) & 255);
  const address = formatAddress(network);
  if (network.some((byte, i) => byte !== bytes[i])) return `has host bits set; write ${address}/${length}`;
  return { family: bytes.length === 4 ? "ipv4-unicast" : "ipv6-unicast", address, length };
}
