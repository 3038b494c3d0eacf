import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { SETTLED_MARK } from "#shared/instance/marks.ts";
import type { LegId } from "#shared/resolve/intent-types.ts";
import { endsWith, nextEndMs, nextHistory } from "./flow-moves.ts";
import { Instance, ownersOf, type TargetState, targetOf, WINDOW_MS, windowMs } from "./instances.fixture.ts";

const SIZE = 31;
/** Flows send at least this often. */
const ROUND_MS = WINDOW_MS / 4;
const TARGETS = 6;
type State = TargetState;

const change = fc.record({
  what: fc.constant("change" as const),
  target: fc.nat(TARGETS - 1),
  state: fc.constantFrom<State>("ready", "draining", "gone"),
});
const step = fc.oneof(
  { weight: 4, arbitrary: change },
  { weight: 3, arbitrary: fc.record({ what: fc.constant("begin" as const), flow: fc.nat(400) }) },
  { weight: 2, arbitrary: fc.constant({ what: "wait" as const }) },
  { weight: 1, arbitrary: fc.constant({ what: "restart" as const }) },
);

/** Runs steps on one instance. Every live flow sends with each wait. @returns flows that left a target that lived. */
function run(steps: readonly (typeof step extends fc.Arbitrary<infer T> ? T : never)[], room: number) {
  const instance = new Instance(room);
  const targets: State[] = ["ready", "ready", "ready", "gone", "gone", "gone"];
  const flows = new Map<number, LegId>();
  const serving = (id: LegId): boolean => targets[targetOf(id)] !== "gone";
  let nowMs = 0;
  const broken: number[] = [];
  const late: number[] = [];
  let slots = ownersOf(targets, SIZE);
  instance.pass(slots, serving, nowMs);
  const send = (): void => {
    for (const [flow, home] of flows) {
      if (instance.packet(flow, false, serving, nowMs) !== home) {
        broken.push(flow);
        flows.delete(flow);
      }
    }
  };
  for (const now of steps) {
    if (now.what === "change") {
      const others = targets.filter((state, index) => state === "ready" && index !== now.target);
      if (now.state !== "ready" && others.length === 0) continue;
      if (targets[now.target] !== now.state) {
        targets[now.target] = now.state;
        // Its flows are dead, also if it comes back.
        for (const [flow, home] of flows) if (!serving(home)) flows.delete(flow);
        const next = ownersOf(targets, SIZE);
        if (next.some((owner, slot) => owner !== slots[slot])) slots = next;
      }
    } else if (now.what === "begin" && !flows.has(now.flow)) {
      const to = instance.packet(now.flow, true, serving, nowMs);
      if (to !== undefined) flows.set(now.flow, to);
      if (to !== slots[now.flow % SIZE]) late.push(now.flow);
    } else if (now.what === "wait") nowMs += ROUND_MS;
    else instance.restart(nowMs);
    instance.pass(slots, serving, nowMs);
    // Silent while changes follow each other: so several of them meet flows that nobody has seen since.
    if (now.what === "wait") send();
  }
  send();
  return { broken, late, instance, flows, slots, serving, nowMs };
}

describe("moved slots", () => {
  it("no established flow whose target lives ever changes target, whatever changes, and new ones go to the owner at once", () => {
    fc.assert(
      fc.property(fc.array(step, { minLength: 5, maxLength: 60 }), (steps) => {
        const { broken, late } = run(steps, Number.POSITIVE_INFINITY);
        expect(broken).toEqual([]);
        // But for a flow whose number was used before, by one that is still known.
        const begun = steps.flatMap((now) => (now.what === "begin" ? [now.flow] : []));
        expect(late.filter((flow) => begun.filter((other) => other === flow).length === 1)).toEqual([]);
      }),
      { numRuns: 500 },
    );
  });

  it("without room for a single flow nothing breaks either, while flows are learned", () => {
    fc.assert(
      fc.property(fc.array(step, { minLength: 5, maxLength: 60 }), fc.nat(3), (steps, room) => {
        // One change of each slot: without room nobody can remember which of two former owners a flow has.
        const once = steps.filter((now) => now.what !== "change");
        const [first] = steps.filter((now) => now.what === "change" && now.state !== "gone");
        const at = Math.floor(once.length / 2);
        const all = first === undefined ? once : [...once.slice(0, at), first, ...once.slice(at)];
        expect(run(all, room).broken).toEqual([]);
      }),
      { numRuns: 300 },
    );
  });

  it("several instances: a flow from before the changes may come by any of them while flows are learned", () => {
    const changes = fc.array(change, { minLength: 1, maxLength: 8 });
    fc.assert(
      fc.property(changes, fc.array(fc.nat(1), { minLength: 40, maxLength: 40 }), (list, ways) => {
        const instances = [new Instance(1000), new Instance(1000)] as const;
        const targets: State[] = ["ready", "ready", "ready", "gone", "gone", "gone"];
        const serving = (id: LegId): boolean => targets[targetOf(id)] !== "gone";
        let slots = ownersOf(targets, SIZE);
        for (const instance of instances) instance.pass(slots, serving, 0);
        const flows = new Map(ways.map((_, flow) => [flow, instances[0].packet(flow, true, serving, 0)]));
        for (const { target, state } of list) {
          const others = targets.filter((other, index) => other === "ready" && index !== target);
          if (state !== "ready" && others.length === 0) continue;
          targets[target] = state;
          slots = ownersOf(targets, SIZE);
          for (const [flow, home] of flows) if (home === undefined || !serving(home)) flows.delete(flow);
          // An instance may be behind: it sees the last of the changes only.
          instances[0].pass(slots, serving, 0);
        }
        instances[1].pass(slots, serving, 0);
        for (const [flow, home] of flows) {
          const instance = instances[ways[flow] ?? 0] ?? instances[0];
          expect(instance.packet(flow, false, serving, 0)).toBe(home);
        }
      }),
    );
  });

  it("are forgotten when their flows have ended", () => {
    fc.assert(
      fc.property(fc.array(step, { maxLength: 40 }), (steps) => {
        const { instance, slots, serving, nowMs } = run(steps, Number.POSITIVE_INFINITY);
        for (let later = 1; later <= 3; later++) instance.pass(slots, serving, nowMs + later * 2 * WINDOW_MS);
        expect(instance.moved).toBeUndefined();
      }),
    );
  });

  it("control: by the table alone flows break", () => {
    const begin = Array.from({ length: 200 }, (_, flow) => ({ what: "begin" as const, flow }));
    const targets: State[] = ["ready", "ready", "ready", "gone", "gone", "gone"];
    const before = ownersOf(targets, SIZE);
    const after = ownersOf([...targets.slice(0, 3), "ready", "gone", "gone"], SIZE);
    expect(begin.filter(({ flow }) => before[flow % SIZE] !== after[flow % SIZE]).length).toBeGreaterThan(20);
  });
});

