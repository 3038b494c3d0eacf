import fc from "fast-check";
import { buildMessage, buildParticipantDispose, ENTITY_ID, parseMessage, sequenceNumberSet } from "rtps-wire";
import { describe, expect, it } from "vitest";
import { OBSERVER_LIMITS, type ObserverLimits } from "./limits.ts";
import { Observer } from "./observer.ts";
import { OWN, SimulatedNetwork } from "./simulated-network.fixture.ts";
import { type SimulatedEndpoint, SimulatedParticipant } from "./simulated-participant.fixture.ts";

const OURS = "ca05e0a1ca05e0a1ca05e0a1";
const PREFIX = "0110aaaaaaaaaaaaaaaaaaaa";
const ADDRESS = "10.71.1.5";

function network(seed = 1, limits: Partial<ObserverLimits> = {}): SimulatedNetwork {
  const observer = new Observer({
    guidPrefix: OURS,
    limits: { ...OBSERVER_LIMITS, ...limits },
  });
  let state = seed >>> 0;
  // Mulberry32: the same seed gives the same losses.
  return new SimulatedNetwork(observer, () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  });
}

const writer = (entityId: number, more: Partial<SimulatedEndpoint> = {}): SimulatedEndpoint => ({
  topic: "publication",
  entityId,
  topicName: "Reading",
  ...more,
});

/** A network with one participant that has been introduced. */
function one(limits: Partial<ObserverLimits> = {}): { net: SimulatedNetwork; peer: SimulatedParticipant } {
  const net = network(1, limits);
  const peer = new SimulatedParticipant(PREFIX, ADDRESS);
  net.introduce(peer);
  return { net, peer };
}

type Act =
  | { readonly kind: "offer"; readonly entityId: number; readonly octets: number; readonly reader: boolean }
  | { readonly kind: "withdraw"; readonly entityId: number; readonly reader: boolean }
  | { readonly kind: "skip"; readonly count: number; readonly reader: boolean }
  | { readonly kind: "wait"; readonly ms: number };

const act: fc.Arbitrary<Act> = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.record({
      kind: fc.constant("offer" as const),
      entityId: fc.integer({ min: 1, max: 12 }),
      octets: fc.oneof(fc.constant(0), fc.integer({ min: 1_300, max: 12_000 })),
      reader: fc.boolean(),
    }),
  },
  {
    weight: 3,
    arbitrary: fc.record({
      kind: fc.constant("withdraw" as const),
      entityId: fc.integer({ min: 1, max: 12 }),
      reader: fc.boolean(),
    }),
  },
  {
    weight: 1,
    arbitrary: fc.record({
      kind: fc.constant("skip" as const),
      count: fc.integer({ min: 1, max: 600 }),
      reader: fc.boolean(),
    }),
  },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant("wait" as const), ms: fc.integer({ min: 5, max: 400 }) }) },
);

function play(net: SimulatedNetwork, peer: SimulatedParticipant, act: Act): void {
  switch (act.kind) {
    case "offer": {
      const topic = act.reader ? "subscription" : "publication";
      const endpoint = {
        topic,
        entityId: act.entityId,
        topicName: `T${act.entityId}`,
        userDataOctets: act.octets,
      } as const;
      net.toObserver(peer, peer.offer(endpoint));
      break;
    }
    case "withdraw":
      net.toObserver(peer, peer.withdraw(act.reader ? "subscription" : "publication", act.entityId));
      break;
    case "skip":
      peer.skip(act.reader ? "subscription" : "publication", BigInt(act.count));
      break;
    case "wait":
      net.pass(act.ms);
  }
}

