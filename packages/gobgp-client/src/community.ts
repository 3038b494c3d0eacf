/** A standard community (RFC 1997) `asn:value`, both 16 bits, as its 32-bit wire value; undefined if it is not one. */
export function parseCommunity(text: string): number | undefined {
  const parts = numbers(text, 2, 0xffff);
  const [high, low] = parts ?? [];
  return high === undefined || low === undefined ? undefined : high * 0x10000 + low;
}

export function formatCommunity(value: number): string {
  return `${value >>> 16}:${value & 0xffff}`;
}

export interface LargeCommunity {
  readonly globalAdmin: number;
  readonly localData1: number;
  readonly localData2: number;
}

/** A large community (RFC 8092) `global:local1:local2`, each 32 bits; undefined if it is not one. */
export function parseLargeCommunity(text: string): LargeCommunity | undefined {
  const [globalAdmin, localData1, localData2] = numbers(text, 3, 0xffffffff) ?? [];
  if (globalAdmin === undefined || localData1 === undefined || localData2 === undefined) return undefined;
  return { globalAdmin, localData1, localData2 };
}

export function formatLargeCommunity(value: LargeCommunity): string {
  return `${value.globalAdmin}:${value.localData1}:${value.localData2}`;
}

function numbers(text: string, count: number, max: number): number[] | undefined {
  const parts = text.split(":");
  if (parts.length !== count || !parts.every((part) => /^(0|[1-9]\d{0,9})$/.test(part))) return undefined;
  const values = parts.map(Number);
  return values.every((value) => value <= max) ? values : undefined;
}
