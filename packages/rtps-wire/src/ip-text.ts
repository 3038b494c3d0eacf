import { byteAt } from "./byte-reader.ts";

/** Dotted decimal of 4 octets. */
export function formatIpv4(bytes: Uint8Array, offset: number): string {
  const at = (index: number): number => byteAt(bytes, offset + index);
  return `${at(0)}.${at(1)}.${at(2)}.${at(3)}`;
}

/** 4 octets; undefined when the text is no dotted decimal. */
export function parseIpv4(text: string): Uint8Array | undefined {
  const parts = text.split(".");
  if (parts.length !== 4 || !parts.every((part) => /^(0|[1-9][0-9]{0,2})$/.test(part) && Number(part) <= 255)) {
    return undefined;
  }
  return Uint8Array.from(parts, Number);
}

/** The text of RFC 5952 for 16 octets, without the mixed notation. */
export function formatIpv6(bytes: Uint8Array, offset: number): string {
  const groups: string[] = [];
  let longest = { start: 0, length: 1 }; // one group of zeros is written out
  let zeros = 0;
  for (let index = 0; index < 8; index++) {
    const group = (byteAt(bytes, offset + 2 * index) << 8) | byteAt(bytes, offset + 2 * index + 1);
    groups.push(group.toString(16));
    zeros = group === 0 ? zeros + 1 : 0;
    if (zeros > longest.length) longest = { start: index + 1 - zeros, length: zeros };
  }
  if (longest.length === 1) return groups.join(":");
  const before = groups.slice(0, longest.start).join(":");
  return `${before}::${groups.slice(longest.start + longest.length).join(":")}`;
}

/** 16 octets; undefined when the text is no IPv6 address. No zone. */
export function parseIpv6(text: string): Uint8Array | undefined {
  const halves = text.split("::");
  if (halves.length > 2) return undefined;
  const [head, tail] = halves.map(groupsOf);
  if (head === undefined) return undefined;
  if (halves.length === 1) return head.length === 16 ? Uint8Array.from(head) : undefined;
  if (tail === undefined || head.length + tail.length > 14) return undefined;
  return Uint8Array.from([...head, ...new Array<number>(16 - head.length - tail.length).fill(0), ...tail]);
}

/** The octets of groups between colons, the last of which may be dotted decimal. */
function groupsOf(text: string): number[] | undefined {
  const octets: number[] = [];
  if (text === "") return octets;
  const groups = text.split(":");
  for (const [index, group] of groups.entries()) {
    if (/^[0-9a-fA-F]{1,4}$/.test(group)) {
      const value = Number.parseInt(group, 16);
      octets.push(value >>> 8, value & 0xff);
      continue;
    }
    const dotted = index === groups.length - 1 ? parseIpv4(group) : undefined;
    if (dotted === undefined) return undefined;
    octets.push(...dotted);
  }
  return octets;
}
