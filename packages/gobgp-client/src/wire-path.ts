import { formatCommunity, formatLargeCommunity, type LargeCommunity } from "./community.ts";
import type { Path as Path3 } from "./gen/gobgp3_pb.js";
import type { Path as Path4 } from "./gen/gobgp4_pb.js";
import { canonicalAddress, parsePrefix } from "./ip.ts";
import { origins, type Path, type WirePath } from "./path.ts";
import { familyFromWire } from "./wire-peer.ts";

/** AsSegment types are alike in both dialects. */
const asSet = 1;
const asSequence = 2;

/** The attributes of a path, tagged as 4.x tags them. 3.x carries the same messages inside `google.protobuf.Any`. */
export type WireAttribute =
  | { readonly case: "origin"; readonly value: { readonly origin: number } }
  | { readonly case: "asPath"; readonly value: { segments: { type: number; numbers: number[] }[] } }
  | { readonly case: "nextHop"; readonly value: { readonly nextHop: string } }
  | { readonly case: "mpReach"; readonly value: { readonly nextHops: readonly string[] } }
  | { readonly case: "multiExitDisc"; readonly value: { readonly med: number } }
  | { readonly case: "localPref"; readonly value: { readonly localPref: number } }
  | { readonly case: "communities"; readonly value: { communities: number[] } }
  | { readonly case: "largeCommunities"; readonly value: { communities: LargeCommunity[] } };

/** All attributes but the next hop, which depends on family and dialect. */
export function attributesOf(path: WirePath): WireAttribute[] {
  const attributes: WireAttribute[] = [{ case: "origin", value: { origin: path.origin } }];
  if (path.asPath.length > 0) {
    attributes.push({ case: "asPath", value: { segments: [{ type: asSequence, numbers: [...path.asPath] }] } });
  }
  if (path.med !== undefined) attributes.push({ case: "multiExitDisc", value: { med: path.med } });
  if (path.localPref !== undefined) attributes.push({ case: "localPref", value: { localPref: path.localPref } });
  if (path.communities.length > 0) {
    attributes.push({ case: "communities", value: { communities: [...path.communities] } });
  }
  if (path.largeCommunities.length > 0) {
    attributes.push({ case: "largeCommunities", value: { communities: [...path.largeCommunities] } });
  }
  return attributes;
}

/** A path as the daemon sent it; undefined if it is of a family other than IPv4 and IPv6 unicast. */
export function pathFromWire(
  message: Path3 | Path4,
  nlri: { readonly prefix: string; readonly prefixLen: number } | undefined,
  attributes: Iterable<WireAttribute>,
): Path | undefined {
  if (!nlri || !familyFromWire(message.family)) return undefined;
  const prefix = parsePrefix(`${nlri.prefix}/${nlri.prefixLen}`);
  if (typeof prefix === "string") return undefined;
  let nextHop: string | undefined;
  let origin: Path["origin"];
  let asPath: Path["asPath"] = [];
  let communities: string[] = [];
  let largeCommunities: string[] = [];
  let localPref: number | undefined;
  let med: number | undefined;
  for (const { case: kind, value } of attributes) {
    if (kind === "origin") origin = origins[value.origin];
    else if (kind === "nextHop") nextHop = canonicalAddress(value.nextHop);
    else if (kind === "mpReach") nextHop = canonicalAddress(value.nextHops[0] ?? "");
    else if (kind === "multiExitDisc") med = value.med;
    else if (kind === "localPref") localPref = value.localPref;
    else if (kind === "communities") communities = value.communities.map(formatCommunity);
    else if (kind === "largeCommunities") largeCommunities = value.communities.map(formatLargeCommunity);
    else if (kind === "asPath") {
      asPath = value.segments.flatMap((segment): Path["asPath"] =>
        segment.type === asSet ? [segment.numbers] : segment.numbers,
      );
    }
  }
  return {
    family: prefix.family,
    prefix: `${prefix.address}/${prefix.length}`,
    nextHop,
    origin,
    asPath,
    communities,
    largeCommunities,
    localPref,
    med,
    best: message.best,
    // A path added locally has no neighbour; the daemon then writes "<nil>" or "invalid IP".
    neighbor: canonicalAddress(message.neighborIp),
    filtered: message.filtered,
    stale: message.stale,
  };
}
