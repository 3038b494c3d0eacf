import type { AddressPool } from "#shared/api/address-pool.ts";
import type { Gateway } from "#shared/api/gateway.ts";
import { selects } from "#shared/api/meta.ts";
import { cidr, cidrSpan, type Family, familyOf, type Ip, type IpRange, ipToBigInt } from "#shared/net/ip.ts";
import { byAge, compareText } from "#shared/resolve/age.ts";

/**
 * Never VIPs: "this network", loopback, link-local, multicast and reserved (RFC 6890), and IPv4-mapped IPv6. Every other
 * IPv4 address of a prefix may be given out, its first and last too: a VIP is a host route and has no broadcast address.
 */
const NEVER_VIPS = [
  "0.0.0.0/8",
  "127.0.0.0/8",
  "169.254.0.0/16",
  "224.0.0.0/4",
  "240.0.0.0/4",
  "::/127",
  "::ffff:0:0/96",
  "fe80::/10",
  "ff00::/8",
] as const;

/** `::ffff:0:0/96` has no text form of its own here: addresses in it are refused as mapped IPv4. */
function reservedRange(prefix: string): IpRange {
  if (prefix === "::ffff:0:0/96") return { family: 6, first: 0xffff_0000_0000n, last: 0xffff_ffff_ffffn };
  return cidrSpan(cidr(prefix));
}

interface OwnedRange extends IpRange {
  /** Whose it is, as messages say. */
  readonly label: string;
  readonly pool: PoolSpan | undefined;
}

/** Ranges of one family that do not overlap, in order. */
class DisjointRanges {
  readonly #ranges: OwnedRange[] = [];

  /** Position of the first range that ends at or after `value`. */
  #position(value: bigint): number {
    let [low, high] = [0, this.#ranges.length];
    while (low < high) {
      const middle = (low + high) >>> 1;
      const range = this.#ranges[middle];
      if (range !== undefined && range.last < value) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  overlapping(range: IpRange): OwnedRange | undefined {
    const found = this.#ranges[this.#position(range.first)];
    return found !== undefined && found.first <= range.last ? found : undefined;
  }

  add(range: OwnedRange): void {
    this.#ranges.splice(this.#position(range.first), 0, range);
  }
}

/** Equipment that takes every address ending in .0 or .255 for a network or broadcast address. */
function isBuggy(value: bigint): boolean {
  const low = value & 0xffn;
  return low === 0n || low === 0xffn;
}

/** How many addresses of the range end in .0 or .255. */
function countBuggy({ first, last }: IpRange): bigint {
  const upTo = (n: bigint): bigint => (n < 0n ? 0n : n / 256n + 1n + (n + 1n) / 256n);
  return upTo(last) - upTo(first - 1n);
}

/** Interface identifier zero is every router's anycast address in its subnet (RFC 4291, section 2.6.1). */
const SUBNET_BITS = 64n;
function isSubnetRouterAnycast(value: bigint): boolean {
  return (value & ((1n << SUBNET_BITS) - 1n)) === 0n;
}

/** How many addresses of the range are a subnet's router anycast address. */
function countAnycast({ first, last }: IpRange): bigint {
  return (last >> SUBNET_BITS) - ((first - 1n) >> SUBNET_BITS);
}

/** The usable addresses of one pool, and how many of them are in use. */
export class PoolSpan {
  readonly pool: AddressPool;
  /** Why blocks of the pool are not used; empty when all are. */
  readonly unusable: string[] = [];
  readonly #ranges: Record<Family, IpRange[]> = { 4: [], 6: [] };
  readonly #size: Record<Family, bigint> = { 4: 0n, 6: 0n };
  readonly #used: Record<Family, Set<bigint>> = { 4: new Set(), 6: new Set() };
  readonly #cursor: Record<Family, { index: number; value: bigint }> = {
    4: { index: 0, value: 0n },
    6: { index: 0, value: 0n },
  };

  constructor(pool: AddressPool) {
    this.pool = pool;
  }

  get name(): string {
    return this.pool.metadata.name;
  }

  add(range: IpRange): void {
    this.#ranges[range.family].push(range);
    this.#size[range.family] += range.last - range.first + 1n - this.#avoided(range);
  }

  #avoided(range: IpRange): bigint {
    if (range.family === 6) return countAnycast(range);
    return this.pool.spec.avoidBuggyIPs ? countBuggy(range) : 0n;
  }

