import { isDeepStrictEqual } from "node:util";
import type { Cidr, Ip } from "#shared/net/ip.ts";
import type { OwnPath, SessionConfig, SessionWithPolicy, SpeakerGlobal } from "./bgp-speaker.ts";
import type { DesiredState } from "./desired-state.ts";

/** What one run of the daemon has been told. */
export interface SpeakerState {
  readonly global: SpeakerGlobal | undefined;
  /** Sessions that the daemon has. */
  readonly sessions: ReadonlyMap<Ip, SessionConfig>;
  /** Policies in force, by session. */
  readonly policies: ReadonlyMap<Ip, SessionWithPolicy>;
  readonly paths: ReadonlyMap<Cidr, OwnPath>;
}

export const EMPTY_SPEAKER: SpeakerState = {
  global: undefined,
  sessions: new Map(),
  policies: new Map(),
  paths: new Map(),
};

export type SpeakerChange =
  | { readonly type: "start"; readonly global: SpeakerGlobal }
  | { readonly type: "withdraw"; readonly prefix: Cidr }
  | { readonly type: "announce"; readonly path: OwnPath }
  | { readonly type: "remove-session"; readonly address: Ip }
  | { readonly type: "set-policies"; readonly policies: ReadonlyMap<Ip, SessionWithPolicy> }
  | { readonly type: "add-session"; readonly session: SessionConfig };

/**
 * The changes that turn what the daemon has been told into what is wanted, in the order that is safe to stop after
 * each: first nothing attracts traffic that should not be attracted; a session starts only with its policies in force
 * and all paths in place. Sessions and paths that do not differ are not touched. The daemon's global settings hold
 * until it is started anew.
 */
export function planSpeaker(desired: DesiredState, told: SpeakerState): SpeakerChange[] {
  const wanted = wantedSpeaker(desired);
  const changes: SpeakerChange[] = [];
  for (const prefix of told.paths.keys()) if (!wanted.paths.has(prefix)) changes.push({ type: "withdraw", prefix });
  if (told.global === undefined) {
    if (wanted.global === undefined) return changes;
    changes.push({ type: "start", global: wanted.global });
  }
  for (const [address, session] of told.sessions) {
    if (!isDeepStrictEqual(wanted.sessions.get(address), session)) changes.push({ type: "remove-session", address });
  }
  if (!isDeepStrictEqual(wanted.policies, told.policies)) {
    changes.push({ type: "set-policies", policies: wanted.policies });
  }
  for (const [prefix, path] of wanted.paths) {
    if (!isDeepStrictEqual(told.paths.get(prefix), path)) changes.push({ type: "announce", path });
  }
  for (const [address, session] of wanted.sessions) {
    if (!isDeepStrictEqual(told.sessions.get(address), session)) changes.push({ type: "add-session", session });
  }
  return changes;
}

/** What the daemon has been told after one more change. */
export function afterChange(told: SpeakerState, change: SpeakerChange): SpeakerState {
  switch (change.type) {
    case "start":
      return { ...told, global: change.global };
    case "withdraw":
      return { ...told, paths: without(told.paths, change.prefix) };
    case "announce":
      return { ...told, paths: new Map(told.paths).set(change.path.prefix, change.path) };
    case "remove-session":
      return { ...told, sessions: without(told.sessions, change.address) };
    case "set-policies":
      return { ...told, policies: change.policies };
    case "add-session":
      return { ...told, sessions: new Map(told.sessions).set(change.session.address, change.session) };
  }
}

/**
 * Sessions to begin anew. gobgpd 3.10 waits 30 s in Idle after a router ended a session, whatever it is told; a fresh
 * session connects at once.
 * @param keeping routers whose routes are being kept while they restart (RFC 4724): they would go.
 */
export function idleTooLong(
  told: SpeakerState,
  idleSinceMs: ReadonlyMap<Ip, number>,
  keeping: ReadonlySet<Ip>,
  nowMs: number,
): SessionConfig[] {
  return [...told.sessions.values()].filter((session) => {
    const sinceMs = idleSinceMs.get(session.address);
    return (
      sinceMs !== undefined && !keeping.has(session.address) && nowMs - sinceMs >= session.connectRetrySeconds * 1000
    );
  });
}

/** The state in which `planSpeaker` has nothing left to do, but for global settings that are already fixed. */
export function wantedSpeaker(desired: DesiredState): SpeakerState {
  const sessions = new Map<Ip, SessionConfig>();
  const policies = new Map<Ip, SessionWithPolicy>();
  for (const peer of desired.peers) {
    if (peer.type !== "session") continue;
    sessions.set(peer.session.address, peer.session);
    policies.set(peer.session.address, { session: peer.session, policy: peer.policy });
  }
  return {
    global: desired.global,
    sessions,
    policies,
    paths: new Map(desired.paths.map((path) => [path.prefix, path])),
  };
}

function without<K, V>(map: ReadonlyMap<K, V>, key: K): Map<K, V> {
  const copy = new Map(map);
  copy.delete(key);
  return copy;
}
