import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { BFD_STATES, type BfdPacket, type BfdState } from "./bfd-packet.ts";
import { BfdSession, TRANSITIONS } from "./bfd-session.ts";

const SLOW_US = 1_000_000;

function session(options: { intervalMs?: number; multiplier?: number; random?: () => number } = {}): BfdSession {
  const { intervalMs = 100, multiplier = 3, random = () => 0 } = options;
  return new BfdSession({ discriminator: 7, intervalMs, multiplier, random, nowMs: 0 });
}

function heard(state: BfdState, more: Partial<BfdPacket> = {}): BfdPacket {
  return {
    diagnostic: 0,
    state,
    poll: false,
    final: false,
    controlPlaneIndependent: false,
    demand: false,
    detectMultiplier: 3,
    myDiscriminator: 9,
    yourDiscriminator: state === "Down" ? 0 : 7,
    desiredMinTxUs: 100_000,
    requiredMinRxUs: 100_000,
    requiredMinEchoRxUs: 0,
    ...more,
  };
}

/** A session that has come to a state by packets alone. */
function sessionIn(state: BfdState): BfdSession {
  const made = session();
  if (state === "AdminDown") made.shutDown(0);
  if (state === "Init" || state === "Up") made.receive(heard("Down"), 0);
  if (state === "Up") made.receive(heard("Init"), 0);
  expect(made.view(0).state).toBe(state);
  return made;
}

/** Times of the packets that ticks in 1 ms steps send, from `fromMs` until `untilMs`. */
function sendTimes(made: BfdSession, fromMs: number, untilMs: number): number[] {
  const times: number[] = [];
  for (let nowMs = fromMs; nowMs < untilMs; nowMs++) for (const _ of made.tick(nowMs)) times.push(nowMs);
  return times;
}

/** RFC 5880, section 6.8.6, row by row: own state, the state heard, the next. */
const ROWS: readonly (readonly [BfdState, BfdState, BfdState])[] = [
  ["AdminDown", "AdminDown", "AdminDown"],
  ["AdminDown", "Down", "AdminDown"],
  ["AdminDown", "Init", "AdminDown"],
  ["AdminDown", "Up", "AdminDown"],
  ["Down", "AdminDown", "Down"],
  ["Down", "Down", "Init"],
  ["Down", "Init", "Up"],
  ["Down", "Up", "Down"],
  ["Init", "AdminDown", "Down"],
  ["Init", "Down", "Init"],
  ["Init", "Init", "Up"],
  ["Init", "Up", "Up"],
  ["Up", "AdminDown", "Down"],
  ["Up", "Down", "Down"],
  ["Up", "Init", "Up"],
  ["Up", "Up", "Up"],
];

describe("state transitions", () => {
  it.each(ROWS)("%s that hears %s becomes %s", (own, remote, next) => {
    expect(TRANSITIONS[own][remote]).toBe(next);
    const made = sessionIn(own);
    const sent = made.receive(heard(remote), 10);
    expect(made.view(10).state).toBe(next);
    // A change is told at once, and only a change.
    expect(sent.map((packet) => packet.state)).toEqual(next === own ? [] : [next]);
    if (own !== "Down" && next === "Down" && own !== "AdminDown") expect(made.view(10).diagnostic).toBe(3);
    expect(made.view(10).falls).toBe(own === "Up" && next === "Down" ? 1 : 0);
  });

  it.each(["Init", "Up"] as const)("%s that hears nothing for the detection time becomes Down", (own) => {
    const made = sessionIn(own);
    sendTimes(made, 0, 300);
    expect(made.view(299).state).toBe(own);
    const [told] = made.tick(300);
    expect(told).toMatchObject({ state: "Down", diagnostic: 1, yourDiscriminator: 0 });
    expect(made.view(300)).toMatchObject({ state: "Down", remoteState: "Down", falls: own === "Up" ? 1 : 0 });
  });

  it("two sessions come up with each other, whatever their jitter", () => {
    fc.assert(
      fc.property(fc.double({ min: 0, max: 0.999, noNaN: true }), fc.nat(2000), (share, lagMs) => {
        const make = (discriminator: number) =>
          new BfdSession({ discriminator, intervalMs: 50, multiplier: 3, nowMs: 0, random: () => share });
        const [a, b] = [make(1), make(2)];
        const deliver = (to: BfdSession, back: BfdSession, packets: BfdPacket[], nowMs: number): void => {
          for (const packet of packets) deliver(back, to, to.receive(packet, nowMs), nowMs);
        };
        for (let nowMs = 0; nowMs < lagMs + 2500; nowMs++) {
          const sent = a.tick(nowMs);
          if (nowMs >= lagMs) deliver(b, a, sent, nowMs);
          if (nowMs >= lagMs) deliver(a, b, b.tick(nowMs), nowMs);
        }
        expect([a.view(0).state, b.view(0).state, a.view(0).falls, b.view(0).falls]).toEqual(["Up", "Up", 0, 0]);
      }),
      { numRuns: 50 },
    );
  });

  it("falls by a neighbour's restart, and comes up with its new discriminator", () => {
    const made = sessionIn("Up");
    expect(made.receive(heard("Down", { myDiscriminator: 10 }), 50)).toMatchObject([
      { state: "Down", yourDiscriminator: 10 },
    ]);
    expect(made.receive(heard("Init", { myDiscriminator: 10 }), 60)).toMatchObject([{ state: "Up" }]);
  });
});

