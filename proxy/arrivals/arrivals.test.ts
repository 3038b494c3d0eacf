import fc from "fast-check";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { KernelNotFoundError } from "#shared/kernel/kernel-error.ts";
import { type Ip, ip } from "#shared/net/ip.ts";
import type { Intent } from "#shared/resolve/intent-types.ts";
import { TableCache } from "#shared/resolve/tables.ts";
import { intentOf, scenario } from "../../test/support/scenario.ts";
import { type ArrivalCheck, Arrivals, type EchoVia, HOLD_MS, TURN_MS } from "./arrivals.ts";
import { admit, GRACE_MS, type Standings } from "./newcomers.ts";

const addressOf = (n: number): Ip => ip(`10.1.0.${n}`);

describe("who is admitted", () => {
  const company = (...numbers: number[]): Set<Ip> => new Set(numbers.map(addressOf));
  const arriving = (standings: Standings): string[] =>
    [...standings].flatMap(([address, { kind }]) => (kind === "arriving" ? [address] : []));

  test("all who come to nobody; who comes to others waits, in every company", () => {
    const first = admit(new Map(), [company(1, 2)], 0);
    expect(arriving(first)).toEqual([]);
    const second = admit(first, [company(1, 2, 3), company(3, 4)], 5);
    expect(arriving(second)).toEqual(["10.1.0.3"]);
    expect(second.get(addressOf(3))).toEqual({ kind: "arriving", sinceMs: 5 });
    // In any order of the companies.
    expect(arriving(admit(first, [company(3, 4), company(1, 2, 3)], 5))).toContain("10.1.0.3");
  });

  test("nobody is forgotten while he stays, nobody loses trust, and every company has somebody who serves or came alone", () => {
    const companies = fc.array(fc.uniqueArray(fc.integer({ min: 1, max: 9 }), { minLength: 1 }), { maxLength: 4 });
    fc.assert(
      fc.property(fc.array(companies, { maxLength: 8 }), (steps) => {
        let before: Standings = new Map();
        for (const [at, step] of steps.entries()) {
          const after = admit(
            before,
            step.map((numbers) => company(...numbers)),
            at,
          );
          expect(new Set(after.keys())).toEqual(company(...step.flat()));
          for (const [address, standing] of before)
            if (after.has(address)) expect(after.get(address)).toEqual(standing);
          before = after;
        }
      }),
    );
  });
});

