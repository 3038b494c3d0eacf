import { describe, expect, it } from "vitest";
import { DatagramBatch, type OutgoingDatagram } from "./datagram-batch.ts";
import { ERRNO } from "./libc.ts";
import { socketAddress } from "./socket-address.ts";

const [A, B] = [socketAddress("192.0.2.1", 7410), socketAddress("2001:db8::1", 7410)];
const datagram = (to: Uint8Array, length: number): OutgoingDatagram => ({ to, octets: new Uint8Array(length) });
const many = (count: number, to: Uint8Array, length: number) =>
  Array.from({ length: count }, () => datagram(to, length));

/** A kernel that answers each call by the next of `answers`, and after that takes all; notes what it was shown. */
function kernel(answers: readonly number[] = []) {
  const calls: { messages: number; segmented: number }[] = [];
  const waiting = [...answers];
  const batch = new DatagramBatch((_, messages, count) => {
    const view = new DataView(messages.buffer, messages.byteOffset);
    const controls = Array.from({ length: count }, (_unused, at) => view.getBigUint64(at * 64 + 40, true));
    calls.push({ messages: count, segmented: controls.filter((length) => length > 0n).length });
    return waiting.shift() ?? count;
  });
  return { calls, batch, socket: { fd: 3, segments: true } };
}

describe("a batch", () => {
  it("datagrams of one length to one place are one message; more than 64 of them are two", () => {
    const { batch, calls, socket } = kernel();
    const all = [...many(20, A, 444), ...many(5, B, 444), datagram(A, 500), ...many(44, A, 444), datagram(A, 444)];
    expect(batch.send(socket, all)).toEqual({ left: [], failed: 0 });
    expect(calls).toEqual([{ messages: 4, segmented: 2 }]);
  });

  it("what does not fit every MTU, or is empty, goes alone; what does not fit the memory goes later", () => {
    const { batch, calls, socket } = kernel();
    batch.send(socket, [...many(3, A, 1_233), ...many(2, A, 0)]);
    expect(calls).toEqual([{ messages: 5, segmented: 0 }]);
    batch.send(socket, many(4, A, 65_507));
    expect(calls.slice(1)).toEqual([
      { messages: 2, segmented: 0 },
      { messages: 2, segmented: 0 },
    ]);
    batch.send(socket, many(100, A, 1_233));
    expect(calls.slice(3)).toEqual([
      { messages: 64, segmented: 0 },
      { messages: 36, segmented: 0 },
    ]);
  });
});

describe("the kernel", () => {
  it("takes some: the others are shown again", () => {
    const { batch, calls, socket } = kernel([1, -ERRNO.EINTR, 1]);
    expect(batch.send(socket, [datagram(A, 10), datagram(A, 20), datagram(A, 30)])).toEqual({ left: [], failed: 0 });
    expect(calls.map(({ messages }) => messages)).toEqual([3, 2, 2, 1]);
  });

  it("has no room: what is left comes back", () => {
    const { batch, socket } = kernel([1, -ERRNO.EAGAIN]);
    const all = [datagram(A, 10), ...many(2, A, 20)];
    expect(batch.send(socket, all)).toEqual({ left: all.slice(1), failed: 0 });
  });

  it.each(["EIO", "EINVAL", "EMSGSIZE", "EOPNOTSUPP"] as const)(
    "makes no segments (%s): singly, now and later",
    (code) => {
      const { batch, calls, socket } = kernel([1, -ERRNO[code]]);
      expect(batch.send(socket, [datagram(B, 10), ...many(3, A, 20), datagram(A, 30)])).toEqual({
        left: [],
        failed: 0,
      });
      expect(calls.map(({ messages }) => messages)).toEqual([3, 2, 4]);
      expect(socket.segments).toBe(false);
      batch.send(socket, many(2, A, 20));
      expect(calls.at(-1)).toEqual({ messages: 2, segmented: 0 });
    },
  );

  it("refuses a message: it is counted, the next one goes", () => {
    const { batch, calls, socket } = kernel([-ERRNO.EHOSTUNREACH]);
    expect(batch.send(socket, [...many(2, A, 20), datagram(B, 20)])).toEqual({ left: [], failed: 2 });
    expect(calls.map(({ messages }) => messages)).toEqual([2, 1]);
  });
});