describe("pace", () => {
  it("is slow until Up, then as wanted, agreed on by a Poll Sequence", () => {
    const made = session();
    expect(sendTimes(made, 0, 3000)).toEqual([0, 750, 1500, 2250]);
    const [init] = made.receive(heard("Down"), 3000);
    expect(init).toMatchObject({ state: "Init", poll: false, desiredMinTxUs: SLOW_US, requiredMinRxUs: 100_000 });
    const [up] = made.receive(heard("Init"), 3010);
    expect(up).toMatchObject({ state: "Up", poll: true, desiredMinTxUs: 100_000 });
    expect(sendTimes(made, 3010, 3200)).toEqual([3085, 3160]);
    expect(made.tick(3235)).toMatchObject([{ poll: true }]);
    made.receive(heard("Up", { final: true }), 3240);
    expect(made.tick(3310)).toMatchObject([{ poll: false }]);
  });

  it("is the slower of both wishes", () => {
    const made = sessionIn("Up");
    made.receive(heard("Up", { requiredMinRxUs: 400_000, desiredMinTxUs: 400_000 }), 0);
    expect(sendTimes(made, 1, 1000)).toEqual([300, 600, 900]);
    // The neighbour's packets may be as far apart as it says: 3 x 400 ms.
    expect(made.view(0).state).toBe("Up");
    made.tick(1199);
    expect(made.view(1199).state).toBe("Up");
    made.tick(1200);
    expect(made.view(1200).state).toBe("Down");
  });

  it.each([
    [3, 75, 100],
    [1, 75, 90],
  ])("at multiplier %i is jittered between %i and %i %%", (multiplier, least, most) => {
    fc.assert(
      fc.property(fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true }), (share) => {
        const made = session({ multiplier, intervalMs: 1000, random: () => share });
        const [first = 0, second = 0] = sendTimes(made, 0, 1002);
        expect(second - first).toBeGreaterThanOrEqual(least * 10);
        expect(second - first).toBeLessThanOrEqual(most * 10 + 1);
      }),
    );
  });

  it("is nothing at all while the neighbour requires none", () => {
    const made = sessionIn("Up");
    made.receive(heard("Up", { requiredMinRxUs: 0 }), 0);
    expect(sendTimes(made, 1, 250)).toEqual([]);
    expect(made.receive(heard("Up", { requiredMinRxUs: 0, poll: true }), 251)).toMatchObject([{ final: true }]);
    // Nor is the loss itself told before it is heard of again.
    expect(made.dueMs(252)).toBe(251 + 300);
  });

  it("is nothing but a Poll Sequence towards a neighbour in demand mode", () => {
    const made = sessionIn("Up");
    made.receive(heard("Up", { demand: true }), 0);
    expect(sendTimes(made, 1, 200)).toEqual([75, 150]);
    made.receive(heard("Up", { demand: true, final: true }), 200);
    expect(sendTimes(made, 200, 450)).toEqual([]);
  });
});

describe("answers and ends", () => {
  it("a Poll is answered at once with a Final, which is no Poll", () => {
    const made = sessionIn("Up");
    expect(made.receive(heard("Up", { poll: true }), 1)).toMatchObject([{ final: true, poll: false, state: "Up" }]);
  });

  it("an end on purpose is told as such, and nothing is said after it", () => {
    const made = sessionIn("Up");
    expect(made.shutDown(10)).toMatchObject([{ state: "AdminDown", diagnostic: 7, yourDiscriminator: 9 }]);
    expect(made.receive(heard("Up", { poll: true }), 20)).toEqual([]);
    expect(made.shutDown(30)).toEqual([]);
  });

  it("a neighbour that says nothing for 10 s is silent", () => {
    const made = session();
    expect(made.view(9_999).silent).toBe(false);
    expect(made.view(10_000).silent).toBe(true);
    made.receive(heard("Down"), 10_001);
    expect(made.view(10_002).silent).toBe(false);
  });

  it("whatever is heard whenever, what is sent obeys the rules and time never stands still", () => {
    const events = fc.array(
      fc.record({
        afterMs: fc.nat(400),
        state: fc.constantFrom(...BFD_STATES),
        poll: fc.boolean(),
        demand: fc.boolean(),
        detectMultiplier: fc.integer({ min: 1, max: 255 }),
        desiredMinTxUs: fc.nat(0xffffffff),
        requiredMinRxUs: fc.constantFrom(0, 1, 50_000, 0xffffffff),
      }),
      { maxLength: 40 },
    );
    fc.assert(
      fc.property(events, (list) => {
        const made = session({ random: () => 0.5 });
        let nowMs = 0;
        for (const { afterMs, ...packet } of list) {
          nowMs += afterMs;
          const sent = [...made.tick(nowMs), ...made.receive(heard(packet.state, packet), nowMs)];
          for (const out of sent) {
            expect(out.poll && out.final).toBe(false);
            expect(out.state === "Up" || out.desiredMinTxUs >= SLOW_US).toBe(true);
            expect(out.myDiscriminator).toBe(7);
          }
          if (packet.requiredMinRxUs === 0) expect(made.tick(nowMs)).toEqual([]);
          made.tick(nowMs);
          expect(made.dueMs(nowMs)).toBeGreaterThan(nowMs);
        }
      }),
    );
  });
});
