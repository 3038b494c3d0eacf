import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { hostCidr, type Ip, ip } from "#shared/net/ip.ts";
import type { DesiredPeer, DesiredState } from "./desired-state.ts";
import {
  afterChange,
  EMPTY_SPEAKER,
  idleTooLong,
  planSpeaker,
  type SpeakerState,
  wantedSpeaker,
} from "./speaker-plan.ts";

const ADDRESSES = ["192.0.2.1", "192.0.2.2", "2001:db8::1"].map(ip);
const VIPS = ["198.51.100.1", "198.51.100.2", "2001:db8:f::1"].map(ip);

const peerOf = (address: Ip, holdTimeSeconds: number, med: number): DesiredPeer => ({
  type: "session",
  name: address,
  interface: "ext",
  session: {
    address,
    port: 179,
    asn: 64512,
    localAsn: 64513,
    localAddress: ip(address.includes(":") ? "2001:db8::10" : "192.0.2.10"),
    families: [4],
    ttlSecurity: false,
    multihopTtl: 0,
    holdTimeSeconds,
    keepaliveSeconds: 1,
    connectRetrySeconds: 1,
    maxPrefixes: 10,
  },
  policy: { import: [], export: { communities: [], largeCommunities: [], med, prepend: 0 } },
});

const desired: fc.Arbitrary<DesiredState> = fc
  .record({
    peers: fc.uniqueArray(
      fc.record({ address: fc.constantFrom(...ADDRESSES), hold: fc.constantFrom(3, 9), med: fc.constantFrom(1, 2) }),
      { selector: (p) => p.address },
    ),
    vips: fc.uniqueArray(
      fc.record({ vip: fc.constantFrom(...VIPS), hop: fc.constantFrom("192.0.2.10", "192.0.2.11") }),
      {
        selector: (v) => v.vip,
      },
    ),
  })
  .map(({ peers, vips }) => ({
    peers: peers.map((p) => peerOf(p.address, p.hold, p.med)),
    paths: vips.map((v) => ({ prefix: hostCidr(v.vip), nextHop: ip(v.hop) })),
    readyFamilies: [],
    global:
      peers.length === 0 ? undefined : { asn: 64513, routerId: "192.0.2.10", listenAddresses: [], listenPort: 179 },
  }));

const told = (state: DesiredState): SpeakerState =>
  planSpeaker(state, EMPTY_SPEAKER).reduce(afterChange, EMPTY_SPEAKER);

describe("planSpeaker", () => {
  it("leads from any state to the wanted one, and then has nothing to do", () => {
    fc.assert(
      fc.property(desired, desired, (from, to) => {
        const before = told(from);
        const after = planSpeaker(to, before).reduce(afterChange, before);
        const wanted = wantedSpeaker(to);
        if (after.global !== undefined) {
          expect({ ...after, global: undefined }).toEqual({ ...wanted, global: undefined });
        }
        expect(planSpeaker(to, after)).toEqual([]);
      }),
    );
  });

  it("ends in the same state however often it is cut off and planned anew", () => {
    fc.assert(
      fc.property(desired, desired, fc.nat(12), (from, to, cut) => {
        const before = told(from);
        const halfway = planSpeaker(to, before).slice(0, cut).reduce(afterChange, before);
        expect(planSpeaker(to, halfway).reduce(afterChange, halfway)).toEqual(
          planSpeaker(to, before).reduce(afterChange, before),
        );
      }),
    );
  });

  it("touches no session and no path that stays as it is", () => {
    fc.assert(
      fc.property(desired, desired, (from, to) => {
        const before = told(from);
        const wanted = wantedSpeaker(to);
        for (const change of planSpeaker(to, before)) {
          if (change.type === "remove-session") {
            expect(wanted.sessions.get(change.address)).not.toEqual(before.sessions.get(change.address));
          } else if (change.type === "add-session") {
            expect(before.sessions.get(change.session.address)).not.toEqual(change.session);
          } else if (change.type === "withdraw") expect(wanted.paths.has(change.prefix)).toBe(false);
          else if (change.type === "announce") expect(before.paths.get(change.path.prefix)).not.toEqual(change.path);
        }
      }),
    );
  });

  it("withdraws first, and starts sessions last, with policies and paths in place", () => {
    fc.assert(
      fc.property(desired, desired, (from, to) => {
        const order = ["withdraw", "start", "remove-session", "set-policies", "announce", "add-session"];
        const steps = planSpeaker(to, told(from)).map((change) => order.indexOf(change.type));
        expect(steps).toEqual(steps.toSorted((a, b) => a - b));
      }),
    );
  });

  it("changes attributes by policy, without a new session", () => {
    const [address = ip("192.0.2.1")] = ADDRESSES;
    const state = (med: number): DesiredState => ({
      peers: [peerOf(address, 9, med)],
      paths: [],
      readyFamilies: [],
      global: { asn: 64513, routerId: "192.0.2.10", listenAddresses: [], listenPort: 179 },
    });
    expect(planSpeaker(state(2), told(state(1))).map((change) => change.type)).toEqual(["set-policies"]);
  });
});

const NOBODY: ReadonlySet<Ip> = new Set();

describe("idleTooLong", () => {
  const [address = ip("192.0.2.1")] = ADDRESSES;
  const state = (restartSeconds?: number): SpeakerState => {
    const peer = peerOf(address, 9, 1);
    if (peer.type !== "session") throw new Error("a session was made");
    const session = restartSeconds === undefined ? peer.session : { ...peer.session, restartSeconds };
    return { ...EMPTY_SPEAKER, sessions: new Map([[address, session]]) };
  };
  it("names sessions that stayed idle for the connect retry time", () => {
    const idle = new Map([[address, 1_000]]);
    expect(idleTooLong(state(), idle, NOBODY, 1_999)).toEqual([]);
    expect(idleTooLong(state(), idle, NOBODY, 2_000).map((s) => s.address)).toEqual([address]);
    expect(idleTooLong(state(), new Map(), NOBODY, 9_000)).toEqual([]);
  });
  it("leaves those alone whose routes are kept over a restart", () => {
    const idle = new Map([[address, 0]]);
    expect(idleTooLong(state(120), idle, new Set([address]), 60_000)).toEqual([]);
    expect(idleTooLong(state(120), idle, NOBODY, 60_000)).toHaveLength(1);
  });
});
