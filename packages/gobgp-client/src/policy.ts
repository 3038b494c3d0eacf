import { Check } from "./check.ts";
import { parseCommunity, parseLargeCommunity } from "./community.ts";
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
  /** `own`: the paths that were added through this interface, and nothing that was learned. */
  readonly exportPrefixes: "all" | "own" | readonly PrefixMatch[];
  /** Set on every path that the peer gets, beside what the path itself has. */
  readonly exportAttributes?: ExportAttributes;
}

export interface ExportAttributes {
  /** Added to the path's own: RFC 1997, `65000:1`. */
  readonly communities?: readonly string[];
  /** Added to the path's own: RFC 8092, `65000:1:2`. */
  readonly largeCommunities?: readonly string[];
  /** Sent only over sessions inside the own AS. */
  readonly localPref?: number;
  readonly med?: number;
  /** Beside the AS number that every external session puts in front. */
  readonly prepend?: { readonly asn: number; readonly times: number };
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
  readonly set?: WireAttributes;
}

/** Checked attributes. */
export interface WireAttributes {
  readonly communities: readonly string[];
  readonly largeCommunities: readonly string[];
  readonly localPref: number | undefined;
  readonly med: number | undefined;
  readonly prepend: { readonly asn: number; readonly times: number } | undefined;
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
      const set = direction === "import" ? undefined : checkAttributes(check, `peers[${i}].exportAttributes`, policy);
      const accept = { neighborSet, accept: true, ...(set === undefined ? {} : { set }) };
      if (wanted === "own") {
        statements[direction].push({ name: `${name} own`, localPathsOnly: true, ...accept });
      } else if (wanted !== "all") {
        const field = `peers[${i}].${direction}Prefixes`;
        const prefixes =
          check.list(field, wanted, 100_000) && wanted.map((match, j) => checkMatch(check, `${field}[${j}]`, match));
        // A prefix set holds one family; an empty set would match nothing and is left out.
        for (const family of ["ipv4-unicast", "ipv6-unicast"] satisfies Family[]) {
          const ofFamily = prefixes.filter((match) => match.prefix.family === family);
          if (ofFamily.length === 0) continue;
          const prefixSet = `${name} ${family}`;
          prefixSets.push({ name: prefixSet, prefixes: ofFamily });
          statements[direction].push({ name: prefixSet, prefixSet, ...accept });
        }
      }
      const rest = wanted === "all" ? accept : { neighborSet, accept: false };
      statements[direction].push({ name: `${name} rest`, ...rest });
    }
  }
  return { prefixSets, neighborSets, ...statements, acceptByDefault: unlisted === "accept" };
}

function checkAttributes(check: Check, field: string, policy: PeerPolicy): WireAttributes | undefined {
  const wanted = policy.exportAttributes;
  if (wanted === undefined) return undefined;
  const texts = (name: string, values: unknown, parse: (text: string) => unknown, form: string): string[] =>
    check.list(`${field}.${name}`, values ?? [], 255).map((value, i) => {
      if (typeof value === "string" && parse(value) !== undefined) return value;
      return check.fail(`${field}.${name}[${i}]`, `"${String(value).slice(0, 60)}" is not of the form ${form}`);
    });
  const { prepend } = wanted;
  return {
    communities: texts("communities", wanted.communities, parseCommunity, "0..65535:0..65535"),
    largeCommunities: texts("largeCommunities", wanted.largeCommunities, parseLargeCommunity, "N:N:N, each 32 bits"),
    localPref: check.optionalInteger(`${field}.localPref`, wanted.localPref, 0, 0xffffffff),
    med: check.optionalInteger(`${field}.med`, wanted.med, 0, 0xffffffff),
    prepend: prepend && {
      asn: check.asn(`${field}.prepend.asn`, prepend.asn),
      times: check.integer(`${field}.prepend.times`, prepend.times, 1, 255),
    },
  };
}

function checkMatch(check: Check, field: string, match: PrefixMatch): PolicyPrefix {
  const prefix = check.prefix(`${field}.prefix`, match.prefix);
  const bits = prefix.family === "ipv4-unicast" ? 32 : 128;
  const minLength = check.integer(`${field}.minLength`, match.minLength ?? prefix.length, prefix.length, bits);
  const maxLength = check.integer(`${field}.maxLength`, match.maxLength ?? minLength, minLength, bits);
  return { prefix, minLength, maxLength };
}