describe("arrivals", () => {
  const cache = new TableCache();
  let arrivals: Arrivals;
  /** Targets that have the VIPs, by their leg's mark. */
  let setUp: Set<number>;
  let asked: { readonly to: string; readonly mark: number; readonly via: EchoVia }[];
  let open: number;
  let changes: number;
  let exists: boolean;
  /** A target that does not have one of the VIPs. */
  let mute: { readonly mark: number; readonly vip: string } | undefined;
  let nowMs: number;
  let intent: Intent;
  const lines: string[] = [];
  const log = (...said: readonly unknown[]): void => void lines.push(said.map(String).join(" "));

  beforeEach(() => {
    vi.useFakeTimers();
    [setUp, asked, open, changes, exists, nowMs] = [new Set(), [], 0, 0, true, 0];
    mute = undefined;
    lines.length = 0;
    arrivals = new Arrivals({
      log: { debug: log, info: log, warn: log, error: log },
      nowMs: () => nowMs,
      random: () => 0.5,
      onChange: () => changes++,
      open: (via) => {
        if (!exists) throw new KernelNotFoundError("socket", "ENODEV", "does not exist");
        open++;
        const replies: [string, number][] = [];
        return {
          send: (to, sequence, mark) => {
            asked.push({ to, mark, via });
            if (setUp.has(mark) && !(mute?.mark === mark && mute.vip === to)) replies.push([to, sequence]);
          },
          drain: (onReply) => {
            for (const [from, sequence] of replies.splice(0)) onReply(from, sequence);
          },
          close: () => open--,
        };
      },
    });
  });
  afterEach(() => {
    arrivals.close();
    vi.useRealTimers();
  });

  /** The objects now name these targets; a pass of the proxy. */
  async function targets(numbers: readonly number[], check: ArrivalCheck = "ask"): Promise<void> {
    const everybody = await intentOf(scenario({ targetsOf: () => [...numbers] }), cache);
    const of = (family: 4 | 6): Set<Ip> =>
      new Set([...everybody.legs.values()].flatMap((leg) => leg.addresses[family] ?? []));
    arrivals.plan([of(4), of(6)], check);
    intent = await intentOf(scenario({ targetsOf: () => [...numbers] }), cache, "edge", {
      isArriving: arrivals.isArriving,
    });
    arrivals.programmed(intent, sourceOf);
  }
  const sourceOf = (_: string, family: 4 | 6): Ip => ip(family === 4 ? "10.1.0.254" : "fd00:1::fe");
  const pass = (ms: number): void => {
    for (let end = nowMs + ms; nowMs < end; ) {
      nowMs += TURN_MS;
      vi.advanceTimersByTime(TURN_MS);
    }
  };
  const markOf = (n: number): number =>
    [...intent.legs.values()].find((leg) => leg.target.endsWith(`-${n}`))?.id ?? expect.fail(`no target ${n}`);
  const stateOf = (n: number): string | undefined =>
    [...intent.legs.values()].find(({ id }) => id === markOf(n))?.state;
  const slotsOf = (n: number): number =>
    [...intent.tables.values()].reduce((sum, { slots }) => sum + slots.filter((id) => id === markOf(n)).length, 0);

  test("nobody is asked while nobody comes to others", async () => {
    await targets([1, 2]);
    pass(100);
    expect([asked, open]).toEqual([[], 0]);
    expect(stateOf(1)).toBe("accepting");
  });

  test("a target that comes has no slot until it answers for the VIPs of both families, by its own way", async () => {
    await targets([1, 2]);
    await targets([1, 2, 3]);
    expect([stateOf(3), slotsOf(3)]).toEqual(["arriving", 0]);
    pass(500);
    expect(changes).toBe(0);
    const own = asked.filter(({ mark }) => mark === markOf(3));
    expect(new Set(own.map(({ to }) => to))).toEqual(new Set(intent.vips));
    for (const { to, via } of own) {
      expect(via.source).toBe(to.includes(":") ? "fd00:1::fe" : "10.1.0.254");
    }
    // One that was there is known to answer: so silence means something.
    setUp = new Set([markOf(1)]);
    pass(3 * GRACE_MS);
    expect(changes).toBe(0);
    setUp.add(markOf(3));
    pass(300);
    expect(changes).toBeGreaterThan(0);
    await targets([1, 2, 3]);
    expect(stateOf(3)).toBe("accepting");
    expect(slotsOf(3)).toBeGreaterThan(0);
    expect(open).toBe(0);
  });

  test("where nobody answers, silence says nothing after a second", async () => {
    await targets([1, 2]);
    await targets([1, 2, 3]);
    pass(GRACE_MS - 50);
    expect(changes).toBe(0);
    pass(100);
    expect(changes).toBe(1);
    expect(lines).toEqual([expect.stringContaining("taken as they are")]);
  });

  test("one who is waited for is told of, once", async () => {
    await targets([1, 2]);
    await targets([1, 2, 3]);
    setUp.add(markOf(2));
    pass(20_000);
    expect(lines).toEqual([expect.stringContaining("does not answer for the VIP")]);
    expect(changes).toBe(0);
  });

  test("a VIP that is withdrawn is not waited for", async () => {
    await targets([1, 2]);
    await targets([1, 2, 3]);
    setUp = new Set([markOf(1), markOf(3)]);
    // To the other VIPs it answers, and so do others for all: silence means something.
    mute = { mark: markOf(3), vip: "198.51.100.11" };
    arrivals.programmed({ ...intent, vips: [...intent.vips, ip(mute.vip)] }, sourceOf);
    pass(3 * GRACE_MS);
    expect(arrivals.isArriving(addressOf(3))).toBe(true);
    const before = changes;
    arrivals.programmed(intent, sourceOf);
    pass(2 * TURN_MS);
    expect(arrivals.isArriving(addressOf(3))).toBe(false);
    expect(changes).toBe(before + 1);
  });

  test("one who goes before it has arrived is forgotten, and comes anew", async () => {
    await targets([1, 2]);
    await targets([1, 2, 3]);
    setUp.add(markOf(2));
    pass(100);
    await targets([1, 2]);
    pass(50);
    expect(open).toBe(0);
    await targets([1, 2, 3]);
    expect(stateOf(3)).toBe("arriving");
  });

  test("an interface that is not there costs a second, not the process", async () => {
    exists = false;
    await targets([1, 2]);
    await targets([1, 2, 3]);
    pass(200);
    expect(lines.length).toBeLessThanOrEqual(2);
    exists = true;
    setUp = new Set([markOf(1), markOf(2), markOf(3)]);
    pass(1200);
    expect(changes).toBeGreaterThan(0);
  });

  test("in NAT mode it waits for the return path, for a fixed time, and asks nobody", async () => {
    await targets([1, 2], "hold");
    await targets([1, 2, 3], "hold");
    expect(stateOf(3)).toBe("arriving");
    pass(HOLD_MS - 2 * TURN_MS);
    expect(changes).toBe(0);
    pass(4 * TURN_MS);
    expect([changes, asked]).toEqual([1, []]);
    await targets([1, 2, 3], "hold");
    expect(stateOf(3)).toBe("accepting");
  });

  test("without a check everybody is taken at once", async () => {
    await targets([1, 2], "none");
    await targets([1, 2, 3], "none");
    expect(stateOf(3)).toBe("accepting");
  });
});
