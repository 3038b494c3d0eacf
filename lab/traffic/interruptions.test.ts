import { describe, expect, it } from "vitest";
import { Interruptions, renderInterruptions } from "./interruptions.ts";

describe("interruptions", () => {
  it("are none while everything is answered at once", () => {
    const seen = new Interruptions(1000);
    for (let at = 1000; at < 1100; at += 10) seen.ended(at, at + 3, true, false);
    const report = seen.report(0);
    expect(report).toEqual({ longestGapMs: 10, late: 0, spans: [] });
    expect(renderInterruptions(report)).toBe("longest time without an answer 10 ms; all served at once");
  });

  it("last from the first late exchange's beginning to the last one's, whatever the order of their ends", () => {
    const seen = new Interruptions(0);
    seen.ended(0, 5, true, false);
    seen.ended(300, 301, false, false);
    seen.ended(310, 315, true, false);
    seen.ended(200, 1210, true, true);
    seen.ended(100, 5100, false, true);
    seen.ended(1301, 2400, true, true);
    const report = seen.report(Date.UTC(2026, 0, 1));
    expect(report).toEqual({
      longestGapMs: 1190,
      late: 4,
      spans: [
        { from: "2026-01-01T00:00:00.100Z", to: "2026-01-01T00:00:00.300Z", forMs: 200, late: 3 },
        { from: "2026-01-01T00:00:01.301Z", to: "2026-01-01T00:00:01.301Z", forMs: 0, late: 1 },
      ],
    });
    expect(renderInterruptions(report)).toContain(
      "4 not served at once\n  not served at once: 3 begun from 2026-01-01T00:00:00.100Z for 200 ms\n",
    );
  });

  it("count a gap at the end until the last exchange that nobody answered began", () => {
    const seen = new Interruptions(0);
    seen.ended(0, 5, true, false);
    for (const at of [100, 400, 250]) seen.ended(at, at + 2000, false, true);
    expect(seen.report(0)).toMatchObject({ longestGapMs: 395, late: 3, spans: [{ forMs: 300, late: 3 }] });
  });
});
