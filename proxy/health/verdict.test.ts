import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { excused, initialHealth, nextHealth, returned, type TargetHealth } from "./target-health.ts";
import { judge, type NetworkVerdict, NOTHING_KNOWN, type Witness } from "./verdict.ts";

const INTERVAL_MS = 200;
const THRESHOLDS = { failureThreshold: 3, successThreshold: 2 };

/** Targets that are asked one after the other, each once in an interval. */
class Network {
  readonly #targets = new Map<string, Witness & { health: TargetHealth }>();
  #nowMs = 0;
  verdict: NetworkVerdict = NOTHING_KNOWN;
  readonly history: NetworkVerdict[] = [];

  constructor(...names: string[]) {
    for (const name of names) this.#put(name, initialHealth("up", 0), undefined, undefined);
  }

  /** @param answers who answers; the others are silent. */
  intervals(count: number, answers: (name: string) => boolean): this {
    for (let i = 0; i < count; i++) {
      for (const name of this.#targets.keys()) {
        this.#nowMs += INTERVAL_MS / this.#targets.size;
        this.#ask(name, answers(name));
        const judgement = judge(this.verdict, this.#targets, this.#nowMs);
        this.verdict = judgement.verdict;
        for (const id of judgement.excused) this.#change(id, excused);
        for (const id of judgement.returning) this.#change(id, returned);
        this.history.push(this.verdict);
      }
    }
    return this;
  }

  get out(): string {
    return [...this.verdict.down].sort().join("");
  }

  #change(name: string, change: (health: TargetHealth) => TargetHealth): void {
    const target = this.#targets.get(name);
    if (target === undefined) return;
    const health = change(target.health);
    this.#put(name, health, target.answeredMs, health.state === "down" ? target.downSinceMs : undefined);
  }

  #ask(name: string, answered: boolean): void {
    const before = this.#targets.get(name);
    if (before === undefined) return;
    const health = nextHealth(before.health, { answered, askedMs: this.#nowMs }, THRESHOLDS, this.#nowMs);
    const downSinceMs = health.state === "down" ? (before.downSinceMs ?? this.#nowMs) : undefined;
    this.#put(name, health, answered ? this.#nowMs : before.answeredMs, downSinceMs);
  }

  #put(name: string, health: TargetHealth, answeredMs: number | undefined, downSinceMs: number | undefined): void {
    this.#targets.set(name, { health, patienceMs: 2 * INTERVAL_MS, answeredMs, downSinceMs });
  }
}

const all = (): boolean => true;
const none = (): boolean => false;

describe("a service network", () => {
  test("a target that is silent while others answer is out at its third failure, when the next of them has answered", () => {
    const network = new Network("a", "b", "c").intervals(5, all).intervals(2, (name) => name !== "b");
    expect(network.out).toBe("");
    network.intervals(1, (name) => name !== "b");
    expect(network.out).toBe("b");
    expect(network.verdict.partitioned).toBe(false);
  });

  test("when all fall silent, all are out in one step, and the instance is cut off", () => {
    const network = new Network("a", "b", "c", "d").intervals(5, all).intervals(4, none);
    expect(network.out).toBe("abcd");
    expect(network.verdict.partitioned).toBe(true);
    const sizes = new Set(network.history.map(({ down }) => down.size));
    expect([...sizes]).toEqual([0, 4]);
  });

  test("and all return in one step", () => {
    const network = new Network("a", "b", "c", "d").intervals(5, all).intervals(10, none).intervals(12, all);
    expect(network.out).toBe("");
    expect(network.verdict.partitioned).toBe(false);
    const sizes = network.history.map(({ down }) => down.size).filter((size, i, list) => size !== list[i - 1]);
    expect(sizes).toEqual([0, 4, 0]);
  });

  test("but for those that do not answer, and those that were out before", () => {
    const network = new Network("a", "b", "c", "d").intervals(5, all);
    // Twice, so that its hold time is the longer one.
    for (const intervals of [10, 0]) network.intervals(4, (name) => name !== "d").intervals(intervals, all);
    expect(network.out).toBe("d");
    network.intervals(10, none);
    expect(network.out).toBe("abcd");
    network.intervals(9, (name) => name !== "c");
    expect([network.out, network.verdict.partitioned]).toEqual(["cd", false]);
  });

  test("a cut is not the targets' fall: the next fall of each is its first", () => {
    const network = new Network("a", "b").intervals(5, all).intervals(5, none).intervals(10, all);
    network.intervals(5, (name) => name === "b").intervals(8, all);
    expect(network.out).toBe("");
  });

  test("an instance that is cut off again and again is held for longer each time", () => {
    const network = new Network("a", "b").intervals(5, all);
    const held = [1, 2, 3].map(() => {
      network.intervals(5, none);
      const from = network.history.length;
      network.intervals(60, all);
      return network.history.slice(from).filter(({ partitioned }) => partitioned).length / 2;
    });
    // Intervals: two for the answers, then 1, 2 and 4 s.
    expect(held.map((intervals) => Math.round(intervals))).toEqual([6, 11, 21]);
  });

  test("a single target that dies is as a cut: nobody can tell", () => {
    const network = new Network("a").intervals(3, all).intervals(3, none);
    expect([network.out, network.verdict.partitioned]).toEqual(["a", true]);
  });

  test("of those that fall at once while one answers, all are out", () => {
    const network = new Network("a", "b", "c").intervals(3, all).intervals(4, (name) => name === "a");
    expect([network.out, network.verdict.partitioned]).toEqual(["bc", false]);
  });
});

test("whoever answers: who is silent for five intervals is out, who answers for long is in", () => {
  const pattern = fc.array(fc.record({ a: fc.boolean(), b: fc.boolean(), c: fc.boolean() }), { maxLength: 30 });
  fc.assert(
    fc.property(pattern, fc.subarray(["a", "b", "c"]), (rounds, silent) => {
      const network = new Network("a", "b", "c");
      for (const round of rounds) {
        network.intervals(1, (name) => ({ ...round })[name === "a" ? "a" : name === "b" ? "b" : "c"]);
      }
      network.intervals(5 + 31_000 / INTERVAL_MS, (name) => !silent.includes(name));
      expect(network.out).toBe(silent.join(""));
      expect(network.verdict.partitioned).toBe(silent.length === 3);
    }),
    { numRuns: 60 },
  );
});