  has(family: Family): boolean {
    return this.#ranges[family].length > 0;
  }

  /** How many addresses the pool can give out. */
  size(family: Family): bigint {
    return this.#size[family];
  }

  used(family: Family): bigint {
    return BigInt(this.#used[family].size);
  }

  free(family: Family): bigint {
    // An address from before avoidBuggyIPs was set is in use, but no part of the size.
    let counted = 0n;
    for (const value of this.#used[family]) if (!this.avoids(value, family)) counted += 1n;
    return this.#size[family] - counted;
  }

  avoids(value: bigint, family: Family): boolean {
    if (family === 6) return isSubnetRouterAnycast(value);
    return this.pool.spec.avoidBuggyIPs && isBuggy(value);
  }

  take(value: bigint, family: Family): void {
    this.#used[family].add(value);
  }

  /**
   * The lowest address that nobody has; undefined when there is none. Addresses are only ever taken while a plan is
   * made, so the search goes on where it ended: all allocations together look at each address once.
   */
  lowestFree(family: Family): bigint | undefined {
    const cursor = this.#cursor[family];
    for (; ; cursor.index += 1) {
      const range = this.#ranges[family][cursor.index];
      if (range === undefined) return undefined;
      if (cursor.value < range.first || cursor.value > range.last + 1n) cursor.value = range.first;
      for (; cursor.value <= range.last; cursor.value += 1n) {
        if (!this.#used[family].has(cursor.value) && !this.avoids(cursor.value, family)) return cursor.value;
      }
      cursor.value = -1n;
    }
  }

  allows(gateway: Gateway): boolean {
    const { namespaces, gatewaySelector } = this.pool.spec;
    return (
      (namespaces === undefined || namespaces.includes(gateway.metadata.namespace)) &&
      (gatewaySelector === undefined || selects(gatewaySelector, gateway.metadata.labels))
    );
  }
}

/** All pools' addresses. A block that overlaps an older pool's is left out, so that every address has one pool. */
export class PoolSpace {
  readonly #ranges: Record<Family, DisjointRanges> = { 4: new DisjointRanges(), 6: new DisjointRanges() };
  readonly #spans = new Map<string, PoolSpan>();
  /** Higher priority first, then by name. */
  readonly byPriority: readonly PoolSpan[];

  constructor(pools: readonly AddressPool[]) {
    for (const prefix of NEVER_VIPS) {
      const range = reservedRange(prefix);
      this.#ranges[range.family].add({ ...range, label: `${prefix}, which cannot hold VIPs`, pool: undefined });
    }
    for (const pool of [...pools].sort(byAge)) this.#spans.set(pool.metadata.name, this.#insert(pool));
    this.byPriority = [...this.#spans.values()].sort(
      (a, b) => b.pool.spec.priority - a.pool.spec.priority || compareText(a.name, b.name),
    );
  }

  #insert(pool: AddressPool): PoolSpan {
    const span = new PoolSpan(pool);
    for (const block of pool.spec.addresses) {
      const other = this.#ranges[block.family].overlapping(block);
      if (other !== undefined) {
        span.unusable.push(`${block.text} is not used: it overlaps ${other.label}`);
        continue;
      }
      const label = `${block.text} of AddressPool ${pool.metadata.name}`;
      this.#ranges[block.family].add({ family: block.family, first: block.first, last: block.last, label, pool: span });
      span.add(block);
    }
    return span;
  }

  get(name: string): PoolSpan | undefined {
    return this.#spans.get(name);
  }

  /** The pool that an address belongs to. */
  poolOf(address: Ip): PoolSpan | undefined {
    const family = familyOf(address);
    const value = ipToBigInt(address);
    return this.#ranges[family].overlapping({ family, first: value, last: value })?.pool;
  }
}
