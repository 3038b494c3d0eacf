import fc from "fast-check";
import { describe, expect, it } from "vitest";
import type { GroupClaim, GroupClaims } from "#shared/dds/group-claims.ts";
import { ip } from "#shared/net/ip.ts";
import {
  RELAY,
  SISTER,
  SISTERS,
  SimulatedNetwork,
  type SimulatedParticipant,
} from "../relay/simulated-network.fixture.ts";
import { announcementOf, disposeOf, prefixOf } from "../relay/wire.fixture.ts";
import type { MemberState } from "./assignment.ts";
import { HANDOVER_MS } from "./balancer.ts";
import type { GroupMember, ServiceGroup } from "./resolve-groups.ts";

/* Members are participants 101, 102, ...; the pod of number n is default/p-n. Everybody tells the relay of himself. */

interface Shape {
  readonly meet?: boolean;
  readonly isolated?: boolean;
  readonly weights?: Readonly<Record<number, number>>;
  readonly states?: Readonly<Record<number, MemberState>>;
}

const pod = (number: number): string => `default/p-${number}`;

function groupOf(numbers: readonly number[], shape: Shape = {}): ServiceGroup {
  const { isolated = false, meet = true, states = {}, weights = {} } = shape;
  const members = numbers.map((number): GroupMember => {
    const address = ip(`10.1.0.${number}`);
    return { pod: pod(number), state: states[number] ?? "Ready", weight: weights[number] ?? 1, addresses: [address] };
  });
  return { service: "planner", index: 0, meet, isolated, members: new Map(members.map((each) => [each.pod, each])) };
}

class Bed {
  readonly network = new SimulatedNetwork();
  readonly relays: readonly string[];

  constructor(relays: readonly string[] = [RELAY]) {
    this.relays = relays;
    for (const relay of relays) this.network.addRelay(relay, { sisters: relays.length > 1 ? SISTERS : new Set() });
  }

  node(relay = RELAY) {
    const node = this.network.relays.get(relay);
    if (node === undefined) throw new Error(`no relay ${relay}`);
    return node;
  }

  group(
    groups: readonly ServiceGroup[],
    relays = this.relays,
    claims: ReadonlyMap<string, GroupClaims> = new Map(),
  ): void {
    for (const relay of relays) {
      this.node(relay).groups.apply({ groups, claims, own: new Map(), resends: 2 }, this.network.nowMs);
    }
  }

  /** What a relay would write. */
  claims(relay: string): ReadonlyMap<string, GroupClaims> {
    return new Map(
      [...this.node(relay).groups.states()].map(({ clients, group }) => [
        group.service,
        new Map(
          [...clients.values()].map(({ away, id, member, moves }): [string, GroupClaim[]] => [
            id,
            [{ relay, member, moves, away: [...away], addresses: [] }],
          ]),
        ),
      ]),
    );
  }

  add(number: number, peers: readonly string[] = [RELAY]): SimulatedParticipant {
    const address = `10.1.0.${number}`;
    this.network.pods.set(address, pod(number));
    return this.network.addParticipant(number, peers, { address });
  }

  people(from: number, count: number): readonly SimulatedParticipant[] {
    return Array.from({ length: count }, (_, index) => this.add(from + index));
  }

  endPod(number: number): void {
    const participant = this.network.participants.get(`10.1.0.${number}`);
    if (participant !== undefined) participant.isRunning = false;
    for (const relay of this.relays) this.node(relay).relay.podEnded(pod(number), this.network.nowMs);
  }
}

const members = [101, 102, 103];
/** Which of some members a participant knows. */
const known = ({ knows }: SimulatedParticipant, of: readonly number[] = members): number[] =>
  of.filter((number) => knows.has(prefixOf(number)));

