import type { BfdReport } from "#shared/bfd/bfd-messages.ts";
import { BFD_DIAGNOSTIC, type BfdState } from "#shared/bfd/bfd-packet.ts";
import { type Family, familyOf, type Ip } from "#shared/net/ip.ts";
import type { SessionReport } from "./bgp-speaker.ts";
import type { DesiredPeer, DesiredState } from "./desired-state.ts";

/**
 * Established: the session is up. Connecting: it is not, and is being tried. PrefixLimit: closed, the router announced
 * too much. Static: there is no session to have. BfdDown: BFD fell,
 * or (static) has not come up, so the router is not used. Refused: the object, the daemon or the interfaces do not allow it.
 */
type PeerPhase = "Established" | "Connecting" | "PrefixLimit" | "Static" | "BfdDown" | "Refused";

interface BfdStatus {
  readonly state: BfdState;
  /** Not with the daemon's own BFD. */
  readonly remoteState?: BfdState;
  /** Times it fell from Up since the session began; not with the daemon's own BFD. */
  readonly falls?: number;
  /** Why it last fell, or cannot work; empty when there is nothing to say. */
  readonly message: string;
}

export interface PeerState {
  readonly name: string;
  readonly address: Ip;
  readonly family: Family;
  readonly state: PeerPhase;
  /** When it came into this state. */
  readonly sinceMs: number;
  readonly message: string;
  /** There is no BGP session to have with it. */
  readonly isStatic: boolean;
  /** Undefined without BFD. */
  readonly bfd?: BfdStatus;
}

/** What is known about the sessions. */
export interface SpeakerView {
  /** Why the daemon is not there; undefined while it is. */
  readonly down: string | undefined;
  readonly sessions: readonly SessionReport[];
  /** Why the daemon refused a session, by address. */
  readonly refusals: ReadonlyMap<Ip, string>;
}

/** The state of every peer; `before` gives the time of entry to those that stay in their state. */
export function peerStates(
  desired: DesiredState,
  speaker: SpeakerView,
  bfd: ReadonlyMap<Ip, BfdReport>,
  before: ReadonlyMap<string, PeerState>,
  nowMs: number,
): PeerState[] {
  return desired.peers.map((peer) => {
    const { state, message } = phaseOf(peer, speaker, before.get(peer.name));
    const address = peer.type === "session" ? peer.session.address : peer.address;
    const last = before.get(peer.name);
    const sinceMs = last?.state === state && last.address === address ? last.sinceMs : nowMs;
    const own = bfd.get(address);
    const daemons = speaker.sessions.find((session) => session.address === address)?.bfd;
    const watched = own === undefined ? daemons && { state: daemons, message: "" } : bfdStatus(own);
    return {
      name: peer.name,
      address,
      family: familyOf(address),
      state,
      sinceMs,
      message,
      isStatic: peer.type === "static" || (peer.type === "silent" && peer.isStatic),
      ...(watched === undefined ? {} : { bfd: watched }),
    };
  });
}

/** Codes of RFC 5880, section 4.1, that a session of ours can have. */
const DIAGNOSTICS = new Map<number, string>([
  [BFD_DIAGNOSTIC.detectionTimeExpired, "nothing came for the detection time"],
  [BFD_DIAGNOSTIC.neighbourSignalledDown, "the neighbour said that it is down"],
]);

function bfdStatus({ diagnostic, falls, problem, remoteState, state }: BfdReport): BfdStatus {
  return { state, remoteState, falls, message: problem ?? DIAGNOSTICS.get(diagnostic) ?? "" };
}

function phaseOf(
  peer: DesiredPeer,
  speaker: SpeakerView,
  last: PeerState | undefined,
): { readonly state: PeerPhase; readonly message: string } {
  if (peer.type === "static") return { state: "Static", message: `next hop on ${peer.interface}` };
  if (peer.type === "refused") return { state: "Refused", message: peer.problem };
  if (peer.type === "silent") return { state: "BfdDown", message: "not used until BFD is Up and stays so" };
  const { address, port, maxPrefixes } = peer.session;
  if (speaker.down !== undefined) return { state: "Connecting", message: `gobgpd is not running: ${speaker.down}` };
  const refusal = speaker.refusals.get(address);
  if (refusal !== undefined) return { state: "Refused", message: refusal };
  const phase = speaker.sessions.find((session) => session.address === address)?.phase;
  if (phase === "Established") return { state: "Established", message: "" };
  if (phase === "PrefixLimit") {
    const message = `the router announced more than spec.import.maxPrefixes (${maxPrefixes}); raise it or filter there`;
    return { state: "PrefixLimit", message };
  }
  // The states of RFC 4271 before Established alternate with every attempt; naming them would rewrite the status each time.
  const lost =
    last?.state === "Established" || (last?.state === "Connecting" && last.message.startsWith("session lost"));
  const target = `${address} port ${port} from ${peer.session.localAddress}`;
  return { state: "Connecting", message: lost ? `session lost; connecting to ${target}` : `connecting to ${target}` };
}