describe("whatever the network does", () => {
  it("an observer comes to know what the writers have, within its bounds, and is silent then", () => {
    fc.assert(
      fc.property(
        fc.array(act, { maxLength: 40 }),
        fc.nat(),
        fc.record({
          lost: fc.integer({ min: 0, max: 200 }),
          doubled: fc.integer({ min: 0, max: 300 }),
          delayMs: fc.integer({ min: 0, max: 200 }),
        }),
        (acts, seed, faults) => {
          const net = network(seed);
          net.faults = faults;
          const peers = [PREFIX, "0110bbbbbbbbbbbbbbbbbbbb"].map(
            (prefix, index) => new SimulatedParticipant(prefix, `10.71.1.${index + 1}`),
          );
          for (const peer of peers) net.introduce(peer);
          for (const [index, each] of acts.entries()) {
            const peer = peers[index % 2];
            if (peer !== undefined) play(net, peer, each);
          }
          const has = (): string =>
            peers
              .flatMap(({ endpoints }) => endpoints)
              .sort()
              .join();
          const isComplete = (): boolean => [...net.observer.participants().values()].every((each) => each.isComplete);
          expect(net.pass(60_000, () => isComplete() && net.known.join() === has())).toBeDefined();
          expect(net.observer.participants().size).toBe(2);
          expect(net.most.assemblyOctets).toBeLessThanOrEqual(OBSERVER_LIMITS.assemblyOctets);
          net.faults = { lost: 0, doubled: 0, delayMs: 0 };
          net.pass(1_000);
          expect(net.observer.used.assemblyOctets).toBe(0);
          const { sent } = net;
          net.pass(15_000);
          // A greeting for each.
          expect(net.sent - sent).toBeLessThanOrEqual(8);
          for (const peer of peers) net.step(net.observer.forget(peer.introduction()));
          expect(net.observer.used).toEqual({ endpoints: 0, assemblyOctets: 0, graphOctets: 0 });
        },
      ),
      { numRuns: 150 },
    );
  });

  it("each endpoint is told once when it comes and once when it goes", () => {
    const { net, peer } = one();
    net.faults = { lost: 200, doubled: 500, delayMs: 100 };
    for (let id = 1; id <= 40; id++) net.toObserver(peer, peer.offer(writer(id, { topicName: `T${id}` })));
    expect(net.pass(30_000, () => net.known.length === 40)).toBeDefined();
    for (let id = 1; id <= 40; id++) net.toObserver(peer, peer.withdraw("publication", id));
    expect(net.pass(30_000, () => net.known.length === 0)).toBeDefined();
    net.pass(5_000);
    expect(net.changes.filter(({ kind }) => kind === "endpoint")).toHaveLength(40);
    expect(net.changes.filter(({ kind }) => kind === "endpoint-gone")).toHaveLength(40);
  });

  it("without answers nothing would come: a participant that cannot be reached stays unknown", () => {
    const { net, peer } = one();
    net.kill(peer);
    peer.offer(writer(1));
    expect(net.pass(8_000, () => net.known.length > 0)).toBeUndefined();
  });
});

describe("participants that leave", () => {
  it("by their dispose, with all that they have", () => {
    const { net, peer } = one();
    net.toObserver(peer, peer.offer(writer(1)));
    net.pass(1_000, () => net.known.length === 1);
    net.toObserver(peer, [buildParticipantDispose(peer.header, 2n)]);
    net.pass(100);
    expect(net.known).toEqual([]);
    expect(net.changes.slice(-2)).toEqual([
      { kind: "endpoint-gone", guid: `${PREFIX}:00000001` },
      { kind: "participant-gone", prefix: PREFIX },
    ]);
  });

  it("by the word of who introduced them", () => {
    const { net, peer } = one();
    net.toObserver(peer, peer.offer(writer(1)));
    net.pass(1_000, () => net.known.length === 1);
    net.step(net.observer.forget(peer.introduction()));
    expect(net.known).toEqual([]);
    expect(net.changes.at(-1)).toEqual({ kind: "participant-gone", prefix: PREFIX });
  });

  it("and begin anew under the same GUID, whatever the network does: what they had before is gone", () => {
    fc.assert(
      fc.property(
        fc.array(act, { maxLength: 15 }),
        fc.array(act, { maxLength: 15 }),
        fc.nat(),
        (before, after, seed) => {
          const net = network(seed);
          const peer = new SimulatedParticipant(PREFIX, ADDRESS);
          net.introduce(peer);
          net.faults = { lost: 200, doubled: 200, delayMs: 100 };
          // A life of some heartbeats: it is by their count that another one is told.
          for (const topic of ["publication", "subscription"] as const) {
            for (let id = 20; id < 45; id++) {
              net.toObserver(peer, peer.offer(writer(id, { topic })));
              net.pass(100);
            }
          }
          for (const each of before) play(net, peer, each);
          const isKnown = (): boolean => net.known.join() === peer.endpoints.join();
          expect(net.pass(60_000, isKnown)).toBeDefined();
          peer.restart();
          net.pass(3_000);
          for (const each of after) play(net, peer, each);
          // Without an endpoint there may be nothing to tell of.
          for (const topic of ["publication", "subscription"] as const)
            net.toObserver(peer, peer.offer(writer(19, { topic })));
          expect(net.pass(60_000, isKnown)).toBeDefined();
        },
      ),
      { numRuns: 40 },
    );
  });
});

