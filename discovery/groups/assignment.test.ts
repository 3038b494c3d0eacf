import fc from "fast-check";
import { describe, expect, test } from "vitest";
import type { GroupClaim } from "#shared/dds/group-claims.ts";
import { type Assignment, assign, type MemberShare, rosterOf, takers } from "./assignment.ts";

type Claim = Pick<GroupClaim, "relay" | "member" | "moves">;

const client = (number: number): string => number.toString(16).padStart(24, "0");
const pod = (number: number): string => `default/p-${number}`;
const ready = (number: number, weight = 1): MemberShare => ({ pod: pod(number), state: "Ready", weight });
const rosterWith = (members: readonly MemberShare[]) =>
  rosterOf("planner", new Map(members.map((member) => [member.pod, member])));

const share = fc.record({
  number: fc.nat(7),
  state: fc.constantFrom("Ready", "Draining", "NotReady"),
  weight: fc.constantFrom(0, 1, 1, 5),
});
const roster = fc
  .uniqueArray(share, { selector: ({ number }) => number, maxLength: 8 })
  .map((shares) => rosterWith(shares.map(({ number, state, weight }) => ({ pod: pod(number), state, weight }))));
const claim: fc.Arbitrary<Claim> = fc.record({
  relay: fc.constantFrom("relay-a", "relay-b"),
  member: fc.option(fc.nat(9).map(pod), { nil: undefined }),
  moves: fc.nat(4),
});

const claimOf = ({ member, moves }: Assignment, relay = "relay-a"): Claim => ({ relay, member, moves });

describe("an assignment", () => {
  test("is to a member that takes clients, whenever there is one", () => {
    fc.assert(
      fc.property(roster, fc.nat(999), fc.array(claim, { maxLength: 4 }), (members, number, claims) => {
        const { member } = assign(client(number), members, claims);
        if (members.takers.length > 0) expect(members.taking).toContain(member);
        // Nobody, or who had it before and is still a pod of the group.
        else if (member !== undefined) expect(members.members.has(member)).toBe(true);
      }),
    );
  });

  test("stays while its member takes clients, whoever comes", () => {
    fc.assert(
      fc.property(roster, roster, fc.nat(999), (before, after, number) => {
        const first = assign(client(number), before, []);
        const next = assign(client(number), after, [claimOf(first)]);
        if (first.member !== undefined && after.taking.has(first.member)) expect(next).toEqual(first);
        else if (next.member !== first.member && next.member !== undefined) expect(next.moves).toBe(first.moves + 1);
      }),
    );
  });

  test("when a member goes, nobody moves but its own clients", () => {
    fc.assert(
      fc.property(fc.integer({ min: 2, max: 8 }), fc.nat(7), (count, gone) => {
        const all = Array.from({ length: count }, (_, number) => ready(number));
        const left = all.filter((member) => member.pod !== pod(gone));
        for (let number = 0; number < 40; number++) {
          const first = assign(client(number), rosterWith(all), []);
          // The hash alone, without what is remembered, moves no more than these either.
          for (const claims of [[claimOf(first)], []]) {
            const next = assign(client(number), rosterWith(left), claims);
            if (first.member !== pod(gone)) expect(next.member).toBe(first.member);
            else expect(left.map((member) => member.pod)).toContain(next.member);
          }
        }
      }),
      { numRuns: 30 },
    );
  });

  test("shares are as the weights; weight 0 takes nobody", () => {
    const members = rosterWith([ready(0), ready(1, 3), ready(2, 0)]);
    const counts = new Map<string | undefined, number>();
    for (let number = 0; number < 4_000; number++) {
      const { member } = assign(client(number), members, []);
      counts.set(member, (counts.get(member) ?? 0) + 1);
    }
    expect(counts.get(pod(0))).toBeGreaterThan(850);
    expect(counts.get(pod(0))).toBeLessThan(1_150);
    expect(counts.get(pod(2))).toBeUndefined();
  });

  test("terminating members serve only where nobody is ready; who is not ready keeps what it has while nobody else is", () => {
    const draining: MemberShare = { ...ready(1), state: "Draining" };
    const unready: MemberShare = { ...ready(2), state: "NotReady" };
    expect(takers([ready(0), draining, unready])).toEqual([ready(0)]);
    expect(takers([draining, unready])).toEqual([draining]);
    expect(assign(client(1), rosterWith([unready]), [])).toEqual({ member: undefined, moves: 0 });
    const had = { relay: "relay-a", member: unready.pod, moves: 2 };
    expect(assign(client(1), rosterWith([unready]), [had])).toEqual({ member: unready.pod, moves: 2 });
    expect(assign(client(1), rosterWith([unready, ready(0)]), [had])).toEqual({ member: pod(0), moves: 3 });
  });
});

/** A relay with its own view of the members, and of what others have said. */
interface RelayModel {
  readonly name: string;
  view: ReturnType<typeof rosterWith>;
  own: Assignment | undefined;
  heard: Map<string, Assignment>;
}

function settle(relay: RelayModel): boolean {
  const claims = [...relay.heard].map(([name, each]) => claimOf(each, name));
  if (relay.own !== undefined) claims.push(claimOf(relay.own, relay.name));
  const next = assign(client(7), relay.view, claims);
  const isSame = next.member === relay.own?.member && next.moves === relay.own?.moves;
  relay.own = next;
  return !isSame;
}

test("relays that see the same members and hear each other agree, whatever each has seen and heard before, and then rest", () => {
  const step = fc.oneof(
    fc.record({ does: fc.constant("sees" as const), relay: fc.nat(2), view: roster }),
    fc.record({ does: fc.constant("hears" as const), relay: fc.nat(2), from: fc.nat(2) }),
    fc.record({ does: fc.constant("settles" as const), relay: fc.nat(2) }),
    fc.record({ does: fc.constant("restarts" as const), relay: fc.nat(2), remembers: fc.boolean() }),
  );
  fc.assert(
    fc.property(fc.array(step, { maxLength: 30 }), roster, (steps, last) => {
      const relays = ["relay-a", "relay-b", "relay-c"].map(
        (name): RelayModel => ({ name, view: rosterWith([]), own: undefined, heard: new Map() }),
      );
      const hear = (relay: RelayModel | undefined, from: RelayModel | undefined): void => {
        if (relay !== from && from?.own !== undefined) relay?.heard.set(from.name, from.own);
      };
      for (const one of steps) {
        const relay = relays[one.relay];
        if (relay === undefined) continue;
        if (one.does === "sees") relay.view = one.view;
        else if (one.does === "hears") hear(relay, relays[one.from]);
        else if (one.does === "settles") settle(relay);
        else {
          relay.heard = new Map();
          if (!one.remembers) relay.own = undefined;
        }
      }
      for (const relay of relays) relay.view = last;
      const round = (): boolean => {
        for (const relay of relays) for (const other of relays) hear(relay, other);
        return relays.map(settle).includes(true);
      };
      let rounds = 0;
      while (round()) expect(++rounds).toBeLessThan(6);
      expect(new Set(relays.map(({ own }) => own?.member)).size).toBe(1);
      if (last.takers.length > 0) expect(last.taking).toContain(relays[0]?.own?.member);
    }),
    { numRuns: 2_000 },
  );
});
