import { digest } from "#shared/balance/stable-hash.ts";
import { type GroupClaim, topClaim } from "#shared/dds/group-claims.ts";

/** As for flows: Ready takes new clients; Draining only when nobody is Ready; NotReady none. */
export type MemberState = "Ready" | "Draining" | "NotReady";

/** A pod of a group. */
export interface MemberShare {
  /** `namespace/name`. */
  readonly pod: string;
  readonly state: MemberState;
  /** 0: takes nobody. */
  readonly weight: number;
}

/** Who takes clients now: those that are ready, or, where nobody is, those that still serve while they end. */
export function takers<T extends MemberShare>(members: Iterable<T>): readonly T[] {
  const willing = [...members].filter(({ weight }) => weight > 0);
  const ready = willing.filter(({ state }) => state === "Ready");
  return ready.length > 0 ? ready : willing.filter(({ state }) => state === "Draining");
}

const MANTISSA = 2 ** 48;

/**
 * Weighted rendezvous hashing: each member draws a number from the client's GUID prefix, exponential with its weight as the
 * rate, and the least wins. So shares are as the weights, and a member more or less moves only what becomes or was its own.
 */
function draw(service: string, client: string, { pod, weight }: MemberShare): number {
  const uniform = (digest(`${service} ${client} ${pod}`).readUIntBE(0, 6) + 0.5) / MANTISSA;
  return -Math.log(uniform) / weight;
}

function elect(service: string, client: string, candidates: readonly MemberShare[]): string | undefined {
  let best: { readonly pod: string; readonly drawn: number } | undefined;
  for (const candidate of candidates) {
    const { pod } = candidate;
    const drawn = draw(service, client, candidate);
    if (best === undefined || drawn < best.drawn || (drawn === best.drawn && pod < best.pod)) best = { pod, drawn };
  }
  return best?.pod;
}

export interface Assignment {
  /** `namespace/name` of the pod; undefined: nobody takes clients. */
  readonly member: string | undefined;
  /** How often the client was moved. Of what two relays say the higher number counts: it is of a later time. */
  readonly moves: number;
}

/** A group's members, sorted out once for many clients. */
export interface Roster {
  readonly service: string;
  readonly members: ReadonlyMap<string, MemberShare>;
  readonly takers: readonly MemberShare[];
  readonly taking: ReadonlySet<string>;
}

export function rosterOf(service: string, members: ReadonlyMap<string, MemberShare>): Roster {
  const all = takers(members.values());
  return { service, members, takers: all, taking: new Set(all.map(({ pod }) => pod)) };
}

/**
 * The member of a client. What was agreed stays for as long as that member takes clients, and, as a flow stays with a
 * target that is not ready, while nobody else does.
 * @param claims What this relay and its sisters have assigned.
 */
export function assign(
  client: string,
  { members, service, takers: candidates, taking }: Roster,
  claims: readonly Pick<GroupClaim, "relay" | "member" | "moves">[],
): Assignment {
  const top = topClaim(claims);
  const { member, moves } = top ?? {};
  if (member !== undefined && moves !== undefined) {
    if (taking.has(member) || (candidates.length === 0 && members.has(member))) return { member, moves };
  }
  const elected = elect(service, client, candidates);
  if (moves === undefined) return { member: elected, moves: 0 };
  return { member: elected, moves: elected === undefined ? moves : moves + 1 };
}
