import { Check } from "./check.ts";
import type { Family } from "./ip.ts";

export interface PeerFamily {
  readonly family: Family;
  /** More prefixes than this from the peer end the session (RFC 4486 subcode 1). */
  readonly maxPrefixes?: number;
}

/** One BGP neighbour. Times are in seconds, as BGP carries them. */
export interface PeerConfig {
  readonly address: string;
  readonly peerAsn: number;
  /** Default: the speaker's own. */
  readonly localAsn?: number;
  readonly description?: string;
  /** TCP MD5 (RFC 2385): 1 to 80 bytes. */
  readonly password?: string;
  /** RFC 5082: packets that arrive with a lower TTL are dropped. 255 for a directly connected peer. */
  readonly ttlSecurity?: { readonly ttlMin: number };
  /** Excludes `ttlSecurity`. */
  readonly multihop?: { readonly ttl: number };
  readonly timers?: PeerTimers;
  /** Wait for the peer to connect. */
  readonly passive?: boolean;
  readonly localAddress?: string;
  readonly bindInterface?: string;
  /** Default 179. */
  readonly remotePort?: number;
  /** What the session carries; IPv4 and IPv6 may share one. Default: the family of `address`. */
  readonly families?: readonly PeerFamily[];
  /** RFC 4724. */
  readonly gracefulRestart?: PeerGracefulRestart;
  /** RFC 5880/5881 inside the daemon: gobgpd 4.5 or newer. */
  readonly bfd?: PeerBfd;
}

export interface PeerTimers {
  /** 3 to 65535; the daemon reads 0 as its default, 90. */
  readonly holdTimeSeconds?: number;
  /** Default: a third of the hold time. */
  readonly keepaliveSeconds?: number;
  /** Default 120. */
  readonly connectRetrySeconds?: number;
  /** Default 30. gobgpd 3.10 ignores it and uses 30; newer 3.x and 4.x follow it. */
  readonly idleHoldAfterResetSeconds?: number;
}

export interface PeerGracefulRestart {
  /** How long the peer is asked to keep our routes while we restart: 1 to 4095. */
  readonly restartTimeSeconds: number;
  /** Keep the peer's routes while it restarts, but do not ask for the same. */
  readonly helperOnly?: boolean;
  /** RFC 8538: also across NOTIFICATION messages and hold timer expiry. */
  readonly notification?: boolean;
  /**
   * We have restarted and the kernel forwards as before: said to the peer (RFC 4724, section 4.1), which then keeps our
   * routes until we have sent them again: when all such peers have sent their End-of-RIB, or after `deferralSeconds`.
   * Newer daemons than 3.10 do not wait for peers that are not there yet, and say it to none that comes later.
   */
  readonly restarting?: boolean;
  /** While restarting: after this long with a peer its End-of-RIB is not waited for. Default 360. */
  readonly deferralSeconds?: number;
}

export interface PeerBfd {
  readonly desiredMinTxMs: number;
  readonly requiredMinRxMs: number;
  readonly detectMultiplier: number;
  /** Default 3784. */
  readonly port?: number;
}

export const sessionStates = [
  "unknown",
  "idle",
  "connect",
  "active",
  "open-sent",
  "open-confirm",
  "established",
] as const;
export type SessionState = (typeof sessionStates)[number];

/** `prefix-limit`: taken down because the peer sent more than `maxPrefixes`. */
export type AdminState = "up" | "down" | "prefix-limit";

/** A session as events carry it. */
export interface PeerSession {
  readonly address: string;
  readonly peerAsn: number;
  readonly state: SessionState;
  readonly adminState: AdminState;
  /** Of the peer, once it has said it. */
  readonly routerId: string | undefined;
}

/** A neighbour as the daemon lists it. */
export interface Peer extends PeerSession {
  readonly description: string;
  readonly localAsn: number;
  readonly negotiatedHoldTimeSeconds: number;
  readonly keepaliveSeconds: number;
  readonly upSince: Date | undefined;
  /** Times the session went down. */
  readonly flaps: number;
  /** The peer's own restart time; 0 if it did not offer graceful restart. */
  readonly peerRestartTimeSeconds: number;
  readonly families: readonly PeerFamilyState[];
  /** Only where the daemon does BFD. */
  readonly bfd: "up" | "down" | "admin-down" | "init" | undefined;
}

export interface PeerFamilyState {
  readonly family: Family;
  readonly received: number;
  readonly accepted: number;
  readonly advertised: number;
  readonly maxPrefixes: number | undefined;
  readonly gracefulRestart: { readonly received: boolean; readonly endOfRibReceived: boolean };
}

/** A checked neighbour with defaults filled in: what is sent, and what `updatePeer` compares with. */
export interface WirePeer {
  readonly address: string;
  readonly peerAsn: number;
  readonly localAsn: number | undefined;
  readonly description: string;
  readonly password: string;
  readonly ttlMin: number;
  readonly multihopTtl: number;
  readonly holdTime: number;
  readonly keepalive: number;
  readonly connectRetry: number;
  readonly idleHold: number;
  readonly passive: boolean;
  readonly localAddress: string;
  readonly bindInterface: string;
  readonly remotePort: number;
  readonly families: readonly { readonly family: Family; readonly maxPrefixes: number }[];
  readonly restartTime: number;
  readonly helperOnly: boolean;
  readonly notification: boolean;
  readonly restarting: boolean;
  readonly deferral: number;
  readonly bfd: PeerBfd | undefined;
}

