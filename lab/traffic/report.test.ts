import { describe, expect, it } from "vitest";
import { readAnswer, requestPayload } from "./payload.ts";
import { renderReport, Tally } from "./report.ts";

describe("tally", () => {
  it("counts by outcome and target, and ranks latencies", () => {
    const tally = new Tally();
    for (let latency = 1; latency <= 100; latency += 1) tally.answered(latency % 2 === 0 ? "even" : "odd", latency);
    tally.lost("timeout");
    tally.lost("reset");
    tally.lost("reset");
    const report = tally.report("192.0.2.1:80", "tcp", 2000);
    expect(report).toMatchObject({
      sent: 103,
      answered: 100,
      lost: 3,
      timeouts: 1,
      reset: 2,
      refused: 0,
      ratePerSecond: 52,
    });
    expect(report.latencyMs).toEqual({ p50: 50, p90: 90, p99: 99, max: 100 });
    expect(report.targets).toEqual({ even: 50, odd: 50 });
    expect(renderReport(report)).toContain("sent 103, answered 100, lost 3 (1 timeouts, 2 reset)");
  });

  it("is all zeros when nothing was sent", () => {
    expect(new Tally().report("x", "udp", 0)).toMatchObject({
      sent: 0,
      lost: 0,
      ratePerSecond: 0,
      latencyMs: { max: 0 },
    });
  });
});

describe("answers", () => {
  const request = requestPayload(7, "abcdef", 64);

  it("are complete with the name and the whole request", () => {
    expect(request).toHaveLength(64);
    expect(readAnswer(request, Buffer.concat([Buffer.from("t-1\n"), request]))).toEqual({
      kind: "complete",
      target: "t-1",
    });
  });

  it("may come in pieces, whatever their size", () => {
    const whole = Buffer.concat([Buffer.from("t-1\n"), request]);
    for (let length = 0; length < whole.length; length += 1)
      expect(readAnswer(request, whole.subarray(0, length)).kind).toBe("partial");
  });

  it("are wrong when they answer something else, or too much", () => {
    const other = requestPayload(8, "abcdef", 64);
    expect(readAnswer(request, Buffer.concat([Buffer.from("t-1\n"), other])).kind).toBe("wrong");
    expect(readAnswer(request, Buffer.concat([Buffer.from("t-1\n"), request, Buffer.from("x")])).kind).toBe("wrong");
    expect(readAnswer(request, Buffer.alloc(65, 0x61)).kind).toBe("wrong");
  });
});
