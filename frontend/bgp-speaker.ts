import type { BfdState } from "#shared/bfd/bfd-packet.ts";
import type { Cidr, Family, Ip } from "#shared/net/ip.ts";

/** The speaker's own settings; they hold for one run of the daemon. */
export interface SpeakerGlobal {
  readonly asn: number;
  /** RFC 6286: four bytes in the form of an IPv4 address. */
  readonly routerId: string;
  /** Own external addresses to accept sessions on. */
  readonly listenAddresses: readonly Ip[];
  readonly listenPort: number;
}

/** Wanted between packets both ways, and how many of them are waited for. */
export interface BfdSettings {
  readonly intervalMs: number;
  readonly multiplier: number;
}

/** One BGP session. A difference in any field means a new session. */
export interface SessionConfig {
  readonly address: Ip;
  readonly port: number;
  readonly asn: number;
  readonly localAsn: number;
  /** Own address of the session. */
  readonly localAddress: Ip;
  readonly families: readonly Family[];
  /** TCP MD5 key (RFC 2385). */
  readonly password?: string;
  /** GTSM (RFC 5082). */
  readonly ttlSecurity: boolean;
  /** 0: the router is on the link. */
  readonly multihopTtl: number;
  readonly holdTimeSeconds: number;
  readonly keepaliveSeconds: number;
  readonly connectRetrySeconds: number;
  /** RFC 4724; undefined: off. */
  readonly restartSeconds?: number;
  /** RFC 5880. A daemon without it takes the session all the same; see `doesBfd`. */
  readonly bfd?: BfdSettings;
  /** The session ends when the router announces more than this in a family. */
  readonly maxPrefixes: number;
}

/** Prefixes inside `prefix` whose length is between the bounds (inclusive). */
export interface PrefixRule {
  readonly prefix: Cidr;
  readonly minLength: number;
  readonly maxLength: number;
}

/** What a router is told about a VIP, beyond prefix and next hop. */
export interface ExportAttributes {
  readonly communities: readonly string[];
  readonly largeCommunities: readonly string[];
  readonly localPreference?: number;
  readonly med?: number;
  /** Times `localAsn` is prepended. */
  readonly prepend: number;
}

/** What passes over a session. Changing it does not end the session. */
export interface SessionPolicy {
  /** Accepted from the router; everything else is refused. */
  readonly import: readonly PrefixRule[];
  readonly export: ExportAttributes;
}

/** State names of RFC 4271 section 8.2.2; `PrefixLimit` when the router announced too much and the session was closed. */
export type SessionPhase = "Idle" | "Connect" | "Active" | "OpenSent" | "OpenConfirm" | "Established" | "PrefixLimit";

export interface SessionReport {
  readonly address: Ip;
  readonly phase: SessionPhase;
  /** Only where the daemon does BFD for the session. */
  readonly bfd?: BfdState;
}

/** A route that a router announced and the import policy accepted. */
export interface LearnedPath {
  readonly peer: Ip;
  readonly prefix: Cidr;
  readonly nextHop: Ip;
}

/** A path of our own. `nextHop` undefined: the own address of each session. */
export interface OwnPath {
  readonly prefix: Cidr;
  readonly nextHop: Ip | undefined;
}

/** One running BGP daemon. Every method rejects when the daemon refuses or cannot be reached. */
export interface BgpSpeaker {
  /** Whether the daemon keeps the BFD of its sessions itself, as far as is known by now. */
  readonly doesBfd: boolean;
  start(global: SpeakerGlobal): Promise<void>;
  /**
   * @param restarting tells the router that we have restarted and that the kernel forwards as before (RFC 4724, section
   * 4.1): it keeps the routes that it has of us until it has them anew.
   * @throws when there is a session with that address already.
   */
  addSession(session: SessionConfig, restarting: boolean): Promise<void>;
  /** Removing what is not there succeeds. */
  removeSession(address: Ip): Promise<void>;
  /**
   * Replaces the policies of all sessions, at once also for what was exchanged before; no session is reset. A session
   * without policy neither imports nor exports anything; learned routes are never passed on.
   */
  setPolicies(policies: ReadonlyMap<Ip, SessionWithPolicy>): Promise<void>;
  announce(path: OwnPath): Promise<void>;
  withdraw(prefix: Cidr): Promise<void>;
  sessions(): Promise<readonly SessionReport[]>;
  learned(): Promise<readonly LearnedPath[]>;
  /** Calls `onChange` whenever sessions or learned routes may have changed; ends when `signal` aborts. */
  watch(onChange: () => void, signal: AbortSignal): Promise<void>;
  close(): void;
}

/** What export and import policies are made of: the policy, and what its actions need to know of the session. */
export interface SessionWithPolicy {
  readonly session: SessionConfig;
  readonly policy: SessionPolicy;
}
