import fc from "fast-check";
import { expect, test } from "vitest";
import { AttentiveClock } from "./attentive-clock.ts";

const SLACK_MS = 20;

test("a pause counts for what was meant to pass, what is in time counts in full", () => {
  const clock = new AttentiveClock(SLACK_MS, 1_000);
  clock.expect(50);
  expect(clock.look(1_050)).toBe(50);
  clock.expect(50);
  expect(clock.look(1_600)).toBe(120);
  clock.expect(10);
  expect(clock.look(1_625)).toBe(145);
});

test("it never goes back, nor faster than time, and is time itself while it is looked at as was meant", () => {
  const looks = fc.array(
    fc.record({ meantMs: fc.integer({ min: 0, max: 50 }), passedMs: fc.integer({ min: -5, max: 900 }) }),
  );
  fc.assert(
    fc.property(looks, (all) => {
      const clock = new AttentiveClock(SLACK_MS, 0);
      let nowMs = 0;
      let attentiveMs = 0;
      for (const { meantMs, passedMs } of all) {
        clock.expect(meantMs);
        // Looks in between take nothing away.
        clock.look(nowMs);
        nowMs += passedMs;
        const next = clock.look(nowMs);
        expect(next - attentiveMs).toBe(Math.min(meantMs + SLACK_MS, Math.max(0, passedMs)));
        attentiveMs = next;
      }
    }),
  );
});
