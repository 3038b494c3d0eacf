import fc from "fast-check";
import { expect, it } from "vitest";
import { LineSplitter } from "./line-splitter.ts";

const texts = (lines: readonly Buffer[]): string[] => lines.map((line) => line.toString("latin1"));

it("finds the same lines, however the stream is cut", () => {
  const stream = fc.string({ unit: fc.constantFrom("a", "b", "\n", "\r"), maxLength: 60 });
  fc.assert(
    fc.property(stream, fc.array(fc.integer({ min: 1, max: 9 })), (text, cuts) => {
      const splitter = new LineSplitter(100);
      const found: string[] = [];
      let at = 0;
      for (const cut of [...cuts, text.length]) {
        const { lines, isTooLong } = splitter.push(Buffer.from(text.slice(at, at + cut)));
        expect(isTooLong).toBe(false);
        found.push(...texts(lines));
        at += cut;
      }
      expect([...found, splitter.rest().toString("latin1")]).toEqual(text.split("\n"));
    }),
  );
});

it("gives up on a line that is too long, one octet at a time or at once, and keeps nothing of it", () => {
  const splitter = new LineSplitter(1_000);
  for (let octet = 0; octet < 1_000; octet += 1) expect(splitter.push(Buffer.from("x")).isTooLong).toBe(false);
  expect(splitter.push(Buffer.from("x")).isTooLong).toBe(true);
  expect(splitter.push(Buffer.from("\nfine\n"))).toEqual({ lines: [], isTooLong: true });
  expect(splitter.rest()).toHaveLength(0);
  const { lines, isTooLong } = new LineSplitter(4).push(Buffer.from("good\ntoo long\n"));
  expect([texts(lines), isTooLong]).toEqual([["good"], true]);
});
