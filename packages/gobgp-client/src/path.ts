import { Check } from "./check.ts";
import { type LargeCommunity, parseCommunity, parseLargeCommunity } from "./community.ts";
import { type Family, familyOf, type Prefix } from "./ip.ts";

export const origins = ["igp", "egp", "incomplete"] as const;
export type Origin = (typeof origins)[number];

/** A path to advertise. */
export interface PathConfig {
  /** Network without host bits: `192.0.2.1/32`, `2001:db8::1/128`. */
  readonly prefix: string;
  /** Of the prefix's own family. `0.0.0.0` or `::` means this speaker's address on each session. */
  readonly nextHop: string;
  /** Default `igp`. */
  readonly origin?: Origin;
  /** AS path before the speaker puts its own AS number in front: repeat your own number to prepend it. */
  readonly asPath?: readonly number[];
  /** RFC 1997, `65000:1`. */
  readonly communities?: readonly string[];
  /** RFC 8092, `65000:1:2`. */
  readonly largeCommunities?: readonly string[];
  /** Sent only over sessions inside the own AS. */
  readonly localPref?: number;
  readonly med?: number;
}

/** A path as the daemon has it. */
export interface Path {
  readonly family: Family;
  /** Canonical, with length. */
  readonly prefix: string;
  readonly nextHop: string | undefined;
  readonly origin: Origin | undefined;
  /** An AS_SET is a list in the list. */
  readonly asPath: readonly (number | readonly number[])[];
  readonly communities: readonly string[];
  readonly largeCommunities: readonly string[];
  readonly localPref: number | undefined;
  readonly med: number | undefined;
  /** Selected: always in a watch's routes, and for the first path of a prefix when the global table is listed. */
  readonly best: boolean;
  /** Address of the peer it came from; undefined for a path added through this interface. */
  readonly neighbor: string | undefined;
  /** Refused by import policy; set when listing `adj-in`. */
  readonly filtered: boolean;
  /** Kept although the peer restarts (RFC 4724). */
  readonly stale: boolean;
}

/** A checked path in numbers. */
export interface WirePath {
  readonly prefix: Prefix;
  readonly nextHop: string;
  readonly origin: number;
  readonly asPath: readonly number[];
  readonly communities: readonly number[];
  readonly largeCommunities: readonly LargeCommunity[];
  readonly localPref: number | undefined;
  readonly med: number | undefined;
}

export type PathQuery =
  | { readonly table: "global"; readonly family: Family; readonly prefix?: string }
  | {
      readonly table: "adj-in" | "adj-out";
      readonly family: Family;
      readonly neighbor: string;
      readonly prefix?: string;
    };

export function checkPath(config: PathConfig): WirePath {
  const check: Check = new Check(`path ${String(config.prefix).slice(0, 60)}`);
  const prefix = check.prefix("prefix", config.prefix);
  const nextHop = check.address("nextHop", config.nextHop);
  if (familyOf(nextHop) !== prefix.family) {
    check.fail("nextHop", `${nextHop} is not of the prefix's family (${prefix.family})`);
  }
  const parse = <T>(field: string, values: unknown, parser: (text: string) => T | undefined, form: string): T[] =>
    // RFC 4271 section 4.3: an attribute's length has 16 bits, and a message 4,096 bytes; 255 of a kind fit both.
    check.list(field, values ?? [], 255).map((value, i) => {
      const parsed = typeof value === "string" ? parser(value) : undefined;
      if (parsed === undefined)
        check.fail(`${field}[${i}]`, `"${String(value).slice(0, 60)}" is not of the form ${form}`);
      return parsed;
    });
  return {
    prefix,
    nextHop,
    origin: origins.indexOf(check.oneOf("origin", config.origin ?? "igp", origins)),
    asPath: check.list("asPath", config.asPath ?? [], 255).map((asn, i) => check.asn(`asPath[${i}]`, asn)),
    communities: parse("communities", config.communities, parseCommunity, "0..65535:0..65535"),
    largeCommunities: parse("largeCommunities", config.largeCommunities, parseLargeCommunity, "N:N:N, each 32 bits"),
    localPref: check.optionalInteger("localPref", config.localPref, 0, 0xffffffff),
    med: check.optionalInteger("med", config.med, 0, 0xffffffff),
  };
}
