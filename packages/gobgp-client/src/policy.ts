import { Check } from "./check.ts";
import type { Family, Prefix } from "./ip.ts";

/** Matches the prefix and, with lengths given, the more specific ones inside it of those lengths. */
export interface PrefixMatch {
  readonly prefix: string;
  /** Default: the prefix's own length. */
  readonly minLength?: number;
  /** Default: `minLength`. */
  readonly maxLength?: number;
}

/** What one peer may send us and gets from us. An empty list means nothing. */
export interface PeerPolicy {
  readonly peer: string;
  readonly importPrefixes: "all" | readonly PrefixMatch[];
  readonly exportPrefixes: "all" | readonly PrefixMatch[];
}

export interface PeerPolicies {
  readonly peers: readonly PeerPolicy[];
  /** For peers that are not listed. Default `reject` (RFC 8212). */
  readonly unlistedPeers?: "accept" | "reject";
}

interface PolicyPrefix {
  readonly prefix: Prefix;
  readonly minLength: number;
  readonly maxLength: number;
}

export interface PolicyStatement {
  readonly name: string;
  /** Matches when all that is named here matches. */
  readonly prefixSet?: string;
  readonly neighborSet?: string;
  readonly localPathsOnly?: true;
  readonly accept: boolean;
}

/** The daemon's whole policy configuration, in its own terms but in neither dialect's numbers. */
export interface PolicyPlan {
  readonly prefixSets: readonly { readonly name: string; readonly prefixes: readonly PolicyPrefix[] }[];
  readonly neighborSets: readonly { readonly name: string; readonly network: string }[];
  readonly import: readonly PolicyStatement[];
  readonly export: readonly PolicyStatement[];
  readonly acceptByDefault: boolean;
}

/**
 * Pure. gobgpd has policies per peer only for route-server clients, so this is one global policy whose statements name
 * the peer. Each peer's own statements end with one that refuses, and paths added locally pass the import policy.
 */
export function planPolicies(policies: PeerPolicies): PolicyPlan {
  const check: Check = new Check("peer policies");
  const unlisted = check.oneOf("unlistedPeers", policies.unlistedPeers ?? "reject", ["accept", "reject"]);
  const prefixSets: PolicyPlan["prefixSets"][number][] = [];
  const neighborSets: PolicyPlan["neighborSets"][number][] = [];
  const statements: Record<"import" | "export", PolicyStatement[]> = { import: [], export: [] };
  statements.import.push({ name: "import local", localPathsOnly: true, accept: true });
  const seen = new Set<string>();
  for (const [i, policy] of policies.peers.entries()) {
    const peer = check.address(`peers[${i}].peer`, policy.peer);
    if (seen.has(peer)) check.fail(`peers[${i}].peer`, `${peer} is listed twice`);
    seen.add(peer);
    const neighborSet = `peer ${peer}`;
    neighborSets.push({ name: neighborSet, network: `${peer}/${peer.includes(":") ? 128 : 32}` });
    for (const direction of ["import", "export"] as const) {
      const wanted = direction === "import" ? policy.importPrefixes : policy.exportPrefixes;
      const name = `${direction} ${peer}`;
      if (wanted !== "all") {
        const field = `peers[${i}].${direction}Prefixes`;
        const prefixes =
          check.list(field, wanted, 100_000) && wanted.map((match, j) => checkMatch(check, `${field}[${j}]`, match));
        // A prefix set holds one family; an empty set would match nothing and is left out.
        for (const family of ["ipv4-unicast", "ipv6-unicast"] satisfies Family[]) {
          const ofFamily = prefixes.filter((match) => match.prefix.family === family);
          if (ofFamily.length === 0) continue;
          const set = `${name} ${family}`;
          prefixSets.push({ name: set, prefixes: ofFamily });
          statements[direction].push({ name: set, prefixSet: set, neighborSet, accept: true });
        }
      }
      statements[direction].push({ name: `${name} rest`, neighborSet, accept: wanted === "all" });
    }
  }
  return { prefixSets, neighborSets, ...statements, acceptByDefault: unlisted === "accept" };
}

function checkMatch(check: Check, field: string, match: PrefixMatch): PolicyPrefix {
  const prefix = check.prefix(`${field}.prefix`, match.prefix);
  const bits = prefix.family === "ipv4-unicast" ? 32 : 128;
  const minLength = check.integer(`${field}.minLength`, match.minLength ?? prefix.length, prefix.length, bits);
  const maxLength = check.integer(`${field}.maxLength`, match.maxLength ?? minLength, minLength, bits);
  return { prefix, minLength, maxLength };
}
