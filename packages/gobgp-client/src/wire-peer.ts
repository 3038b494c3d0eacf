import { type Timestamp, timestampDate } from "@bufbuild/protobuf/wkt";
import type { Peer as Peer3 } from "./gen/gobgp3_pb.js";
import type { Peer as Peer4 } from "./gen/gobgp4_pb.js";
import { canonicalAddress, type Family } from "./ip.ts";
import { type AdminState, type Peer, type PeerSession, sessionStates, type WirePeer } from "./peer.ts";

/** AFI and SAFI have the same numbers in both dialects: IANA's. */
export function familyInit(family: Family): { afi: number; safi: number } {
  return { afi: family === "ipv4-unicast" ? 1 : 2, safi: 1 };
}

export function familyFromWire(family: { afi: number; safi: number } | undefined): Family | undefined {
  if (family?.safi !== 1) return undefined;
  return family.afi === 1 ? "ipv4-unicast" : family.afi === 2 ? "ipv6-unicast" : undefined;
}

/** A neighbour in the fields that both dialects number alike. */
export function peerInit(peer: WirePeer) {
  return {
    conf: {
      authPassword: peer.password,
      description: peer.description,
      localAsn: peer.localAsn ?? 0,
      neighborAddress: peer.address,
      peerAsn: peer.peerAsn,
    },
    ebgpMultihop: { enabled: peer.multihopTtl > 0, multihopTtl: peer.multihopTtl },
    ttlSecurity: { enabled: peer.ttlMin > 0, ttlMin: peer.ttlMin },
    timers: {
      config: {
        connectRetry: BigInt(peer.connectRetry),
        holdTime: BigInt(peer.holdTime),
        keepaliveInterval: BigInt(peer.keepalive),
        idleHoldTimeAfterReset: BigInt(peer.idleHold),
      },
    },
    transport: {
      localAddress: peer.localAddress,
      passiveMode: peer.passive,
      remotePort: peer.remotePort,
      bindInterface: peer.bindInterface,
    },
    gracefulRestart: {
      enabled: peer.restartTime > 0,
      restartTime: peer.restartTime,
      helperOnly: peer.helperOnly,
      notificationEnabled: peer.notification,
      deferralTime: peer.deferral,
      localRestarting: peer.restarting,
    },
    afiSafis: peer.families.map(({ family, maxPrefixes }) => ({
      config: { family: familyInit(family), enabled: true },
      mpGracefulRestart: { config: { enabled: peer.restartTime > 0 && !peer.helperOnly } },
      ...(maxPrefixes > 0 ? { prefixLimits: { family: familyInit(family), maxPrefixes } } : {}),
    })),
  };
}

type PeerMessage = Peer3 | Peer4;

/** @param adminUp the dialect's number for "up"; "down" and "prefix limit" follow it. */
export function sessionFromWire(peer: PeerMessage, adminUp: number): PeerSession {
  const address = peer.state?.neighborAddress || peer.conf?.neighborAddress || "";
  const adminStates: readonly AdminState[] = ["up", "down", "prefix-limit"];
  return {
    address: canonicalAddress(address) ?? address,
    peerAsn: peer.state?.peerAsn || (peer.conf?.peerAsn ?? 0),
    state: sessionStates[peer.state?.sessionState ?? 0] ?? "unknown",
    adminState: adminStates[(peer.state?.adminState ?? 0) - adminUp] ?? "up",
    routerId: canonicalAddress(peer.state?.routerId ?? ""),
  };
}

export function peerFromWire(peer: PeerMessage, adminUp: number, bfd: Peer["bfd"]): Peer {
  const session = sessionFromWire(peer, adminUp);
  return {
    ...session,
    description: peer.conf?.description ?? "",
    localAsn: peer.conf?.localAsn ?? 0,
    negotiatedHoldTimeSeconds: Number(peer.timers?.state?.negotiatedHoldTime ?? 0),
    keepaliveSeconds: Number(peer.timers?.state?.keepaliveInterval ?? 0),
    upSince: session.state === "established" ? dateOf(peer.timers?.state?.uptime) : undefined,
    flaps: peer.state?.flops ?? 0,
    peerRestartTimeSeconds: peer.gracefulRestart?.peerRestartTime ?? 0,
    families: peer.afiSafis.flatMap((entry) => {
      const family = familyFromWire(entry.config?.family);
      if (!family) return [];
      const gr = entry.mpGracefulRestart?.state;
      return [
        {
          family,
          received: Number(entry.state?.received ?? 0),
          accepted: Number(entry.state?.accepted ?? 0),
          advertised: Number(entry.state?.advertised ?? 0),
          maxPrefixes: entry.prefixLimits?.maxPrefixes || undefined,
          gracefulRestart: { received: gr?.received ?? false, endOfRibReceived: gr?.endOfRibReceived ?? false },
        },
      ];
    }),
    bfd,
  };
}

function dateOf(timestamp: Timestamp | undefined): Date | undefined {
  return timestamp && timestampDate(timestamp);
}

/**
 * Whether a listed neighbour is configured as wanted. What the daemon does not report truly is not compared: the idle
 * hold time (3.10 ignores it and reports its default) and the local address when none was asked for. Nor is what is said
 * once, when it begins: that we restart.
 */
export function isConfiguredAs(listed: PeerMessage, wanted: WirePeer): boolean {
  const want = peerInit(wanted);
  const { conf, timers, transport, gracefulRestart: gr, ebgpMultihop, ttlSecurity } = listed;
  const config = timers?.config;
  return (
    conf?.authPassword === want.conf.authPassword &&
    conf.description === want.conf.description &&
    conf.peerAsn === want.conf.peerAsn &&
    (wanted.localAsn === undefined || conf.localAsn === wanted.localAsn) &&
    (ebgpMultihop?.enabled ? ebgpMultihop.multihopTtl : 0) === wanted.multihopTtl &&
    (ttlSecurity?.enabled ? ttlSecurity.ttlMin : 0) === wanted.ttlMin &&
    config?.connectRetry === want.timers.config.connectRetry &&
    config.holdTime === want.timers.config.holdTime &&
    config.keepaliveInterval === want.timers.config.keepaliveInterval &&
    transport?.passiveMode === wanted.passive &&
    transport.bindInterface === wanted.bindInterface &&
    (transport.remotePort || 179) === wanted.remotePort &&
    (wanted.localAddress === "" || canonicalAddress(transport.localAddress) === wanted.localAddress) &&
    (gr?.enabled ? gr.restartTime : 0) === wanted.restartTime &&
    (gr?.helperOnly ?? false) === wanted.helperOnly &&
    (gr?.notificationEnabled ?? false) === wanted.notification &&
    familiesText(listed) ===
      wanted.families
        .map((f) => `${f.family} ${f.maxPrefixes}`)
        .toSorted()
        .join()
  );
}

function familiesText(peer: PeerMessage): string {
  return peer.afiSafis
    .map((entry) => `${familyFromWire(entry.config?.family)} ${entry.prefixLimits?.maxPrefixes ?? 0}`)
    .toSorted()
    .join();
}
