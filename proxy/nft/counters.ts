import { shortHash } from "#shared/balance/stable-hash.ts";

/**
 * Counters outlive the chains that count in them, so figures go on when a flow's table or a target's route changes.
 * A name is a kind and a hash of what is counted.
 */
export function counterName(kind: "flow" | "error" | "leg", what: string): string {
  return `${kind}-${shortHash(what)}`;
}

/** Packets to a VIP that no flow wants, dropped. */
export const UNMATCHED = "unmatched";
/** Packets of flows that have no ready target, dropped. */
export const NO_TARGET = "no-target";
/** Packets that fell to a backend that does not resolve, refused. */
export const REFUSED_COUNTER = "refused";
/** Packets that took the stack: fragments, over the MTU, or at the end of their hops. */
export const SLOW = "slow-path";
/** Packets between the external and service networks that belong to no flow, dropped. */
export const STRAY = "stray";
/** Packets of moved slots whose flow could not be remembered for want of room: they went to the slot's former owner. */
export const KEPT_FULL = "kept-full";
/** Packets of new connections to ordinary Services beyond those that are tracked, dropped: see `primary-path.ts`. */
export const TRACKED_FULL = "tracked-full";
/** Packets to ordinary Services that fit no connection (TCP windows, checksums), dropped. */
export const TRACKED_INVALID = "tracked-invalid";
/** Packets to ordinary Services whose target is an address of the instance itself, dropped. */
export const TRACKED_LOCAL = "tracked-local";
/** Packets beyond what their sender may ask of the stack or of the instance, dropped: see `allowances.ts`. */
export const FRAGMENTS_LIMITED = "fragments-limited";
export const ANSWERS_LIMITED = "answers-limited";
export const ICMP_ERRORS_LIMITED = "icmp-errors-limited";
export const CONNECTIONS_LIMITED = "connections-limited";
export const NEIGHBOURS_LIMITED = "neighbours-limited";
