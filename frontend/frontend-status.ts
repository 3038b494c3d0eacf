import type { Cidr, Ip } from "#shared/net/ip.ts";
import type { PeerState } from "./peer-state.ts";
import type { ReturnRoute } from "./return-routes.ts";

/** What a frontend says of itself on `/status`. */
export interface FrontendStatus {
  /** Undefined while it is down. */
  readonly gobgpd: { readonly version: string; readonly pid: number } | undefined;
  readonly peers: readonly {
    readonly name: string;
    readonly address: Ip;
    readonly family: "IPv4" | "IPv6";
    readonly state: PeerState["state"];
    /** RFC 3339. */
    readonly since: string;
    readonly message: string;
    readonly isStatic: boolean;
    /** Undefined without BFD. */
    readonly bfd?: PeerState["bfd"];
  }[];
  readonly advertised: readonly Cidr[];
  readonly learned: readonly { readonly prefix: Cidr; readonly nextHops: readonly Ip[] }[];
  /** Why the proxy's file cannot be read now. */
  readonly programmedProblem: string | undefined;
  /** How often return routes were put back after somebody else had changed them, since the start. */
  readonly repairs: number;
}

export function frontendStatus(facts: {
  readonly gobgpd: { readonly version: string; readonly pid: number } | undefined;
  readonly states: readonly PeerState[];
  readonly advertised: readonly Cidr[];
  readonly routes: readonly ReturnRoute[];
  readonly programmedProblem: string | undefined;
  readonly repairs: number;
}): FrontendStatus {
  return {
    gobgpd: facts.gobgpd && { version: facts.gobgpd.version, pid: facts.gobgpd.pid },
    peers: facts.states.map(({ name, address, family, state, sinceMs, message, isStatic, bfd }) => ({
      name,
      address,
      family: family === 4 ? "IPv4" : "IPv6",
      state,
      since: new Date(sinceMs).toISOString(),
      message,
      isStatic,
      ...(bfd === undefined ? {} : { bfd }),
    })),
    advertised: facts.advertised,
    learned: facts.routes.map(({ prefix, nextHops }) => ({ prefix, nextHops: nextHops.map((hop) => hop.via) })),
    programmedProblem: facts.programmedProblem,
    repairs: facts.repairs,
  };
}
