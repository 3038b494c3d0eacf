import fc from "fast-check";
import { expect, test } from "vitest";
import { Backoff } from "./backoff.ts";

test("waits grow up to the limit, spread between a half and the whole", () => {
  fc.assert(
    fc.property(fc.array(fc.double({ min: 0, max: 1, noNaN: true }), { minLength: 30, maxLength: 30 }), (draws) => {
      let at = 0;
      const backoff = new Backoff({ firstMs: 100, maxMs: 5000, random: () => draws[at++] ?? 0 });
      draws.forEach((draw, failures) => {
        const ceiling = Math.min(5000, 100 * 2 ** failures);
        expect(backoff.nextMs()).toBe(Math.round(ceiling * (0.5 + draw / 2)));
      });
      backoff.reset();
      at = 0;
      expect(backoff.nextMs()).toBeLessThanOrEqual(100);
    }),
  );
});

test("the server's own wish is the least", () => {
  const backoff = new Backoff({ firstMs: 100, maxMs: 5000, random: () => 0 });
  expect(backoff.nextMs(3000)).toBe(3000);
  expect(backoff.nextMs()).toBe(100);
});
