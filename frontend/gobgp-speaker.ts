import {
  type SessionState as ClientState,
  GobgpClient,
  type Peer,
  type PeerConfig,
  type ExportAttributes as PeerExportAttributes,
  type Family as PeerFamilyName,
  UnsupportedByDaemonError,
} from "gobgp-client";
import type { BfdState } from "#shared/bfd/bfd-packet.ts";
import { type Cidr, type Family, type Ip, ip, parseCidr, parseIp } from "#shared/net/ip.ts";
import type {
  BgpSpeaker,
  ExportAttributes,
  LearnedPath,
  OwnPath,
  SessionConfig,
  SessionPhase,
  SessionReport,
  SessionWithPolicy,
  SpeakerGlobal,
} from "./bgp-speaker.ts";

const FAMILY_NAME: Readonly<Record<Family, PeerFamilyName>> = { 4: "ipv4-unicast", 6: "ipv6-unicast" };
/** Let the address of each session be the next hop. */
const SELF: Readonly<Record<Family, string>> = { 4: "0.0.0.0", 6: "::" };
const PHASES: Readonly<Record<ClientState, SessionPhase>> = {
  unknown: "Idle",
  idle: "Idle",
  connect: "Connect",
  active: "Active",
  "open-sent": "OpenSent",
  "open-confirm": "OpenConfirm",
  established: "Established",
};

const BFD_STATES: Readonly<Record<NonNullable<Peer["bfd"]>, BfdState>> = {
  up: "Up",
  down: "Down",
  init: "Init",
  "admin-down": "AdminDown",
};

/** gobgpd as a BgpSpeaker. */
export class GobgpSpeaker implements BgpSpeaker {
  readonly #client: GobgpClient;

  #doesBfd: boolean;

  private constructor(client: GobgpClient) {
    this.#client = client;
    this.#doesBfd = client.dialect !== "3.x";
  }

  get doesBfd(): boolean {
    return this.#doesBfd;
  }

  static async connect(socket: string): Promise<GobgpSpeaker> {
    return new GobgpSpeaker(await GobgpClient.connect({ address: `unix://${socket}` }));
  }

  async start(global: SpeakerGlobal): Promise<void> {
    // Multiple paths: an equal route from a second router is then an event of its own.
    await this.#client.startBgp({ ...global, useMultiplePaths: true });
  }

  async addSession(session: SessionConfig, restarting: boolean): Promise<void> {
    try {
      await this.#client.addPeer(peerConfig(session, restarting, this.#doesBfd));
    } catch (error) {
      // 4.0 to 4.4: only trying tells.
      if (!(error instanceof UnsupportedByDaemonError) || !this.#doesBfd) throw error;
      this.#doesBfd = false;
      await this.#client.addPeer(peerConfig(session, restarting, false));
    }
  }

  async removeSession(address: Ip): Promise<void> {
    await this.#client.deletePeer(address);
  }

  async setPolicies(policies: ReadonlyMap<Ip, SessionWithPolicy>): Promise<void> {
    const peers = [...policies].map(([address, { policy, session }]) => ({
      peer: address,
      importPrefixes: policy.import,
      exportPrefixes: "own" as const,
      exportAttributes: exportAttributes(policy.export, session.localAsn),
    }));
    await this.#client.setPeerPolicies({ peers });
  }

  async announce({ nextHop, prefix }: OwnPath): Promise<void> {
    await this.#client.addPath({ prefix, nextHop: nextHop ?? SELF[prefix.includes(":") ? 6 : 4] });
  }

  async withdraw(prefix: Cidr): Promise<void> {
    await this.#client.deletePath(prefix);
  }

  async sessions(): Promise<readonly SessionReport[]> {
    const peers = await this.#client.listPeers();
    return peers.map((peer) => ({
      address: ip(peer.address),
      phase: peer.adminState === "prefix-limit" ? "PrefixLimit" : PHASES[peer.state],
      ...(peer.bfd === undefined ? {} : { bfd: BFD_STATES[peer.bfd] }),
    }));
  }

  async learned(): Promise<readonly LearnedPath[]> {
    const families = [FAMILY_NAME[4], FAMILY_NAME[6]];
    const tables = await Promise.all(families.map((family) => this.#client.listPaths({ table: "global", family })));
    return tables.flat().flatMap((path) => {
      const peer = path.neighbor === undefined ? undefined : parseIp(path.neighbor);
      const nextHop = path.nextHop === undefined ? undefined : parseIp(path.nextHop);
      const prefix = parseCidr(path.prefix);
      return peer === undefined || nextHop === undefined || prefix === undefined ? [] : [{ peer, prefix, nextHop }];
    });
  }

  async watch(onChange: () => void, signal: AbortSignal): Promise<void> {
    const follow = async (events: AsyncIterable<unknown>): Promise<void> => {
      for await (const _ of events) onChange();
    };
    await Promise.all([follow(this.#client.watchPeers({ signal })), follow(this.#client.watchBestPaths({ signal }))]);
  }

  close(): void {
    this.#client.close();
  }
}

function exportAttributes(wanted: ExportAttributes, localAsn: number): PeerExportAttributes {
  const { communities, largeCommunities, localPreference, med, prepend } = wanted;
  return {
    communities,
    largeCommunities,
    ...(localPreference === undefined ? {} : { localPref: localPreference }),
    ...(med === undefined ? {} : { med }),
    ...(prepend === 0 ? {} : { prepend: { asn: localAsn, times: prepend } }),
  };
}

/** After a restart gobgpd waits for the routers' routes before it sends ours, which do not depend on them. */
const DEFERRAL_S = 1;

function peerConfig(session: SessionConfig, restarting: boolean, withBfd: boolean): PeerConfig {
  return {
    address: session.address,
    peerAsn: session.asn,
    localAsn: session.localAsn,
    localAddress: session.localAddress,
    remotePort: session.port,
    families: session.families.map((family) => ({ family: FAMILY_NAME[family], maxPrefixes: session.maxPrefixes })),
    timers: {
      holdTimeSeconds: session.holdTimeSeconds,
      keepaliveSeconds: session.keepaliveSeconds,
      connectRetrySeconds: session.connectRetrySeconds,
      idleHoldAfterResetSeconds: 1,
    },
    ...(session.password === undefined ? {} : { password: session.password }),
    ...(session.ttlSecurity ? { ttlSecurity: { ttlMin: 255 } } : {}),
    ...(session.multihopTtl > 0 ? { multihop: { ttl: session.multihopTtl } } : {}),
    ...(session.restartSeconds === undefined
      ? {}
      : {
          gracefulRestart: {
            restartTimeSeconds: session.restartSeconds,
            restarting,
            deferralSeconds: DEFERRAL_S,
          },
        }),
    ...(session.bfd === undefined || !withBfd
      ? {}
      : {
          bfd: {
            desiredMinTxMs: session.bfd.intervalMs,
            requiredMinRxMs: session.bfd.intervalMs,
            detectMultiplier: session.bfd.multiplier,
          },
        }),
  };
}
