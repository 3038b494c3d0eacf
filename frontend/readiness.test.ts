import { describe, expect, it } from "vitest";
import { ip } from "#shared/net/ip.ts";
import type { SessionPhase } from "./bgp-speaker.ts";
import type { DesiredPeer, DesiredState } from "./desired-state.ts";
import { type PeerState, peerStates, type SpeakerView } from "./peer-state.ts";
import { NO_DAMPINGS, rawReadiness, readiness } from "./readiness.ts";

const ROUTER = ip("192.0.2.1");
const OWN = ip("192.0.2.10");
const session: DesiredPeer = {
  type: "session",
  name: "router",
  interface: "ext",
  session: {
    address: ROUTER,
    port: 179,
    asn: 64512,
    localAsn: 64513,
    localAddress: OWN,
    families: [4],
    ttlSecurity: false,
    multihopTtl: 0,
    holdTimeSeconds: 9,
    keepaliveSeconds: 3,
    connectRetrySeconds: 1,
    maxPrefixes: 10,
  },
  policy: { import: [], export: { communities: [], largeCommunities: [], prepend: 0 } },
};
const wanted = (peers: readonly DesiredPeer[], readyFamilies: DesiredState["readyFamilies"] = [4]): DesiredState => ({
  peers,
  paths: [],
  readyFamilies,
  global: undefined,
});
const view = (phase: SessionPhase): SpeakerView => ({
  down: undefined,
  sessions: [{ address: ROUTER, phase }],
  refusals: new Map(),
});
const states = (speaker: SpeakerView, before: readonly PeerState[] = [], nowMs = 1_000): PeerState[] =>
  peerStates(wanted([session]), speaker, new Map(), new Map(before.map((s) => [s.name, s])), nowMs);

describe("peerStates", () => {
  it("keeps the time of entry while the state stays, through all attempts to connect", () => {
    const connecting = states(view("Active"), [], 1_000);
    expect(states(view("Connect"), connecting, 2_000)).toEqual(connecting);
    const up = states(view("Established"), connecting, 3_000);
    expect(up[0]).toMatchObject({ state: "Established", sinceMs: 3_000 });
    const lost = states(view("Idle"), up, 4_000);
    expect(lost[0]).toMatchObject({
      state: "Connecting",
      sinceMs: 4_000,
      message: expect.stringMatching(/^session lost/),
    });
    expect(states(view("Active"), lost, 5_000)).toEqual(lost);
  });

  it("says why there is no session", () => {
    expect(states({ down: "killed by SIGKILL", sessions: [], refusals: new Map() })[0]?.message).toContain("SIGKILL");
    expect(states({ ...view("Idle"), refusals: new Map([[ROUTER, "no BFD"]]) })[0]).toMatchObject({
      state: "Refused",
      message: "no BFD",
    });
    expect(states(view("PrefixLimit"))[0]?.message).toContain("maxPrefixes (10)");
  });
});

describe("readiness", () => {
  const up = states(view("Established"));
  const down = states(view("Active"));

  it("needs a ready VIP and a router of the same family", () => {
    expect(rawReadiness(wanted([session]), up, 4)).toMatchObject({ ready: true });
    expect(rawReadiness(wanted([session], [6]), up, 4)).toMatchObject({ ready: false, reason: "NoReadyVip" });
    expect(rawReadiness(wanted([session], [6]), up, 6)).toMatchObject({ ready: false, reason: "NoPeer" });
    expect(rawReadiness(wanted([session]), down, 4)).toMatchObject({ ready: false, reason: "NoSession" });
  });

  it("counts a static router as there", () => {
    const fixed: DesiredPeer = {
      type: "static",
      name: "fixed",
      address: ROUTER,
      families: [4],
      interface: "ext",
      localAddress: OWN,
    };
    const state = wanted([fixed]);
    const known = peerStates(state, { down: "starting", sessions: [], refusals: new Map() }, new Map(), new Map(), 0);
    expect(rawReadiness(state, known, 4)).toMatchObject({ ready: true });
  });

  it("is held down after a flap of one family, and leaves the other alone", () => {
    const dual = wanted([{ ...session, session: { ...session.session, families: [4, 6] } }], [4, 6]);
    let { dampings } = readiness(dual, up, NO_DAMPINGS, 100_000);
    ({ dampings } = readiness({ ...dual, readyFamilies: [6] }, up, dampings, 100_100));
    const back = readiness(dual, up, dampings, 100_200);
    expect(back.families[4]).toMatchObject({ ready: false, reason: "HoldDown" });
    expect(back.families[6]).toMatchObject({ ready: true });
    expect(back.againMs).toBe(1_000);
    expect(readiness(dual, up, back.dampings, 101_200).families[4].ready).toBe(true);
  });
});
