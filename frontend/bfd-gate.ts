import type { BfdConfig, BfdReport } from "#shared/bfd/bfd-messages.ts";
import type { Ip } from "#shared/net/ip.ts";
import { type Damping, damp, NEVER_READY } from "#shared/process/flap-damping.ts";
import type { DesiredPeer, DesiredState } from "./desired-state.ts";

/**
 * What BFD means for a peer (RFC 5882, sections 3 and 4). Unheard: the neighbour has not been Up, has said AdminDown, or
 * has said nothing for 10 s since it fell: BFD says nothing about it. Up. Down: it fell, and there is no session with it
 * until it is Up again and has stayed so for a time that grows with every fall.
 */
export interface Gate {
  readonly phase: "Unheard" | "Up" | "Down";
  readonly falls: number;
  readonly damping: Damping;
}

export const UNHEARD: Gate = { phase: "Unheard", falls: 0, damping: NEVER_READY };

/**
 * @param restarting whether the router has ended its session without a word and its routes are being kept (RFC 4724). Its
 * BFD ends with it (RFC 5882, section 4.3.2): that is no further news, until the daemon gives the routes up. A router that
 * is frozen or cut off has ended no session.
 */
export function nextGate(before: Gate, report: BfdReport | undefined, restarting: boolean, nowMs: number): Gate {
  if (report === undefined) return UNHEARD;
  const { falls, remoteState, silent, state } = report;
  const fell = falls > before.falls;
  // A fall that was over before we looked is one all the same.
  const fallen = fell && state === "Up" ? damp(before.damping, false, nowMs).damping : before.damping;
  const { damping } = damp(fallen, state === "Up", nowMs);
  if (state === "Up" && damping.reported) return { phase: "Up", falls, damping };
  // RFC 5882, section 3.2: AdminDown is no failure. And a neighbour that speaks BFD only beside an established BGP session
  // could never come back if silence kept the session away for good.
  if (remoteState === "AdminDown" || restarting || (silent && state !== "Up"))
    return { phase: "Unheard", falls, damping };
  const down = before.phase !== "Unheard" || fell;
  return { phase: down ? "Down" : "Unheard", falls, damping };
}

/** The sessions of our own that the peers ask for. A daemon with BFD keeps that of its BGP sessions itself. */
export function bfdConfigs(desired: DesiredState, daemonDoesBfd: boolean): BfdConfig[] {
  return desired.peers.flatMap((peer): BfdConfig[] => {
    if (peer.type === "session" && peer.session.bfd !== undefined && !daemonDoesBfd) {
      const { address, bfd, localAddress } = peer.session;
      return [{ neighbour: address, local: localAddress, interface: peer.interface, ...bfd }];
    }
    if (peer.type === "static" && peer.bfd !== undefined) {
      const { address, bfd, localAddress } = peer;
      return [{ neighbour: address, local: localAddress, interface: peer.interface, ...bfd }];
    }
    return [];
  });
}

/**
 * The peers without those that BFD says are gone. A static router has nothing else to show that it lives, so it needs
 * BFD to be Up; a BGP session may also come up while BFD says nothing.
 */
export function gated(desired: DesiredState, gates: ReadonlyMap<Ip, Gate>): DesiredState {
  const peers = desired.peers.map((peer): DesiredPeer => {
    if (peer.type !== "session" && peer.type !== "static") return peer;
    const address = peer.type === "session" ? peer.session.address : peer.address;
    const phase = gates.get(address)?.phase;
    const passes = phase === undefined || phase === "Up" || (phase === "Unheard" && peer.type === "session");
    if (passes) return peer;
    const families = peer.type === "session" ? peer.session.families : peer.families;
    return { type: "silent", name: peer.name, address, families, isStatic: peer.type === "static" };
  });
  return { ...desired, peers };
}