describe("a service group", () => {
  it("each participant of another pod knows one member, and is known by that one; others meet as ever", () => {
    const bed = new Bed();
    bed.group([groupOf(members)]);
    const pods = bed.people(101, 3);
    const clients = bed.people(1, 8);
    bed.network.run(3_000);
    for (const client of clients) {
      const [own, ...more] = known(client);
      expect(more).toEqual([]);
      const by = pods.filter(({ knows }) => knows.has(prefixOf(client.number)));
      expect(by.map(({ number }) => number)).toEqual([own]);
      expect(client.knows.size).toBe(1 + 7);
    }
    for (const member of pods) expect(known(member)).toHaveLength(2);
    expect(bed.node().urgent).toBe(0);
  });

  it("negative control: without a group each knows all three", () => {
    const bed = new Bed();
    bed.people(101, 3);
    const clients = bed.people(1, 8);
    bed.network.run(3_000);
    for (const client of clients) expect(known(client)).toEqual(members);
  });

  it("members apart are not introduced to each other", () => {
    const bed = new Bed();
    bed.group([groupOf(members, { meet: false })]);
    const pods = bed.people(101, 3);
    bed.network.run(3_000);
    for (const member of pods) expect(known(member)).toEqual([]);
  });

  it("of two groups, the members of the first are clients of the second", () => {
    const bed = new Bed();
    bed.group([groupOf([11, 12, 13]), { ...groupOf(members), service: "second", index: 1 }]);
    const first = bed.people(11, 3);
    const second = bed.people(101, 3);
    bed.network.run(3_000);
    for (const participant of first) expect(known(participant)).toHaveLength(1);
    const pairs = second.flatMap((member) => known(member, [11, 12, 13]));
    expect(pairs.sort()).toEqual([11, 12, 13]);
  });

  it("a member is killed: its clients know another one at once, and nobody else moves", () => {
    const bed = new Bed();
    bed.group([groupOf(members)]);
    bed.people(101, 3);
    const clients = bed.people(1, 12);
    bed.network.run(3_000);
    const before = new Map(clients.map((client) => [client, known(client)]));
    bed.endPod(102);
    bed.group([groupOf([101, 103])]);
    bed.network.run(20);
    let moved = 0;
    for (const client of clients) {
      expect(known(client)).toHaveLength(1);
      if (before.get(client)?.includes(102)) moved++;
      else expect(known(client)).toEqual(before.get(client));
    }
    expect(moved).toBeGreaterThan(0);
  });

  it("a member drains: its clients and it are parted, then they know another one; it is kept away until they go", () => {
    const bed = new Bed();
    bed.group([groupOf(members)]);
    const pods = bed.people(101, 3);
    const clients = bed.people(1, 12);
    bed.network.run(3_000);
    const its = clients.filter((client) => known(client).includes(102));
    expect(its.length).toBeGreaterThan(0);
    const draining = groupOf(members, { states: { 102: "Draining" } });
    bed.group([draining]);
    bed.network.run(20);
    for (const client of its) expect(known(client)).toEqual([]);
    expect(bed.node().urgent).toBeGreaterThan(0);
    bed.network.run(HANDOVER_MS + 20);
    for (const client of clients) {
      expect(known(client)).toHaveLength(1);
      expect(known(client)).not.toContain(102);
    }
    expect(pods[1] && clients.some(({ number }) => pods[1]?.knows.has(prefixOf(number)))).toBe(false);
    const away = (): number =>
      [...(bed.claims(RELAY).get("planner")?.values() ?? [])].filter(([claim]) => claim?.away.includes(pod(102)))
        .length;
    expect(away()).toBe(its.length);
    // It is ready again: nobody comes back.
    bed.group([groupOf(members)]);
    bed.network.run(3_000);
    for (const client of clients) expect(known(client)).not.toContain(102);
    expect(away()).toBe(its.length);
    const [first] = its;
    if (first !== undefined) bed.network.leave(first);
    expect(away()).toBe(its.length - 1);
    bed.endPod(102);
    bed.group([groupOf([101, 103])]);
    expect(away()).toBe(0);
  });

  it("there and back: who is moved to a member that he had left is kept from it no more", () => {
    const bed = new Bed();
    const unready = (number: number) => groupOf([101, 102], { states: { [number]: "NotReady" } });
    bed.group([unready(102)]);
    bed.people(101, 2);
    const client = bed.add(1);
    bed.network.run(3_000);
    for (const [there, left] of [
      [102, 101],
      [101, 102],
      [102, 101],
    ] as const) {
      bed.group([unready(left)]);
      bed.network.run(HANDOVER_MS + 20);
      expect(known(client)).toEqual([there]);
      expect(bed.claims(RELAY).get("planner")?.get(prefixOf(1))?.[0]?.away).toEqual([pod(left)]);
    }
    bed.network.run(20_000);
    expect(known(client)).toEqual([102]);
  });

  it("a member is added: nobody moves, newcomers go to it, too", () => {
    const bed = new Bed();
    bed.group([groupOf([101, 102])]);
    bed.people(101, 2);
    const clients = bed.people(1, 20);
    bed.network.run(3_000);
    const before = clients.map((client) => known(client).join());
    bed.group([groupOf(members)]);
    bed.add(103);
    bed.network.run(40_000);
    expect(clients.map((client) => known(client).join())).toEqual(before);
    const newcomers = bed.people(31, 20);
    bed.network.run(3_000);
    expect(newcomers.filter((client) => known(client).includes(103)).length).toBeGreaterThan(0);
  });

  it("nobody is ready: a newcomer is introduced to nobody, and to the first that is", () => {
    const bed = new Bed();
    const none = { 101: "NotReady", 102: "NotReady", 103: "NotReady" } as const;
    bed.group([groupOf(members, { states: none })]);
    bed.people(101, 3);
    const client = bed.add(1);
    bed.network.run(40_000);
    expect(known(client)).toEqual([]);
    bed.group([groupOf(members, { states: { ...none, 102: "Ready" } })]);
    bed.network.run(20);
    expect(known(client)).toEqual([102]);
  });

  it("isolated: who comes is introduced when the member's pod has been told of him", () => {
    const bed = new Bed();
    bed.group([groupOf(members, { isolated: true })]);
    bed.people(101, 3);
    bed.network.run(100);
    const client = bed.add(1);
    bed.network.run(HANDOVER_MS - 50);
    expect(known(client)).toEqual([]);
    expect(bed.node().urgent).toBeGreaterThan(0);
    bed.network.run(100);
    expect(known(client)).toHaveLength(1);
  });

  it("a group that comes to participants that have met parts them, all but one member for each", () => {
    const bed = new Bed();
    bed.people(101, 3);
    const clients = bed.people(1, 8);
    bed.network.run(3_000);
    bed.group([groupOf(members)]);
    bed.network.run(20_000);
    for (const client of clients) expect(known(client)).toHaveLength(1);
    const claims = [...(bed.claims(RELAY).get("planner")?.values() ?? [])];
    expect(claims.every(([claim]) => claim?.away.length === 2)).toBe(true);
  });

  it("a group that ends, or whose members may meet from now on, introduces those that it kept apart", () => {
    const bed = new Bed();
    bed.group([groupOf(members, { meet: false })]);
    const pods = bed.people(101, 3);
    const clients = bed.people(1, 8);
    bed.network.run(3_000);
    bed.group([groupOf(members)]);
    bed.network.run(HANDOVER_MS + 50);
    for (const member of pods) expect(known(member)).toHaveLength(2);
    for (const client of clients) expect(known(client)).toHaveLength(1);
    bed.group([]);
    bed.network.run(HANDOVER_MS + 50);
    for (const client of clients) expect(known(client)).toEqual(members);
  });

  it("a participant whose pod is found out late is parted from others' clients", () => {
    const bed = new Bed();
    bed.group([groupOf(members)]);
    bed.people(101, 2);
    const clients = bed.people(1, 8);
    const late = bed.network.addParticipant(103, [RELAY], { address: "10.1.0.103" });
    bed.network.run(3_000);
    expect(clients.every((client) => known(client).includes(103))).toBe(true);
    bed.network.pods.set(late.address, pod(103));
    bed.node().relay.podsChanged(bed.network.nowMs);
    bed.network.run(10_000);
    for (const client of clients) expect(known(client)).toHaveLength(1);
  });
});