describe("histories", () => {
  const serving = (): boolean => true;
  const table = (...slots: number[]) => ({ hash: "tuple" as const, slots: Uint32Array.from(slots) });
  const at = (nowMs: number, more: object = {}) => ({ nowMs, windowMs, serving, ...more });

  it("are the same object while nothing is different", () => {
    const first = nextHistory(undefined, table(1, 2, 3), at(0));
    expect(nextHistory(first, first, at(1_000_000))).toBe(first);
  });

  it("keep the first former owner through further changes, for a window after the last", () => {
    const first = nextHistory(undefined, table(1, 2, 3), at(0));
    const second = nextHistory(first, table(9, 2, 3), at(1000));
    const third = nextHistory(second, table(8, 2, 3), at(2000));
    expect(third.moved.connection?.legs).toEqual(Uint32Array.of(1, 0, 0));
    expect(nextEndMs(third, at(2000))).toBe(2000 + windowMs.datagram);
    const settled = nextHistory(third, third, at(2000 + WINDOW_MS));
    expect(settled.moved.connection?.legs).toEqual(Uint32Array.of(SETTLED_MARK, 0, 0));
    expect(endsWith(settled, new Set([9]))).toBe(false);
    expect(endsWith(settled, new Set([5]))).toBe(true);
    // Flows are kept at one of its former owners: the exception stays.
    const kept = (...legs: number[]) => at(2000 + WINDOW_MS, { kept: new Set(legs) });
    expect(nextHistory(settled, settled, kept(9)).moved.connection).toBeDefined();
    expect(nextHistory(settled, settled, kept(5)).moved).toEqual({});
  });

  it("learn longer where flows found no room", () => {
    const first = nextHistory(undefined, table(1), at(0));
    const second = nextHistory(first, table(2), at(0));
    const late = { ...at(WINDOW_MS), refusedMs: WINDOW_MS - 1 };
    expect(nextHistory(second, second, late).moved.connection?.legs).toEqual(Uint32Array.of(1));
    expect(nextEndMs(second, late)).toBe(WINDOW_MS - 1 + windowMs.datagram);
  });

  it("know without going through the slots when nothing is due", () => {
    const legs = fc.array(fc.nat(4), { minLength: 4, maxLength: 4 });
    const times = fc.nat(3 * WINDOW_MS);
    const gone = fc.option(fc.nat(4), { nil: undefined });
    const kept = fc.option(fc.array(fc.nat(4)), { nil: undefined });
    fc.assert(
      fc.property(
        fc.array(legs, { minLength: 2, maxLength: 4 }),
        times,
        times,
        gone,
        kept,
        (owners, ms, refusedMs, dead, at) => {
          const serving = (leg: number): boolean => leg !== dead;
          const context = { windowMs, serving, refusedMs };
          const tables = owners.map((slots) => table(...slots.map((leg) => leg + 1)));
          const history = tables.reduce<ReturnType<typeof nextHistory> | undefined>(
            (before, next) => nextHistory(before, next, { windowMs, serving: () => true, nowMs: 0 }),
            undefined,
          );
          if (history === undefined) throw new Error("no tables");
          const now = { ...context, nowMs: ms, ...(at && { kept: new Set(at) }) };
          // A copy is not known to be the same table: each slot is looked at.
          const searched = nextHistory(history, { ...history, slots: history.slots.slice() }, now);
          expect(nextHistory(history, history, now).moved).toEqual(searched.moved);
        },
      ),
    );
  });

  it("are forgotten with another size or other fields to hash", () => {
    const first = nextHistory(undefined, table(1, 2, 3), at(0));
    expect(nextHistory(first, table(1, 2), at(0)).moved).toEqual({});
    expect(nextHistory(first, { ...table(9, 2, 3), hash: "source" }, at(0)).moved).toEqual({});
  });
});
