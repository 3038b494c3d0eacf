import type { DiscoveryDomain } from "../api/discovery-domain.ts";
import { compareText } from "../resolve/age.ts";

/** What a relay says of a participant in a service group. */
export interface GroupClaim {
  /** Pod of the relay. */
  readonly relay: string;
  /** Pod, `namespace/name`; undefined: nobody was ready. */
  readonly member: string | undefined;
  readonly moves: number;
  /** Pods that it is kept from. */
  readonly away: readonly string[];
  readonly addresses: readonly string[];
}

/** Claims of one group, by the participant's GUID prefix. */
export type GroupClaims = ReadonlyMap<string, readonly GroupClaim[]>;

const GUID_PREFIX = /^[0-9a-f]{24}$/;

/** What the relays have written of the clients of a Service. What is no GUID prefix is passed over. */
export function groupClaims({ metadata, status }: DiscoveryDomain, service: string): GroupClaims {
  const claims = new Map<string, GroupClaim[]>();
  const qualified = (pod: string): string => `${metadata.namespace}/${pod}`;
  for (const { groups = [], name: relay } of status?.instances ?? []) {
    for (const { addresses, away, member, moves, participant } of groups.find((group) => group.service === service)
      ?.clients ?? []) {
      if (!GUID_PREFIX.test(participant)) continue;
      const claim: GroupClaim = {
        relay,
        member: member === undefined ? undefined : qualified(member),
        moves,
        away: away.map(qualified),
        addresses,
      };
      const known = claims.get(participant);
      if (known === undefined) claims.set(participant, [claim]);
      else known.push(claim);
    }
  }
  return claims;
}

/** The claim that counts: of the latest move; of one age that names a member; then of the first relay by name. */
export function topClaim<T extends Pick<GroupClaim, "relay" | "member" | "moves">>(
  claims: readonly T[],
): T | undefined {
  return claims.reduce<T | undefined>((top, claim) => {
    if (top === undefined || claim.moves > top.moves) return claim;
    if (claim.moves < top.moves || (claim.member === undefined && top.member !== undefined)) return top;
    if (top.member === undefined && claim.member !== undefined) return claim;
    return compareText(claim.relay, top.relay) < 0 ? claim : top;
  }, undefined);
}

/** Pods that a participant is kept from, as those say it whose claim is of the latest move. */
export function awayOf(claims: readonly GroupClaim[]): ReadonlySet<string> {
  const top = topClaim(claims);
  const latest = claims.filter(({ moves }) => moves === top?.moves);
  return new Set(latest.flatMap(({ away }) => away).filter((pod) => pod !== top?.member));
}