describe("what is hostile", () => {
  it("a client that changes its GUID all the time fills no table, and moves nobody else", () => {
    const bed = new Bed();
    bed.group([groupOf(members)]);
    bed.people(101, 3);
    const honest = bed.people(1, 8);
    bed.network.run(3_000);
    const before = honest.map((client) => known(client).join());
    const address = "10.1.0.200";
    for (let number = 1_000; number < 30_000; number++) {
      bed.network.forge(
        announcementOf(number, { address, leaseDuration: { seconds: 1, fraction: 0 } }),
        address,
        RELAY,
      );
      if (number % 10 === 0) bed.network.run(50);
      if (number % 1_000 === 0) bed.group([groupOf(members)]);
    }
    const [state] = bed.node().groups.states();
    // The room of one address, and those that are remembered.
    expect(state?.clients.size).toBeLessThanOrEqual(8 + 120 + 1_000 + 120);
    expect(honest.map((client) => known(client).join())).toEqual(before);
  }, 30_000);

  it("nobody takes away another's assignment by a forged word of leave", () => {
    const bed = new Bed();
    bed.group([groupOf(members)]);
    bed.people(101, 3);
    const client = bed.add(1);
    bed.network.run(3_000);
    const before = bed.claims(RELAY).get("planner")?.get(prefixOf(1));
    bed.network.forge(disposeOf(1, 9n), "10.1.0.200", RELAY);
    bed.network.forge(announcementOf(1, { address: "10.1.0.200", domainId: 1 }), "10.1.0.200", RELAY, 1);
    bed.network.forge(disposeOf(1, 9n), "10.1.0.200", RELAY, 1);
    bed.network.run(100);
    expect(bed.claims(RELAY).get("planner")?.get(prefixOf(1))).toEqual(before);
    expect(known(client)).toHaveLength(1);
  });
});

