import type { BgpGlobal } from "./global.ts";
import type { CallOptions } from "./grpc-channel.ts";
import type { Family } from "./ip.ts";
import type { Path, PathQuery, WirePath } from "./path.ts";
import type { Peer, PeerSession, WirePeer } from "./peer.ts";
import type { PolicyPlan } from "./policy.ts";

/** The two interfaces of gobgpd: `apipb.GobgpApi` (3.x) and `api.GoBgpService` (4.x). */
export type DialectName = "3.x" | "4.x";

type WatchKind = "peers" | "best-paths";

export type WatchMessage =
  | { readonly kind: "peer-init" | "peer-state"; readonly session: PeerSession }
  | { readonly kind: "peer-init-end" }
  | { readonly kind: "paths"; readonly paths: readonly { readonly path: Path; readonly withdrawn: boolean }[] };

export interface ListedPeer {
  readonly peer: Peer;
  /** Whether the daemon's configuration of it is the wanted one, as far as the daemon reports it. */
  readonly isConfiguredAs: (wanted: WirePeer) => boolean;
}

/** One version's wire format behind version-neutral types. Calls throw the channel's errors as they are. */
export interface Dialect {
  readonly name: DialectName;
  /** Undefined while BGP is not started. */
  getBgp(options: CallOptions): Promise<BgpGlobal | undefined>;
  startBgp(global: BgpGlobal & { readonly bindToDevice?: string }, options: CallOptions): Promise<void>;
  stopBgp(options: CallOptions): Promise<void>;
  addPeer(peer: WirePeer, options: CallOptions): Promise<void>;
  deletePeer(address: string, options: CallOptions): Promise<void>;
  listPeers(address: string, options: CallOptions): Promise<ListedPeer[]>;
  addPath(path: WirePath, options: CallOptions): Promise<void>;
  deletePath(family: Family, address: string, length: number, options: CallOptions): Promise<void>;
  listPaths(query: PathQuery, options: CallOptions): Promise<Path[]>;
  /** Defines sets and policies, then assigns them. */
  setPolicies(plan: PolicyPlan, options: CallOptions): Promise<void>;
  /** Applies the policies to what was received before, and sends again what they let out (RFC 2918). */
  softReset(options: CallOptions): Promise<void>;
  watch(kind: WatchKind, options: CallOptions): AsyncIterable<WatchMessage>;
}
