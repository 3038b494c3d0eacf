import { describe, expect, test } from "vitest";
import { WorkQueue, type WorkQueueOptions } from "./work-queue.ts";

/** Sleeps are kept until the test lets them end. */
class ManualPauses {
  readonly sleeps: { ms: number; wake: () => void }[] = [];

  pause = (ms: number, signal: AbortSignal): Promise<void> =>
    new Promise((resolve) => {
      signal.addEventListener("abort", () => resolve(), { once: true });
      this.sleeps.push({ ms, wake: resolve });
    });
}

function setup(reconcile: WorkQueueOptions["reconcile"], options: Partial<WorkQueueOptions> = {}) {
  const clock = new ManualPauses();
  const stop = new AbortController();
  const failures: [string, number][] = [];
  const queue = new WorkQueue({
    reconcile,
    onFailure: (key, _error, retryInMs) => failures.push([key, retryInMs]),
    pause: clock.pause,
    random: () => 1,
    signal: stop.signal,
    ...options,
  });
  return { queue, clock, stop, failures };
}

describe("WorkQueue", () => {
  test("keys in order, each once however often it was added", async () => {
    const seen: string[] = [];
    const { queue } = setup(async (key) => void seen.push(key));
    for (const key of ["a", "b", "a", "c", "b"]) queue.add(key);
    expect(queue.depth).toBe(3);
    await queue.idle();
    expect(seen).toEqual(["a", "b", "c"]);
    expect(queue.depth).toBe(0);
  });

  test("a key added while it is looked at is looked at again, never twice at once", async () => {
    let [running, runs] = [0, 0];
    const { queue } = setup(
      async () => {
        running += 1;
        expect(running).toBe(1);
        if (++runs < 4) queue.add("a");
        await new Promise((resolve) => setImmediate(resolve));
        running -= 1;
      },
      { concurrency: 4 },
    );
    queue.add("a");
    await queue.idle();
    expect(runs).toBe(4);
  });

  test("keys that can wait go after all others, but for one in a while", async () => {
    const seen: string[] = [];
    const { queue } = setup(async (key) => void seen.push(key));
    for (const key of ["p1", "p2", "p3"]) queue.addPatient(key);
    const urgent = Array.from({ length: 20 }, (_, at) => `u${at}`);
    for (const key of urgent) queue.add(key);
    // It is urgent now; and one that is urgent already does not wait longer.
    queue.add("p3");
    queue.addPatient("u19");
    expect(queue.depth).toBe(23);
    await queue.idle();
    expect(seen).toEqual([...urgent.slice(0, 16), "p1", ...urgent.slice(16), "p3", "p2"]);
    expect(queue.depth).toBe(0);
  });

  test("concurrency is a limit", async () => {
    let [running, most] = [0, 0];
    const { queue } = setup(
      async () => {
        most = Math.max(most, ++running);
        await new Promise((resolve) => setImmediate(resolve));
        running -= 1;
      },
      { concurrency: 3 },
    );
    for (let index = 0; index < 20; index += 1) queue.add(`k${index}`);
    await queue.idle();
    expect(most).toBe(3);
  });

  test("failures come back later and later, up to a limit; success begins anew", async () => {
    let failing = true;
    const { queue, clock, failures } = setup(
      async () => {
        if (failing) throw new Error("no");
      },
      { firstRetryMs: 100, maxRetryMs: 350 },
    );
    queue.add("a");
    for (let attempt = 0; attempt < 4; attempt += 1) {
      await queue.idle();
      expect(queue.depth).toBe(1);
      clock.sleeps.at(-1)?.wake();
      await Promise.resolve();
    }
    await queue.idle();
    expect(failures.map(([, ms]) => ms)).toEqual([100, 200, 350, 350, 350]);
    failing = false;
    queue.add("a");
    await queue.idle();
    expect(queue.depth).toBe(0);
    failing = true;
    queue.add("a");
    await queue.idle();
    expect(failures.at(-1)).toEqual(["a", 100]);
  });

  test("jitter halves the pause at most; a change does not wait for it, and the old retry is off", async () => {
    let runs = 0;
    const { queue, clock, failures } = setup(
      async () => {
        if (++runs === 1) throw new Error("no");
      },
      { random: () => 0 },
    );
    queue.add("a");
    await queue.idle();
    expect(failures).toEqual([["a", 50]]);
    queue.add("a");
    await queue.idle();
    clock.sleeps[0]?.wake();
    await queue.idle();
    expect(runs).toBe(2);
  });

  test("a key whose reconciler says so is looked at again later, or as soon as it is added", async () => {
    const answers: (number | undefined)[] = [500, 300, undefined];
    const seen: string[] = [];
    const { queue, clock } = setup(async (key) => {
      seen.push(key);
      return answers.shift();
    });
    queue.add("a");
    await queue.idle();
    expect(clock.sleeps.map(({ ms }) => ms)).toEqual([500]);
    expect(queue.depth).toBe(0);
    queue.add("a");
    await queue.idle();
    expect(clock.sleeps.map(({ ms }) => ms)).toEqual([500, 300]);
    // The first wait is off: only the second brings it back.
    for (const { wake } of clock.sleeps) wake();
    await new Promise((resolve) => setImmediate(resolve));
    await queue.idle();
    expect(seen).toEqual(["a", "a", "a"]);
  });

  test("one key's failure does not hold up the others; abort ends it all", async () => {
    const seen: string[] = [];
    const { queue, stop } = setup(async (key) => {
      seen.push(key);
      if (key === "bad") throw new Error("no");
    });
    queue.add("bad");
    queue.add("good");
    await queue.idle();
    expect(seen).toEqual(["bad", "good"]);
    stop.abort();
    queue.add("late");
    await queue.idle();
    expect(seen).toEqual(["bad", "good"]);
  });
});