describe("several relays", () => {
  const shared = (bed: Bed, groups: readonly ServiceGroup[]): void => {
    const said = bed.relays.map((relay) => bed.claims(relay));
    bed.relays.forEach((relay, index) => {
      const claims = said[1 - index];
      bed.group(groups, [relay], claims);
    });
  };

  it("sisters assign a newcomer alike, before either has written anything", () => {
    const bed = new Bed([RELAY, SISTER]);
    bed.group([groupOf(members)]);
    for (const number of members) bed.add(number, [number % 2 === 0 ? RELAY : SISTER]);
    const clients = Array.from({ length: 12 }, (_, index) => bed.add(index + 1, [index % 2 === 0 ? RELAY : SISTER]));
    bed.network.run(3_000);
    for (const client of clients) expect(known(client)).toHaveLength(1);
    const [one, other] = bed.relays.map((relay) => bed.claims(relay).get("planner"));
    for (const [id, claims] of one ?? []) expect(other?.get(id)?.[0]?.member).toBe(claims[0]?.member);
  });

  it("of two that have seen different members, the first by name is right, and the other corrects itself", () => {
    const bed = new Bed([RELAY, SISTER]);
    bed.group([groupOf([101, 102])], [RELAY]);
    bed.group([groupOf([103])], [SISTER]);
    for (const number of members) bed.add(number, [RELAY, SISTER]);
    const clients = Array.from({ length: 8 }, (_, index) => bed.add(index + 1, [RELAY, SISTER]));
    bed.network.run(2_000);
    expect(clients.some((client) => known(client).length > 1)).toBe(true);
    shared(bed, [groupOf(members)]);
    bed.network.run(3_000);
    for (const client of clients) {
      expect(known(client)).toHaveLength(1);
      expect(known(client)).not.toContain(103);
    }
  });

  it("one that is started anew goes by what it or its sister has written; negative control: without, clients would move", () => {
    const run = (remembers: boolean): boolean => {
      const bed = new Bed();
      bed.group([groupOf([101])]);
      bed.add(101);
      const clients = bed.people(1, 12);
      bed.network.run(3_000);
      const own = bed.claims(RELAY);
      // Two more members, to whom nobody moves; then the relay is another process.
      bed.network.addRelay(RELAY);
      const written = remembers ? own : new Map();
      const wanted = { groups: [groupOf(members)], claims: new Map(), own: written, resends: 2 };
      bed.node().groups.apply(wanted, bed.network.nowMs);
      bed.add(102);
      bed.add(103);
      bed.network.run(10_000);
      return clients.every((client) => known(client).join() === "101");
    };
    expect(run(true)).toBe(true);
    expect(run(false)).toBe(false);
  });
});

it("whatever members and clients do, each client ends with exactly one member that takes clients", () => {
  const step = fc.oneof(
    fc.record({ does: fc.constant("comes" as const), number: fc.integer({ min: 1, max: 6 }) }),
    fc.record({ does: fc.constant("leaves" as const), number: fc.integer({ min: 1, max: 6 }) }),
    fc.record({ does: fc.constant("dies" as const), number: fc.constantFrom(...members) }),
    fc.record({
      does: fc.constant("turns" as const),
      number: fc.constantFrom(...members),
      state: fc.constantFrom<MemberState>("Ready", "Draining", "NotReady"),
    }),
    fc.record({ does: fc.constant("waits" as const), number: fc.constantFrom(10, 300, 2_000) }),
  );
  fc.assert(
    fc.property(fc.array(step, { maxLength: 20 }), (steps) => {
      const bed = new Bed();
      const states: Record<number, MemberState> = {};
      const alive = new Set(members);
      const regroup = (): void => bed.group([groupOf([...alive], { states })]);
      regroup();
      for (const number of members) bed.add(number);
      const clients = new Map<number, SimulatedParticipant>();
      for (const one of steps) {
        const client = clients.get(one.number);
        if (one.does === "comes" && client === undefined) clients.set(one.number, bed.add(one.number));
        else if (one.does === "leaves" && client !== undefined) bed.network.leave(client);
        else if (one.does === "dies" && alive.delete(one.number)) bed.endPod(one.number);
        else if (one.does === "turns") states[one.number] = one.state;
        else if (one.does === "waits") bed.network.run(one.number);
        regroup();
      }
      bed.network.run(15_000);
      const ready = [...alive].filter((number) => (states[number] ?? "Ready") === "Ready");
      for (const [claim] of bed.claims(RELAY).get("planner")?.values() ?? []) {
        expect(claim?.away).not.toContain(claim?.member);
      }
      for (const client of clients.values()) {
        if (!client.isRunning) continue;
        if (ready.length > 0) {
          expect(known(client)).toHaveLength(1);
          expect(ready).toContain(known(client)[0]);
        } else expect(known(client).length).toBeLessThanOrEqual(1);
      }
    }),
    { numRuns: 100 },
  );
}, 30_000);
