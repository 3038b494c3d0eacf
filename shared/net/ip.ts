import ipaddr from "ipaddr.js";

/** Address family: 4 or 6. */
export type Family = 4 | 6;
export const FAMILIES = [4, 6] as const;

declare const brand: unique symbol;
/** An address in canonical text: dotted IPv4, or RFC 5952 IPv6 (lower case, compressed, never IPv4-mapped). */
export type Ip = string & { readonly [brand]: "Ip" };
/** A prefix in canonical text, `address/length`, host bits zero. */
export type Cidr = string & { readonly [brand]: "Cidr" };

/** An inclusive range of addresses of one family, as integers. */
export interface IpRange {
  readonly family: Family;
  readonly first: bigint;
  readonly last: bigint;
}

function isIp(text: string): text is Ip {
  return ipaddr.IPv4.isValidFourPartDecimal(text) || (text.includes(":") && ipaddr.IPv6.isValid(text));
}

/** Canonical text of an address; undefined when `text` is no address (zones and short IPv4 forms are refused). */
export function parseIp(text: string): Ip | undefined {
  if (text.includes("%") || !isIp(text)) return undefined;
  const parsed = ipaddr.parse(text);
  const canonical = parsed instanceof ipaddr.IPv6 && parsed.isIPv4MappedAddress() ? undefined : parsed.toString();
  return canonical !== undefined && isIp(canonical) ? canonical : undefined;
}

/** As {@link parseIp}, for text that the caller knows to be an address. @throws RangeError when it is not. */
export function ip(text: string): Ip {
  const parsed = parseIp(text);
  if (parsed === undefined) throw new RangeError(`${JSON.stringify(text)} is not an IP address`);
  return parsed;
}

export function familyOf(address: Ip | Cidr): Family {
  return address.includes(":") ? 6 : 4;
}

/** Bits of an address of the family: 32 or 128. */
export function bitsOf(family: Family): 32 | 128 {
  return family === 4 ? 32 : 128;
}

export function ipToBigInt(address: Ip): bigint {
  let value = 0n;
  for (const byte of ipaddr.parse(address).toByteArray()) value = (value << 8n) | BigInt(byte);
  return value;
}

/** The address with that integer value. @throws RangeError outside the family's range. */
export function bigIntToIp(value: bigint, family: Family): Ip {
  const bytes: number[] = [];
  for (let shift = BigInt(bitsOf(family) - 8); shift >= 0n; shift -= 8n) bytes.push(Number((value >> shift) & 0xffn));
  if (value < 0n || value >> BigInt(bitsOf(family)) !== 0n) throw new RangeError(`${value} is no IPv${family} address`);
  return ip(ipaddr.fromByteArray(bytes).toString());
}

interface PrefixParts {
  readonly address: Ip;
  readonly family: Family;
  readonly length: number;
  readonly first: bigint;
  readonly last: bigint;
}

function isCidr(text: string): text is Cidr {
  return text.includes("/");
}

function split(text: string): { address: Ip; length: number } | undefined {
  const match = /^([^/]+)\/(0|[1-9][0-9]{0,2})$/.exec(text);
  const address = match?.[1] === undefined ? undefined : parseIp(match[1]);
  const length = Number(match?.[2]);
  return address === undefined || length > bitsOf(familyOf(address)) ? undefined : { address, length };
}

function span(address: Ip, length: number): PrefixParts {
  const family = familyOf(address);
  const host = (1n << BigInt(bitsOf(family) - length)) - 1n;
  const last = ipToBigInt(address) | host;
  return { address, family, length, first: last ^ host, last };
}

/** Canonical text of a prefix, host bits cleared; undefined when `text` is no `address/length`. */
export function parseCidr(text: string): Cidr | undefined {
  const parts = split(text);
  if (parts === undefined) return undefined;
  const { first, family, length } = span(parts.address, parts.length);
  const canonical = `${bigIntToIp(first, family)}/${length}`;
  return isCidr(canonical) ? canonical : undefined;
}

/** As {@link parseCidr}, for text that the caller knows to be a prefix. @throws RangeError when it is not. */
export function cidr(text: string): Cidr {
  const parsed = parseCidr(text);
  if (parsed === undefined) throw new RangeError(`${JSON.stringify(text)} is not a prefix`);
  return parsed;
}

/** The prefix that holds just this address (/32 or /128). */
export function hostCidr(address: Ip): Cidr {
  return cidr(`${address}/${bitsOf(familyOf(address))}`);
}

/** First and last address, family and length of a prefix. */
export function cidrSpan(prefix: Cidr): IpRange & { readonly length: number } {
  const parts = split(prefix);
  if (parts === undefined) throw new RangeError(`${prefix} is not a prefix`);
  const { family, first, last, length } = span(parts.address, parts.length);
  return { family, first, last, length };
}

/** `192.0.2.10-192.0.2.20` or `192.0.2.0/24` as a range; undefined when it is neither or runs backwards. */
export function parseIpRange(text: string): IpRange | undefined {
  const prefix = parseCidr(text);
  if (prefix !== undefined) return cidrSpan(prefix);
  const [from, to, extra] = text.split("-").map((part) => parseIp(part.trim()));
  if (from === undefined || to === undefined || extra !== undefined || text.split("-").length !== 2) return undefined;
  const family = familyOf(from);
  const [first, last] = [ipToBigInt(from), ipToBigInt(to)];
  return familyOf(to) === family && first <= last ? { family, first, last } : undefined;
}

export function rangeContains(range: IpRange, address: Ip): boolean {
  if (familyOf(address) !== range.family) return false;
  const value = ipToBigInt(address);
  return value >= range.first && value <= range.last;
}

export function cidrContains(prefix: Cidr, address: Ip): boolean {
  return rangeContains(cidrSpan(prefix), address);
}

export function rangesOverlap(a: IpRange, b: IpRange): boolean {
  return a.family === b.family && a.first <= b.last && b.first <= a.last;
}
