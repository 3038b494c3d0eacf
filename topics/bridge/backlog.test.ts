import fc from "fast-check";
import { expect, it } from "vitest";
import { Backlog } from "./backlog.ts";

const line = (octets: number): Buffer => Buffer.alloc(octets, "x");

it("keeps the last lines, within both limits", () => {
  const limits = fc.record({ lines: fc.integer({ min: 1, max: 10 }), octets: fc.integer({ min: 20, max: 100 }) });
  fc.assert(
    fc.property(limits, fc.array(fc.integer({ min: 1, max: 20 }), { maxLength: 50 }), (given, sizes) => {
      const backlog = new Backlog(given);
      for (const size of sizes) backlog.push(line(size));
      const kept = sizes.slice(backlog.first);
      expect(backlog.next).toBe(sizes.length);
      expect(kept.length).toBeLessThanOrEqual(given.lines);
      expect(kept.reduce((sum, size) => sum + size, 0)).toBeLessThanOrEqual(given.octets);
      // Not one less than there is room for.
      const before = sizes.slice(Math.max(0, backlog.first - 1));
      if (backlog.first > 0) {
        const isFull = before.length > given.lines || before.reduce((sum, size) => sum + size, 0) > given.octets;
        expect(isFull).toBe(true);
      }
      for (let number = 0; number < sizes.length; number += 1) {
        expect(backlog.line(number)?.length).toBe(number < backlog.first ? undefined : sizes[number]);
      }
    }),
  );
});

it("who has room loses nothing by the next line", () => {
  const step = fc.record({ size: fc.integer({ min: 1, max: 20 }), reads: fc.integer({ min: 0, max: 3 }) });
  fc.assert(
    fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
      const backlog = new Backlog({ lines: 5, octets: 50 });
      let position = 0;
      for (const { size, reads } of steps) {
        if (!backlog.hasRoom(size, position)) position = backlog.next;
        backlog.push(line(size));
        expect(backlog.first).toBeLessThanOrEqual(position);
        expect(backlog.lag(position)).toBeLessThanOrEqual(1);
        position = Math.min(backlog.next, position + reads);
      }
      expect(backlog.lag(backlog.next)).toBe(0);
    }),
  );
});
