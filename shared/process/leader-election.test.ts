import { pino } from "pino";
import { describe, expect, test } from "vitest";
import {
  LEADER_TIMES,
  LeaderElection,
  type LeaderLock,
  type LeaderRecord,
  type Leadership,
} from "./leader-election.ts";

const log = pino({ level: "silent" });

/** Time that passes only when everybody waits. */
class World implements LeaderLock {
  readonly name = "lock";
  nowMs = 0.123;
  record: LeaderRecord | undefined;
  isDown = false;
  /** Whose writes do not arrive any more. */
  readonly dead = new Set<string>();
  #version = 0;
  readonly #sleepers: { readonly atMs: number; readonly wake: () => void }[] = [];

  async read(): Promise<LeaderRecord | undefined> {
    if (this.isDown) throw new Error("down");
    return this.record;
  }

  async write(next: Omit<LeaderRecord, "version">, over: LeaderRecord | undefined): Promise<LeaderRecord | undefined> {
    if (this.isDown || this.dead.has(next.holder)) throw new Error("down");
    if (over?.version !== this.record?.version) return undefined;
    this.#version += 1;
    this.record = { ...next, version: String(this.#version) };
    return this.record;
  }

  pause = (ms: number, signal: AbortSignal): Promise<void> =>
    new Promise((resolve) => {
      this.#sleepers.push({ atMs: this.nowMs + ms, wake: resolve });
      signal.addEventListener("abort", () => resolve(), { once: true });
    });

  /** Lets time pass until `until` holds. @returns how long it took. */
  async pass(until: () => boolean, limitMs = 60_000): Promise<number> {
    const beganMs = this.nowMs;
    const settle = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));
    await settle();
    while (!until()) {
      if (this.nowMs - beganMs > limitMs) throw new Error(`not within ${limitMs} ms`);
      this.nowMs += 100;
      for (const sleeper of this.#sleepers.splice(0)) {
        if (sleeper.atMs <= this.nowMs) sleeper.wake();
        else this.#sleepers.push(sleeper);
      }
      await settle();
    }
    return this.nowMs - beganMs;
  }
}

interface Candidate {
  readonly stop: AbortController;
  leadership: Leadership | undefined;
}

function candidate(world: World, identity: string, elapsedMs = () => world.nowMs): Candidate {
  const election = new LeaderElection({ lock: world, identity, log, elapsedMs, pause: world.pause });
  const it: Candidate = { stop: new AbortController(), leadership: undefined };
  void election.campaign(it.stop.signal).then((leadership) => {
    it.leadership = leadership;
  });
  return it;
}
const leads = ({ leadership }: Candidate): boolean => leadership?.leads() === true;

describe("leader election", () => {
  test("one leads, the other waits, for as long as the first renews", async () => {
    const world = new World();
    const a = candidate(world, "a");
    await world.pass(() => leads(a));
    const b = candidate(world, "b");
    await world.pass(() => world.nowMs > 60_000);
    expect([leads(a), leads(b)]).toEqual([true, false]);
  });

  test("given up in good order: another leads within 2 s", async () => {
    const world = new World();
    const [a, b] = [candidate(world, "a"), candidate(world, "b")];
    await world.pass(() => leads(a) || leads(b));
    const [first, second] = leads(a) ? [a, b] : [b, a];
    await world.pass(() => world.nowMs > 5_000);
    await first.leadership?.release();
    expect(leads(first)).toBe(false);
    expect(await world.pass(() => leads(second))).toBeLessThan(2_000);
    expect(world.record?.transitions).toBe(1);
  });

  test("killed: another leads within 15 s, and not before the first leads no more", async () => {
    const world = new World();
    const a = candidate(world, "a");
    await world.pass(() => leads(a));
    const b = candidate(world, "b");
    await world.pass(() => world.nowMs > 5_000);
    world.dead.add("a");
    let overlap = false;
    const tookMs = await world.pass(() => {
      overlap ||= leads(a) && leads(b);
      return leads(b);
    });
    expect(overlap).toBe(false);
    expect(tookMs).toBeLessThan(15_000);
    expect(a.leadership?.lost.aborted).toBe(true);
  });

  test("a leader that sleeps does not lead when it wakes, before it has looked", async () => {
    const world = new World();
    const a = candidate(world, "a");
    await world.pass(() => leads(a));
    world.nowMs += LEADER_TIMES.deadlineMs;
    expect(leads(a)).toBe(false);
  });

  test("an API that is away for a moment costs nothing; away for long, the lead", async () => {
    const world = new World();
    const a = candidate(world, "a");
    await world.pass(() => leads(a));
    world.isDown = true;
    await world.pass(() => world.nowMs > 4_000);
    world.isDown = false;
    await world.pass(() => world.nowMs > 20_000);
    expect(leads(a)).toBe(true);
    world.isDown = true;
    const tookMs = await world.pass(() => a.leadership?.lost.aborted === true);
    expect(tookMs).toBeLessThan(LEADER_TIMES.durationMs);
  });

  test("many candidates through many deaths: never two at once", async () => {
    const world = new World();
    const all: Candidate[] = [];
    for (let round = 0; round < 12; round++) {
      all.push(candidate(world, `c${round}`));
      await world.pass(() => {
        expect(all.filter(leads).length).toBeLessThanOrEqual(1);
        return all.some(leads);
      });
      await world.pass(() => {
        expect(all.filter(leads).length).toBeLessThanOrEqual(1);
        return Math.round(world.nowMs) % 7_000 < 100;
      });
      if (round % 2 === 0) await all.find(leads)?.leadership?.release();
    }
  });
});