describe("who is not believed", () => {
  it("nobody from an address that the participant does not announce", () => {
    const { net, peer } = one();
    const dispose = buildParticipantDispose(peer.header, 2n);
    const [offer = dispose] = peer.offer(writer(1));
    for (const datagram of [dispose, offer]) net.step(net.observer.receive(datagram, "10.71.1.99", net.nowMs));
    expect(net.observer.participants().size).toBe(1);
    expect(net.known).toEqual([]);
    expect(net.observer.counts.foreign).toBe(2);
    // From its own address the same is believed.
    net.step(net.observer.receive(offer, ADDRESS, net.nowMs));
    net.step(net.observer.receive(dispose, ADDRESS, net.nowMs));
    expect(net.observer.participants().size).toBe(0);
  });

  it("nobody who was not introduced", () => {
    const net = network();
    const stranger = new SimulatedParticipant(PREFIX, ADDRESS);
    for (const datagram of stranger.offer(writer(1))) net.step(net.observer.receive(datagram, ADDRESS, net.nowMs));
    expect(net.observer.participants().size).toBe(0);
    expect(net.observer.counts.strangers).toBe(1);
    expect(net.sent).toBe(0);
  });

  it("no participant about another one's endpoints, and none for another observer", () => {
    const { net, peer } = one();
    const other = new SimulatedParticipant("0110bbbbbbbbbbbbbbbbbbbb", ADDRESS);
    const [offer = new Uint8Array()] = other.offer(writer(1));
    const submessages = parseMessage(offer).submessages;
    net.step(net.observer.receive(buildMessage(peer.header, submessages), ADDRESS, net.nowMs));
    expect(net.observer.counts.unreadable).toBe(1);
    const forOthers = { kind: "info-dst", guidPrefix: "ffffffffffffffffffffffff" } as const;
    const [own = new Uint8Array()] = peer.offer(writer(2));
    const addressed = buildMessage(peer.header, [forOthers, ...parseMessage(own).submessages]);
    net.step(net.observer.receive(addressed, ADDRESS, net.nowMs));
    expect(net.known).toEqual([]);
  });

  it("a GUID prefix of another domain", () => {
    const { net, peer } = one();
    const step = net.observer.introduce({ ...peer.introduction(), domainId: 1 }, OWN, net.nowMs);
    expect(step).toEqual({ sends: [], changes: [] });
    expect(net.observer.counts.refusedParticipants).toBe(1);
    // And nobody else's end is its own.
    net.observer.forget({ ...peer.introduction(), domainTag: "line-2" });
    expect(net.observer.participants().size).toBe(1);
  });
});

