import fc from "fast-check";
import { expect, test } from "vitest";
import { frame, Unframer } from "./grpc-frames.ts";

const LIMIT = 1_000;

test("messages come out whole and in order, however the stream is cut", () => {
  fc.assert(
    fc.property(
      fc.array(fc.uint8Array({ maxLength: 40 }), { maxLength: 8 }),
      fc.array(fc.integer({ min: 1, max: 17 }), { minLength: 1, maxLength: 20 }),
      (messages, cuts) => {
        const stream = Buffer.concat(messages.map(frame));
        const unframer = new Unframer(LIMIT);
        const out: Uint8Array[] = [];
        for (let at = 0, i = 0; at < stream.length; i++) {
          const next = at + (cuts[i % cuts.length] ?? 1);
          for (const message of unframer.push(stream.subarray(at, next))) out.push(Uint8Array.from(message));
          at = next;
        }
        expect(out).toEqual(messages);
        expect(unframer.pending).toBe(0);
      },
    ),
  );
});

test("a compressed or an absurdly long message is refused, half a one is seen as pending", () => {
  expect(() => [...new Unframer(LIMIT).push(Buffer.from([1, 0, 0, 0, 0]))]).toThrow("compressed");
  expect(() => [...new Unframer(LIMIT).push(Buffer.from([0, 255, 255, 255, 255]))]).toThrow("4294967295 bytes");
  expect(() => [...new Unframer(LIMIT).push(Buffer.from([0, 0, 0, 3, 0xe9]))]).toThrow("1001 bytes");
  const unframer = new Unframer(LIMIT);
  expect([...unframer.push(Buffer.from([0, 0, 0, 0, 2, 7]))]).toEqual([]);
  expect(unframer.pending).toBe(6);
});
