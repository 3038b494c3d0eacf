import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { ip } from "#shared/net/ip.ts";
import { RELAY, SETTINGS, SISTER, SISTERS, SimulatedNetwork } from "./simulated-network.fixture.ts";
import { announcementOf, disposeOf, locatorOf, prefixOf } from "./wire.fixture.ts";

function networkOf(count: number, relays: readonly string[] = [RELAY], lossPercent = 0) {
  const network = new SimulatedNetwork();
  network.lossPercent = lossPercent;
  for (const relay of relays) network.addRelay(relay, { sisters: relays.length > 1 ? SISTERS : new Set() });
  for (let number = 1; number <= count; number++) network.addParticipant(number, [RELAY]);
  return network;
}

describe("introductions", () => {
  it("all meet, and after the resends nothing is sent until the refresh", () => {
    const network = networkOf(20);
    network.run(100);
    expect(network.isMeshed).toBe(true);
    network.run(5_000);
    // Twice more than once each way.
    expect(network.sent).toBe(3 * 20 * 19);
    network.run(15_000);
    expect(network.sent).toBe(3 * 20 * 19);
    network.run(20_000);
    expect(network.sent).toBe(4 * 20 * 19);
  });

  it("negative control: without a relay that runs nobody meets", () => {
    const network = new SimulatedNetwork();
    network.addRelay(RELAY).isRunning = false;
    network.addParticipant(1, [RELAY]);
    network.addParticipant(2, [RELAY]);
    network.run(10_000);
    expect(network.isMeshed).toBe(false);
  });

  it("a newcomer gets all others, not faster than its socket takes them", () => {
    const network = networkOf(300);
    network.run(10_000);
    const newcomer = network.addParticipant(301, [RELAY]);
    network.relays.get(RELAY)?.relay.advance(network.nowMs);
    expect(network.received.get(newcomer.address)).toBe(32);
    network.run(100);
    expect(newcomer.knows.size).toBe(300);
    expect(network.isMeshed).toBe(true);
  });

  it("a change goes to all, also when it is the first of a hundred that changes", () => {
    const network = networkOf(100);
    network.run(30);
    network.lossPercent = 100;
    const first = network.participants.get("10.1.0.1");
    if (first === undefined) throw new Error("nobody");
    const changed = announcementOf(1, { ...first.options, sn: 2n, entityName: "other" });
    network.forge(changed, first.address, RELAY);
    // What is sent at once is lost; the first resend is not.
    network.run(100);
    network.lossPercent = 0;
    network.run(400);
    const others = [...network.participants.values()].filter(({ number }) => number !== 1);
    expect(others.filter(({ knows }) => knows.get(prefixOf(1)) !== 2n)).toEqual([]);
  });

  it("every tenth datagram lost: all meet nevertheless", () => {
    const network = networkOf(50, [RELAY], 10);
    network.run(60_000);
    expect(network.isMeshed).toBe(true);
    expect(network.sent).toBeGreaterThan(3 * 49 * 48);
  });

  it("nobody meets one of another domain or tag", () => {
    const kinds = fc.array(fc.record({ domainId: fc.nat(2), domainTag: fc.constantFrom("", "a", "b") }), {
      maxLength: 25,
    });
    fc.assert(
      fc.property(kinds, fc.boolean(), (participants, twoRelays) => {
        const network = new SimulatedNetwork();
        network.addRelay(RELAY, { sisters: SISTERS });
        if (twoRelays) network.addRelay(SISTER, { sisters: SISTERS });
        for (const [index, options] of participants.entries()) {
          network.addParticipant(index + 1, [twoRelays && index % 2 === 0 ? SISTER : RELAY], options);
        }
        network.run(3_000);
        expect(network.isMeshed).toBe(true);
      }),
      { numRuns: 60 },
    );
  });

  it("a rule withholds, one way", () => {
    const network = networkOf(0);
    network.relays.get(RELAY)?.relay.restrict(({ guidPrefix }) => guidPrefix !== prefixOf(1));
    const [a, b] = [network.addParticipant(1, [RELAY]), network.addParticipant(2, [RELAY])];
    network.run(40_000);
    expect([a.knows.size, b.knows.size]).toEqual([1, 0]);
  });
});

