import { cidr, ip } from "#shared/net/ip.ts";
import type { LearnedPath } from "./bgp-speaker.ts";
import type { DesiredPeer, DesiredState } from "./desired-state.ts";

/** A router with a session that may announce a default route. */
export const session = (address: string): Extract<DesiredPeer, { type: "session" }> => ({
  type: "session",
  name: address,
  interface: "ext",
  session: {
    address: ip(address),
    port: 179,
    asn: 1,
    localAsn: 2,
    localAddress: ip("192.0.2.10"),
    families: [4],
    ttlSecurity: false,
    multihopTtl: 0,
    holdTimeSeconds: 9,
    keepaliveSeconds: 3,
    connectRetrySeconds: 1,
    maxPrefixes: 10,
  },
  policy: {
    import: [{ prefix: cidr("0.0.0.0/0"), minLength: 0, maxLength: 0 }],
    export: { communities: [], largeCommunities: [], prepend: 0 },
  },
});

export const learned = (peer: string, prefix: string, nextHop = peer): LearnedPath => ({
  peer: ip(peer),
  prefix: cidr(prefix),
  nextHop: ip(nextHop),
});

export const state = (peers: DesiredState["peers"]): DesiredState => ({
  peers,
  paths: [],
  readyFamilies: [],
  global: undefined,
});
