import { describe, expect, it } from "vitest";
import type { BfdReport } from "#shared/bfd/bfd-messages.ts";
import type { BfdState } from "#shared/bfd/bfd-packet.ts";
import { cidr, ip } from "#shared/net/ip.ts";
import { bfdConfigs, type Gate, gated, nextGate, UNHEARD } from "./bfd-gate.ts";
import type { DesiredPeer, DesiredState } from "./desired-state.ts";
import { peerStates } from "./peer-state.ts";
import { rawReadiness } from "./readiness.ts";
import { desiredRoutes } from "./return-routes.ts";
import { session } from "./routers.fixture.ts";
import { wantedSpeaker } from "./speaker-plan.ts";

const ROUTER = ip("192.0.2.1");
const FIXED = ip("192.0.2.2");
const OWN = ip("192.0.2.10");
const bfd = { intervalMs: 100, multiplier: 3 };
const router = session("192.0.2.1");
const peers: readonly DesiredPeer[] = [
  { ...router, name: "router", session: { ...router.session, bfd } },
  { type: "static", name: "fixed", address: FIXED, families: [4], interface: "ext", localAddress: OWN, bfd },
];
const desired: DesiredState = { peers, paths: [], readyFamilies: [4], global: undefined };

function report(state: BfdState, more: Partial<BfdReport> = {}): BfdReport {
  return {
    neighbour: ROUTER,
    state,
    remoteState: state,
    diagnostic: 0,
    silent: false,
    falls: 0,
    problem: undefined,
    ...more,
  };
}

/** The gates after reports that come 10 s apart. */
function phases(...reports: (BfdReport | undefined)[]): Gate["phase"][] {
  let gate = UNHEARD;
  return reports.map((next, index) => {
    gate = nextGate(gate, next, false, 100_000 + index * 10_000);
    return gate.phase;
  });
}

describe("nextGate", () => {
  it("says nothing of a neighbour that has never been Up", () => {
    expect(phases(undefined, report("Down"), report("Init"), report("Down", { silent: true }))).toEqual(
      Array(4).fill("Unheard"),
    );
  });

  it("closes when a neighbour falls, and opens when it has been Up again for a while", () => {
    let gate = nextGate(UNHEARD, report("Up"), false, 100_000);
    expect(gate.phase).toBe("Up");
    gate = nextGate(gate, report("Down", { falls: 1 }), false, 101_000);
    expect(gate.phase).toBe("Down");
    gate = nextGate(gate, report("Init", { falls: 1 }), false, 102_000);
    expect(gate.phase).toBe("Down");
    gate = nextGate(gate, report("Up", { falls: 1 }), false, 103_000);
    expect(gate.phase).toBe("Down");
    expect(nextGate(gate, report("Up", { falls: 1 }), false, 103_999).phase).toBe("Down");
    expect(nextGate(gate, report("Up", { falls: 1 }), false, 104_000).phase).toBe("Up");
  });

  it("waits the longer the more often a neighbour falls", () => {
    let gate = nextGate(UNHEARD, report("Up"), false, 100_000);
    for (const falls of [1, 2, 3]) {
      gate = nextGate(gate, report("Down", { falls }), false, 100_000 + falls * 10_000);
      gate = nextGate(gate, report("Up", { falls }), false, 101_000 + falls * 10_000);
    }
    expect(nextGate(gate, report("Up", { falls: 3 }), false, 134_999).phase).toBe("Down");
    expect(nextGate(gate, report("Up", { falls: 3 }), false, 135_000).phase).toBe("Up");
  });

  it("sees a fall that was over before it looked, also the first", () => {
    const up = nextGate(UNHEARD, report("Up"), false, 100_000);
    expect(nextGate(up, report("Up", { falls: 1 }), false, 101_000).phase).toBe("Down");
    expect(nextGate(UNHEARD, report("Down", { falls: 1 }), false, 100_000).phase).toBe("Down");
  });

  it("takes AdminDown as no failure, nor the end of a neighbour's BFD", () => {
    const fell = report("Down", { falls: 1 });
    expect(phases(report("Up"), report("Down", { falls: 1, remoteState: "AdminDown" }), fell)).toEqual([
      "Up",
      "Unheard",
      "Unheard",
    ]);
    expect(phases(report("Up"), fell, fell, { ...fell, silent: true }, fell)).toEqual([
      "Up",
      "Down",
      "Down",
      "Unheard",
      "Unheard",
    ]);
  });

  it("does not close for a neighbour whose BFD comes back after it was given up", () => {
    const gone = nextGate(
      nextGate(UNHEARD, report("Up"), false, 100_000),
      report("Down", { falls: 1, silent: true }),
      false,
      101_000,
    );
    const back = nextGate(gone, report("Up", { falls: 1 }), false, 102_000);
    expect([gone.phase, back.phase]).toEqual(["Unheard", "Unheard"]);
    expect(nextGate(back, report("Up", { falls: 1 }), false, 103_000).phase).toBe("Up");
  });

  it("does not close for a router that restarts while its routes are kept, nor when they are given up after that", () => {
    const up = nextGate(UNHEARD, report("Up"), false, 100_000);
    const fallen = nextGate(up, report("Down", { falls: 1 }), true, 100_300);
    const givenUp = nextGate(fallen, report("Down", { falls: 1 }), false, 160_000);
    const back = nextGate(fallen, report("Up", { falls: 1 }), false, 105_000);
    expect([fallen, givenUp, back].map(({ phase }) => phase)).toEqual(["Unheard", "Unheard", "Unheard"]);
    // Once it is up again, BFD is believed again.
    expect(nextGate(givenUp, report("Down", { falls: 2 }), false, 170_000).phase).toBe("Down");
  });

  it("begins anew with a new session", () => {
    expect(phases(report("Up"), report("Down", { falls: 1 }), undefined)).toEqual(["Up", "Down", "Unheard"]);
  });
});