const families: readonly Family[] = ["ipv4-unicast", "ipv6-unicast"];

export function checkPeer(config: PeerConfig): WirePeer {
  const check: Check = new Check(`peer ${String(config.address).slice(0, 60)}`);
  const address = check.address("address", config.address);
  if (config.multihop && config.ttlSecurity) check.fail("multihop", "excludes ttlSecurity; keep one of them");
  const holdTime = check.integer("timers.holdTimeSeconds", config.timers?.holdTimeSeconds ?? 90, 3, 65535);
  const keepalive = config.timers?.keepaliveSeconds ?? Math.max(1, Math.floor(holdTime / 3));
  const gr = config.gracefulRestart;
  return {
    address,
    peerAsn: check.asn("peerAsn", config.peerAsn),
    localAsn: config.localAsn === undefined ? undefined : check.asn("localAsn", config.localAsn),
    description: checkText(check, "description", config.description, 255),
    password: checkPassword(check, config.password),
    ttlMin: check.optionalInteger("ttlSecurity.ttlMin", config.ttlSecurity?.ttlMin, 1, 255) ?? 0,
    multihopTtl: check.optionalInteger("multihop.ttl", config.multihop?.ttl, 1, 255) ?? 0,
    holdTime,
    keepalive: check.integer("timers.keepaliveSeconds", keepalive, 1, holdTime - 1),
    connectRetry: check.integer("timers.connectRetrySeconds", config.timers?.connectRetrySeconds ?? 120, 1, 65535),
    idleHold: check.integer(
      "timers.idleHoldAfterResetSeconds",
      config.timers?.idleHoldAfterResetSeconds ?? 30,
      1,
      65535,
    ),
    passive: config.passive ?? false,
    localAddress: config.localAddress === undefined ? "" : check.address("localAddress", config.localAddress),
    bindInterface: config.bindInterface === undefined ? "" : check.interface("bindInterface", config.bindInterface),
    remotePort: check.integer("remotePort", config.remotePort ?? 179, 1, 65535),
    families: checkFamilies(
      check,
      config.families ?? [{ family: address.includes(":") ? "ipv6-unicast" : "ipv4-unicast" }],
    ),
    // RFC 4724 section 3: the restart time has 12 bits.
    restartTime: gr ? check.integer("gracefulRestart.restartTimeSeconds", gr.restartTimeSeconds, 1, 4095) : 0,
    helperOnly: gr?.helperOnly ?? false,
    notification: gr?.notification ?? false,
    restarting: gr?.restarting ?? false,
    deferral: check.optionalInteger("gracefulRestart.deferralSeconds", gr?.deferralSeconds, 1, 18_000) ?? 0,
    bfd: config.bfd && checkBfd(check, config.bfd),
  };
}

function checkFamilies(check: Check, list: readonly PeerFamily[]): WirePeer["families"] {
  check.list("families", list, families.length);
  if (list.length === 0) check.fail("families", "is empty; name ipv4-unicast, ipv6-unicast or both");
  const seen = new Set<Family>();
  return list.map((entry, i) => {
    const family = check.oneOf(`families[${i}].family`, entry.family, families);
    if (seen.has(family)) check.fail(`families[${i}].family`, `${family} is named twice`);
    seen.add(family);
    return {
      family,
      maxPrefixes: check.optionalInteger(`families[${i}].maxPrefixes`, entry.maxPrefixes, 1, 0xffffffff) ?? 0,
    };
  });
}

function checkBfd(check: Check, bfd: PeerBfd): PeerBfd {
  return {
    desiredMinTxMs: check.integer("bfd.desiredMinTxMs", bfd.desiredMinTxMs, 1, 60_000),
    requiredMinRxMs: check.integer("bfd.requiredMinRxMs", bfd.requiredMinRxMs, 1, 60_000),
    detectMultiplier: check.integer("bfd.detectMultiplier", bfd.detectMultiplier, 1, 255),
    port: check.integer("bfd.port", bfd.port ?? 3784, 1, 65535),
  };
}

/** The kernel's TCP_MD5SIG_MAXKEYLEN is 80; the message never quotes the password. */
function checkPassword(check: Check, password: unknown): string {
  if (password === undefined) return "";
  const bytes = typeof password === "string" ? Buffer.byteLength(password) : 0;
  if (bytes < 1 || bytes > 80) check.fail("password", "must have 1 to 80 bytes");
  return checkText(check, "password", password, 80);
}

function checkText(check: Check, field: string, value: unknown, max: number): string {
  if (value === undefined) return "";
  // A lone surrogate would reach the daemon as a different text than the one given.
  if (typeof value !== "string" || value.includes("\0") || value.length > max || !value.isWellFormed()) {
    check.fail(field, `must be a text of at most ${max} characters without NUL`);
  }
  return value;
}
