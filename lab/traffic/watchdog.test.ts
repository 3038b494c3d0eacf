import { describe, expect, it } from "vitest";
import { Watchdog } from "./watchdog.ts";

describe("watchdog", () => {
  function setUp() {
    let now = 0;
    let fired = 0;
    const watchdog = new Watchdog(() => now);
    const unwatch = watchdog.watch(200, () => {
      fired += 1;
    });
    const sweepAt = (at: number): number => {
      now = at;
      watchdog.sweep();
      return fired;
    };
    return { sweepAt, unwatch };
  }

  it("fires once, one sweep after the deadline", () => {
    const { sweepAt } = setUp();
    expect([50, 100, 150, 200].map(sweepAt)).toEqual([0, 0, 0, 0]);
    expect([250, 300].map(sweepAt)).toEqual([1, 1]);
  });

  it("does not count the time in which this process stood still", () => {
    const { sweepAt, unwatch } = setUp();
    expect([50, 1050, 1100, 1150].map(sweepAt)).toEqual([0, 0, 0, 0]);
    expect([1200, 1250].map(sweepAt)).toEqual([1, 1]);
    unwatch();
  });

  it("never fires after it was called off", () => {
    const { sweepAt, unwatch } = setUp();
    unwatch();
    expect([250, 300, 350].map(sweepAt)).toEqual([0, 0, 0]);
  });
});