describe("bounds", () => {
  it("of endpoints and participants: what is beyond is refused and counted, and comes when there is room", () => {
    const { net, peer } = one({ endpointsPerParticipant: 3, participants: 1 });
    for (let id = 1; id <= 5; id++) net.toObserver(peer, peer.offer(writer(id)));
    net.pass(2_000);
    expect(net.known).toHaveLength(3);
    expect(net.observer.counts.refusedEndpoints).toBe(2);
    net.introduce(new SimulatedParticipant("0110bbbbbbbbbbbbbbbbbbbb", "10.71.1.7"));
    expect(net.observer.counts.refusedParticipants).toBe(1);
    net.step(net.observer.forget(peer.introduction()));
    net.introduce(new SimulatedParticipant("0110bbbbbbbbbbbbbbbbbbbb", "10.71.1.7"));
    expect([...net.observer.participants().keys()]).toEqual(["0110bbbbbbbbbbbbbbbbbbbb"]);
  });

  it("of octets: a sample that is too large is passed over, those behind it are not", () => {
    const { net, peer } = one({ sampleOctets: 8_000 });
    net.toObserver(peer, peer.offer(writer(1, { userDataOctets: 9_000 })));
    net.toObserver(peer, peer.offer(writer(2, { userDataOctets: 7_000 })));
    expect(net.pass(5_000, () => net.known.join() === `${PREFIX}:00000002`)).toBeDefined();
  });

  it("of a participant's datagrams", () => {
    const { net, peer } = one({ datagramsPerSecond: 10 });
    const datagram = peer.message({ kind: "pad" });
    for (let count = 0; count < 100; count++) net.step(net.observer.receive(datagram, ADDRESS, net.nowMs));
    expect(net.observer.counts).toMatchObject({ read: 20, overRate: 80 });
  });

  it("hold against a writer that says anything", () => {
    const number = fc.oneof(fc.bigInt({ min: 1n, max: 400n }), fc.bigInt({ min: 1n, max: 2n ** 63n - 1n }));
    const ends = { readerId: ENTITY_ID.publicationsReader, writerId: ENTITY_ID.publicationsWriter };
    const hostile = fc.oneof(
      fc.record({ firstSn: number, lastSn: number, count: fc.nat() }).map((fields) => ({
        kind: "heartbeat" as const,
        ...ends,
        ...fields,
        final: false,
        liveliness: false,
      })),
      fc.tuple(number, number).map(([gapStart, base]) => ({
        kind: "gap" as const,
        ...ends,
        gapStart,
        gapList: sequenceNumberSet(base < 2n ** 62n ? base : 2n ** 62n, []),
      })),
      fc
        .record({
          writerSn: number,
          fragmentStart: fc.integer({ min: 1, max: 20 }),
          fragmentSize: fc.integer({ min: 1, max: 1_000 }),
        })
        .map((fields) => ({
          kind: "data-frag" as const,
          ...ends,
          ...fields,
          fragmentCount: 1,
          sampleSize: 20_000,
          payloadKind: "data" as const,
          payload: new Uint8Array(1_000),
          nonStandardPayload: false,
        })),
      fc.record({ writerSn: number, payload: fc.uint8Array({ maxLength: 40 }) }).map((fields) => ({
        kind: "data" as const,
        ...ends,
        ...fields,
        payloadKind: "data" as const,
        nonStandardPayload: false,
      })),
    );
    fc.assert(
      fc.property(fc.array(hostile, { maxLength: 300 }), (submessages) => {
        const limits = { sampleOctets: 30_000, assemblyOctets: 70_000 };
        const { net, peer } = one(limits);
        for (const submessage of submessages) {
          const step = net.observer.receive(peer.message(submessage), ADDRESS, net.nowMs);
          // One answer to one datagram, of the size of a set and some fragments.
          expect(step.sends.length).toBeLessThanOrEqual(1);
          for (const { datagram } of step.sends) expect(datagram.length).toBeLessThan(600);
          expect(net.observer.used.assemblyOctets).toBeLessThanOrEqual(limits.assemblyOctets);
          net.nowMs += 7;
        }
        const kept = [...net.observer.participants().values()].map(({ topics }) => topics.publication.writer.kept);
        expect(kept[0]).toBeLessThanOrEqual(68);
        // In time, all that was begun is let go, while the participant stays.
        for (let second = 0; second < 35; second++) {
          net.nowMs += 1_000;
          net.step(net.observer.tick(net.nowMs));
        }
        expect(net.observer.participants().size).toBe(1);
        expect(net.observer.used.assemblyOctets).toBe(0);
      }),
      { numRuns: 100 },
    );
  });
});
