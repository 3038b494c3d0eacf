import type { PortRange } from "../api/fields.ts";
import { type Cidr, cidrSpan } from "../net/ip.ts";

/** The same ports in ranges that neither overlap nor touch, in ascending order. */
export function mergeRanges(ranges: readonly PortRange[]): readonly PortRange[] {
  const merged: { from: number; to: number }[] = [];
  for (const { from, to } of [...ranges].sort((a, b) => a.from - b.from)) {
    const last = merged.at(-1);
    if (last !== undefined && from <= last.to + 1) last.to = Math.max(last.to, to);
    else merged.push({ from, to });
  }
  return merged;
}

/** The same addresses without prefixes that lie within another, in the order given. */
export function mergeCidrs(prefixes: readonly Cidr[]): readonly Cidr[] {
  const distinct = [...new Set(prefixes)];
  const spans = new Map(distinct.map((prefix) => [prefix, cidrSpan(prefix)]));
  return distinct.filter((prefix) => {
    const own = cidrSpan(prefix);
    return !distinct.some((other) => {
      const span = spans.get(other);
      return other !== prefix && span?.family === own.family && span.first <= own.first && own.last <= span.last;
    });
  });
}
