import type { Family } from "#shared/net/ip.ts";
import { type Damping, damp, NEVER_READY } from "#shared/process/flap-damping.ts";
import type { DesiredState } from "./desired-state.ts";
import type { PeerState } from "./peer-state.ts";

/** Whether the instance forwards and attracts traffic of a family, and why (not). */
export interface Readiness {
  readonly ready: boolean;
  readonly reason: "Ready" | "NoReadyVip" | "NoPeer" | "NoSession" | "HoldDown" | "ShuttingDown";
  readonly message: string;
}

/** Without damping: a ready VIP of the family, and a session (or static router) that carries it. */
export function rawReadiness(desired: DesiredState, states: readonly PeerState[], family: Family): Readiness {
  if (!desired.readyFamilies.includes(family)) {
    const message = `no IPv${family} VIP has a programmed, ready target on this instance`;
    return { ready: false, reason: "NoReadyVip", message };
  }
  const up = new Set(states.filter((s) => s.state === "Established" || s.state === "Static").map((s) => s.name));
  const carrying = desired.peers.filter((peer) => {
    if (peer.type === "session") return peer.session.families.includes(family);
    return (peer.type === "static" || peer.type === "silent") && peer.families.includes(family);
  });
  if (carrying.length === 0) {
    return { ready: false, reason: "NoPeer", message: `no usable BgpPeer of this Gateway carries IPv${family}` };
  }
  const live = carrying.filter((peer) => up.has(peer.name)).map((peer) => peer.name);
  if (live.length > 0) return { ready: true, reason: "Ready", message: `IPv${family} by ${live.join(", ")}` };
  const waiting = carrying.map((peer) => peer.name).join(", ");
  return { ready: false, reason: "NoSession", message: `no session that carries IPv${family} is up: ${waiting}` };
}

export type Dampings = Readonly<Record<Family, Damping>>;
export const NO_DAMPINGS: Dampings = { 4: NEVER_READY, 6: NEVER_READY };

/** Readiness of both families as it is to be reported, and after how many milliseconds to look again. */
export function readiness(
  desired: DesiredState,
  states: readonly PeerState[],
  before: Dampings,
  nowMs: number,
): {
  readonly families: Readonly<Record<Family, Readiness>>;
  readonly dampings: Dampings;
  readonly againMs: number | undefined;
} {
  const judge = (family: Family) => {
    const raw = rawReadiness(desired, states, family);
    const { damping, againMs } = damp(before[family], raw.ready, nowMs);
    const message = `ready again, held down after ${damping.falls} interruptions in short time`;
    const shown: Readiness = raw.ready && !damping.reported ? { ready: false, reason: "HoldDown", message } : raw;
    return { shown, damping, againMs };
  };
  const [v4, v6] = [judge(4), judge(6)];
  const waits = [v4.againMs, v6.againMs].filter((ms) => ms !== undefined);
  return {
    families: { 4: v4.shown, 6: v6.shown },
    dampings: { 4: v4.damping, 6: v6.damping },
    againMs: waits.length === 0 ? undefined : Math.min(...waits),
  };
}

export const SHUTTING_DOWN: Readonly<Record<Family, Readiness>> = {
  4: { ready: false, reason: "ShuttingDown", message: "the instance is shutting down; its VIPs are withdrawn" },
  6: { ready: false, reason: "ShuttingDown", message: "the instance is shutting down; its VIPs are withdrawn" },
};
