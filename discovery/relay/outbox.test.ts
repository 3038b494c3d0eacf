import { expect, it } from "vitest";
import { Outbox } from "./outbox.ts";

const message = new Uint8Array(1);

function filled(receivers: number, each: number, most = 1_000_000): Outbox<number> {
  const outbox = new Outbox<number>(most);
  for (let to = 0; to < receivers; to++) {
    for (let at = 0; at < each; at++) outbox.add(to, () => message, 0);
  }
  return outbox;
}

function drained(outbox: Outbox<number>, nowMs: number): number[] {
  const sent: number[] = [];
  outbox.drain(nowMs, (to) => sent.push(to));
  return sent;
}

it("one receiver gets 32 at once, and then 4 in a millisecond", () => {
  const outbox = filled(1, 100);
  expect(drained(outbox, 0)).toHaveLength(32);
  expect(drained(outbox, 0)).toHaveLength(0);
  expect(drained(outbox, 5)).toHaveLength(20);
  expect(outbox.waiting).toBe(48);
});

it("when there is more than a turn takes, the next turn is the others'", () => {
  const outbox = filled(100, 100);
  const turns = Array.from({ length: 25 }, () => drained(outbox, 0));
  expect(turns.every((turn) => turn.length === 128)).toBe(true);
  expect(new Set(turns.flat()).size).toBe(100);
  expect(outbox.drain(0, () => undefined)).toBe(2);
});

it("what is not wanted any more costs nothing; a receiver that is forgotten gets nothing; too much is dropped", () => {
  const outbox = filled(2, 10, 15);
  expect(outbox.dropped).toBe(5);
  outbox.forget(0);
  outbox.add(1, () => undefined, 0);
  expect(drained(outbox, 0)).toEqual([1, 1, 1, 1, 1]);
  expect(outbox.waiting).toBe(0);
  expect(outbox.drain(1_000, () => undefined)).toBeUndefined();
});