describe("peers behind their gates", () => {
  const gate = (phase: Gate["phase"]): Gate => ({ ...UNHEARD, phase });
  const types = (phase: Gate["phase"]) =>
    gated(
      desired,
      new Map([
        [ROUTER, gate(phase)],
        [FIXED, gate(phase)],
      ]),
    ).peers.map((peer) => peer.type);

  it("pass while Up; a BGP session also before BFD was ever heard", () => {
    expect(types("Up")).toEqual(["session", "static"]);
    expect(types("Unheard")).toEqual(["session", "silent"]);
    expect(types("Down")).toEqual(["silent", "silent"]);
    expect(gated(desired, new Map()).peers).toEqual(peers);
  });

  it("have no session, no route and no part in readiness while it is closed", () => {
    const closed = gated(desired, new Map([ROUTER, FIXED].map((address) => [address, gate("Down")])));
    expect(wantedSpeaker(closed).sessions.size).toBe(0);
    const interfaces = [{ name: "ext", addresses: [{ address: OWN, prefixLength: 24 }] }];
    const learned = [{ peer: ROUTER, prefix: cidr("0.0.0.0/0"), nextHop: ROUTER }];
    expect(desiredRoutes(desired, interfaces, learned)[0]?.nextHops).toHaveLength(2);
    expect(desiredRoutes(closed, interfaces, learned)).toEqual([]);
    const speaker = { down: undefined, sessions: [], refusals: new Map() };
    const reports = new Map([[ROUTER, report("Down", { diagnostic: 1, falls: 1 })]]);
    const states = peerStates(closed, speaker, reports, new Map(), 0);
    expect(states.map(({ state }) => state)).toEqual(["BfdDown", "BfdDown"]);
    expect(states.map(({ isStatic }) => isStatic)).toEqual([false, true]);
    expect(states[0]?.bfd).toEqual({
      state: "Down",
      remoteState: "Down",
      falls: 1,
      message: "nothing came for the detection time",
    });
    expect(rawReadiness(closed, states, 4)).toMatchObject({ ready: false, reason: "NoSession" });
  });

  it("are watched by us, but for the BGP sessions of a daemon that does it itself", () => {
    expect(bfdConfigs(desired, false)).toEqual([
      { neighbour: ROUTER, local: OWN, interface: "ext", ...bfd },
      { neighbour: FIXED, local: OWN, interface: "ext", ...bfd },
    ]);
    expect(bfdConfigs(desired, true).map(({ neighbour }) => neighbour)).toEqual([FIXED]);
  });
});
