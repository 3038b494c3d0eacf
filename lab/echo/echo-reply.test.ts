import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { echoReply, LINE_LIMIT_BYTES, LineSplitter } from "./echo-reply.ts";

describe("echo", () => {
  it("answers with the name and the request, within a datagram", () => {
    expect(echoReply("t-1", Buffer.from("hi\n")).toString()).toBe("t-1\nhi\n");
    expect(echoReply("t-1", Buffer.alloc(65_507))).toHaveLength(65_507);
  });

  it("cuts lines wherever the stream is broken", () => {
    const text = "one\n\nthree is longer\nrest";
    fc.assert(
      fc.property(fc.array(fc.integer({ min: 0, max: text.length }), { maxLength: 6 }), (cuts) => {
        const splitter = new LineSplitter();
        const edges = [0, ...cuts.toSorted((a, b) => a - b), text.length];
        const lines = edges
          .slice(1)
          .flatMap((edge, index) => splitter.push(Buffer.from(text.slice(edges[index], edge))) ?? []);
        expect(lines.map(String)).toEqual(["one\n", "\n", "three is longer\n"]);
        expect(String(splitter.rest)).toBe("rest");
      }),
    );
  });

  it("refuses a line without end", () => {
    const splitter = new LineSplitter();
    expect(splitter.push(Buffer.alloc(LINE_LIMIT_BYTES, 0x61))).toEqual([]);
    expect(splitter.push(Buffer.from("a"))).toBeUndefined();
  });
});