describe("departures", () => {
  it("one that leaves is forgotten by all; what was on the way does not bring it back", () => {
    const network = networkOf(10);
    network.run(5);
    const one = network.participants.get("10.1.0.3");
    if (one === undefined) throw new Error("nobody");
    network.leave(one);
    network.announce(one);
    network.run(5_000);
    expect(network.isMeshed).toBe(true);
  });

  it("a pod's end is told at once, again, and above the last sequence number", () => {
    const network = networkOf(4);
    network.run(5_000);
    network.pods.set("10.1.0.2", "default/p");
    const [node] = network.relays.values();
    node?.relay.podsChanged(network.nowMs);
    const crashed = network.participants.get("10.1.0.2");
    if (crashed === undefined || node === undefined) throw new Error("nobody");
    crashed.isRunning = false;
    const before = network.sent;
    node.relay.podEnded("default/p", network.nowMs);
    node.relay.advance(network.nowMs);
    expect(network.isMeshed).toBe(true);
    expect(network.sent).toBe(before + 3);
    network.run(3_000);
    expect(network.sent).toBe(before + 9);
    expect(network.events.at(-1)).toMatchObject({ type: "gone", reason: "pod-gone" });
  });

  it("a lease that runs out is nobody's business but the relay's own", () => {
    const network = networkOf(3);
    network.run(20_000);
    const [one] = network.participants.values();
    if (one === undefined) throw new Error("nobody");
    one.isRunning = false;
    network.run(5_000);
    const before = network.sent;
    network.run(9_000);
    expect(network.events.at(-1)).toMatchObject({ type: "gone", reason: "lease-expired" });
    expect([...network.participants.values()].at(1)?.knows.has(prefixOf(1))).toBe(true);
    // Two are left to be refreshed.
    expect(network.sent - before).toBeLessThanOrEqual(8);
  });
});

describe("sisters", () => {
  it("participants of two relays meet; each is told of to a sister by the relay that heard it", () => {
    const network = networkOf(0, [RELAY, SISTER]);
    for (let number = 1; number <= 20; number++) network.addParticipant(number, [number % 2 === 0 ? RELAY : SISTER]);
    network.run(200);
    expect(network.isMeshed).toBe(true);
  });

  it("what a sister said goes to no sister: no loop, and quiet after the resends", () => {
    const network = networkOf(0, [RELAY, SISTER]);
    for (let number = 1; number <= 10; number++) network.addParticipant(number, [number % 2 === 0 ? RELAY : SISTER]);
    network.run(6_000);
    const before = network.received.get(RELAY) ?? 0;
    network.run(9_000);
    // Five of the sister's are still there, and say so thrice in their lease.
    expect((network.received.get(RELAY) ?? 0) - before).toBeLessThanOrEqual(5 * 3);
    expect((network.received.get(RELAY) ?? 0) - before).toBeGreaterThan(0);
  });

  it("one is killed: no match is lost, and newcomers meet all that tell the other of themselves", () => {
    const network = networkOf(0, [RELAY, SISTER]);
    for (let number = 1; number <= 10; number++) network.addParticipant(number, [RELAY, SISTER]);
    network.run(5_000);
    const node = network.relays.get(RELAY);
    if (node === undefined) throw new Error("no relay");
    node.isRunning = false;
    network.run(60_000);
    expect(network.isMeshed).toBe(true);
    network.addParticipant(11, [RELAY, SISTER]);
    network.run(100);
    expect(network.isMeshed).toBe(true);
  });

  it("those that only the dead one heard are told of newcomers by the other while their lease lasts", () => {
    const network = networkOf(0, [RELAY, SISTER]);
    network.addParticipant(1, [RELAY]);
    network.run(5_000);
    const node = network.relays.get(RELAY);
    if (node === undefined) throw new Error("no relay");
    node.isRunning = false;
    network.addParticipant(2, [SISTER]);
    network.run(1_000);
    expect(network.isMeshed).toBe(true);
  });

  it("one that was started anew knows all after their next announcement", () => {
    const network = networkOf(10);
    network.run(5_000);
    network.addRelay(RELAY);
    network.run(3_100);
    expect([...(network.relays.get(RELAY)?.relay.participants() ?? [])]).toHaveLength(10);
    network.addParticipant(11, [RELAY]);
    network.run(100);
    expect(network.isMeshed).toBe(true);
  });
});

