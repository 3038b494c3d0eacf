import fc from "fast-check";
import { expect, it } from "vitest";
import { cidr, cidrContains, ip } from "../net/ip.ts";
import { mergeCidrs, mergeRanges } from "./port-ranges.ts";

const range = fc.tuple(fc.nat(40), fc.nat(40)).map(([a, b]) => ({ from: Math.min(a, b), to: Math.max(a, b) }));

it("merged ranges hold the same ports and keep apart", () => {
  fc.assert(
    fc.property(fc.array(range, { maxLength: 8 }), (ranges) => {
      const merged = mergeRanges(ranges);
      const covers = (list: readonly { from: number; to: number }[], port: number): boolean =>
        list.some(({ from, to }) => from <= port && port <= to);
      for (let port = 0; port <= 41; port++) expect(covers(merged, port)).toBe(covers(ranges, port));
      for (const [i, next] of merged.slice(1).entries()) expect(next.from).toBeGreaterThan((merged[i]?.to ?? 0) + 1);
    }),
  );
});

it("merged prefixes hold the same addresses and none lies within another", () => {
  const prefix = fc
    .tuple(fc.nat(255), fc.integer({ min: 20, max: 32 }))
    .map(([n, length]) => cidr(`10.0.0.${n}/${length}`));
  fc.assert(
    fc.property(fc.array(prefix, { maxLength: 6 }), (prefixes) => {
      const merged = mergeCidrs(prefixes);
      for (let n = 0; n < 256; n++) {
        const address = ip(`10.0.0.${n}`);
        expect(merged.filter((p) => cidrContains(p, address)).length).toBe(
          prefixes.some((p) => cidrContains(p, address)) ? 1 : 0,
        );
      }
    }),
  );
});