describe("hostile senders", () => {
  it("nothing goes to an address that has not announced itself, whatever anybody sends", () => {
    const octet = fc.integer({ min: 1, max: 6 });
    const address = octet.map((last) => `10.9.0.${last}`);
    const datagram = fc
      .record({
        number: octet,
        kind: fc.constantFrom("announcement", "dispose", "garbage"),
        locators: fc.array(address, { maxLength: 3 }),
        domainTag: fc.constantFrom("", "x"),
        sn: fc.bigInt({ min: 1n, max: 9n }),
        flips: fc.array(fc.tuple(fc.nat(250), fc.nat(255)), { maxLength: 2 }),
      })
      .map(({ number, kind, locators, domainTag, sn, flips }) => {
        const metatrafficUnicast = locators.map((one) => locatorOf(one));
        const octets = (
          kind === "dispose" ? disposeOf(number, sn) : announcementOf(number, { metatrafficUnicast, domainTag, sn })
        ).slice();
        if (kind === "garbage") for (const [at, value] of flips) if (at < octets.length) octets[at] = value;
        return octets;
      });
    fc.assert(
      fc.property(fc.array(fc.tuple(datagram, address), { maxLength: 40 }), (sent) => {
        const network = networkOf(3);
        network.run(100);
        const announced = new Set<string>(network.participants.keys());
        for (const [octets, from] of sent) {
          network.forge(octets, from, RELAY);
          announced.add(from);
          network.run(1);
        }
        network.run(40_000);
        expect([...network.received.keys()].filter((to) => !announced.has(to))).toEqual([]);
        // And whoever was there knows whoever was there.
        const expected = [1, 2, 3].map(prefixOf);
        for (const { knows, number } of network.participants.values()) {
          expect([...knows.keys()]).toEqual(
            expect.arrayContaining(expected.filter((prefix) => prefix !== prefixOf(number))),
          );
        }
      }),
      { numRuns: 60 },
    );
  });

  it("forged disposes and announcements of a participant change nothing", () => {
    const network = networkOf(5);
    network.run(5_000);
    for (let number = 1; number <= 5; number++) {
      network.forge(disposeOf(number, 99n), "10.9.9.9", RELAY);
      network.forge(announcementOf(number, { address: "10.9.9.9", sn: 99n }), "10.9.9.9", RELAY);
    }
    network.run(40_000);
    expect(network.isMeshed).toBe(true);
    expect(network.relays.get(RELAY)?.relay.counts().heard).toMatchObject({ taken: 10 });
  });

  it("one that changes all the time is not passed on all the time", () => {
    const network = networkOf(50);
    network.run(6_000);
    const before = network.sent;
    for (let sn = 2n; sn < 1_000n; sn++) {
      network.forge(announcementOf(1, { address: "10.1.0.1", sn, entityName: String(sn) }), "10.1.0.1", RELAY);
      network.run(1);
    }
    // A host may bring 120 participants at once, and 10 in a second after that; each change is sent to 49.
    expect((network.sent - before) / 49).toBeLessThan(145);
    expect(network.relays.get(RELAY)?.relay.counts().heard["too-much-news"]).toBeGreaterThan(800);
  });

  it("a flood from one address leaves the others their share", () => {
    const network = networkOf(3);
    network.run(100);
    for (let at = 0; at < 5_000; at++) network.forge(disposeOf(at), "10.9.9.9", RELAY);
    network.addParticipant(4, [RELAY]);
    network.run(100);
    expect(network.isMeshed).toBe(true);
    expect(network.relays.get(RELAY)?.relay.counts().heard.rate).toBeGreaterThan(3_900);
  });

  it("what is said to come from a sister is believed from its address only", () => {
    const network = networkOf(1, [RELAY]);
    network.run(100);
    const sisters = new Set([ip(SISTER)]);
    network.addRelay(RELAY, { ...SETTINGS, sisters });
    network.forge(announcementOf(7, { address: "10.7.7.7" }), "10.9.9.9", RELAY);
    expect([...(network.relays.get(RELAY)?.relay.participants() ?? [])]).toHaveLength(0);
    network.forge(announcementOf(7, { address: "10.7.7.7" }), SISTER, RELAY);
    expect([...(network.relays.get(RELAY)?.relay.participants() ?? [])]).toHaveLength(1);
  });
});
