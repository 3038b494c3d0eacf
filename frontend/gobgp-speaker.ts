import { isDeepStrictEqual } from "node:util";
import {
  type SessionState as ClientState,
  GobgpClient,
  type PathConfig,
  type PeerConfig,
  type Family as PeerFamilyName,
} from "gobgp-client";
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
/** What routers get: host routes, which import policies never let in; so nothing learned is passed on. */
const HOST_ROUTES = [
  { prefix: "0.0.0.0/0", minLength: 32, maxLength: 32 },
  { prefix: "::/0", minLength: 128, maxLength: 128 },
];
const PHASES: Readonly<Record<ClientState, SessionPhase>> = {
  unknown: "Idle",
  idle: "Idle",
  connect: "Connect",
  active: "Active",
  "open-sent": "OpenSent",
  "open-confirm": "OpenConfirm",
  established: "Established",
};

/** What paths carry; the AS number is there only when it is prepended. */
interface PathAttributes extends ExportAttributes {
  readonly prependAsn: number | undefined;
}

/** gobgpd as a BgpSpeaker. */
export class GobgpSpeaker implements BgpSpeaker {
  readonly #client: GobgpClient;
  readonly #paths = new Map<Cidr, OwnPath>();
  #attributes: PathAttributes | undefined;

  private constructor(client: GobgpClient) {
    this.#client = client;
  }

  static async connect(socket: string): Promise<GobgpSpeaker> {
    return new GobgpSpeaker(await GobgpClient.connect({ address: `unix://${socket}` }));
  }

  async start(global: SpeakerGlobal): Promise<void> {
    // Multiple paths: an equal route from a second router is then an event of its own.
    await this.#client.startBgp({ ...global, useMultiplePaths: true });
  }

  async addSession(session: SessionConfig): Promise<void> {
    await this.#client.addPeer(peerConfig(session));
  }

  async removeSession(address: Ip): Promise<void> {
    await this.#client.deletePeer(address);
  }

  /**
   * gobgpd's policies say here which prefixes pass; what a VIP is announced with is a property of the path and so the
   * same for all routers. A session that wants something else gets nothing rather than the wrong attributes: a missing
   * community may let a route out of its region.
   */
  async setPolicies(policies: ReadonlyMap<Ip, SessionWithPolicy>): Promise<ReadonlyMap<Ip, string>> {
    const refusals = new Map<Ip, string>();
    let common: { readonly address: Ip; readonly attributes: PathAttributes } | undefined;
    const peers = [...policies].map(([address, wanted]) => {
      const attributes = attributesOf(wanted);
      common ??= { address, attributes };
      if (isDeepStrictEqual(common.attributes, attributes)) {
        return { peer: address, importPrefixes: wanted.policy.import, exportPrefixes: HOST_ROUTES };
      }
      const problem = `spec.advertise differs from that of the BgpPeer with address ${common.address}; give both the same`;
      refusals.set(address, problem);
      return { peer: address, importPrefixes: [], exportPrefixes: [] };
    });
    await this.#client.setPeerPolicies({ peers });
    if (common !== undefined && !isDeepStrictEqual(this.#attributes, common.attributes)) {
      this.#attributes = common.attributes;
      await Promise.all([...this.#paths.values()].map((path) => this.announce(path)));
    }
    return refusals;
  }

  async announce(path: OwnPath): Promise<void> {
    await this.#client.addPath(pathConfig(path, this.#attributes));
    this.#paths.set(path.prefix, path);
  }

  async withdraw(prefix: Cidr): Promise<void> {
    await this.#client.deletePath(prefix);
    this.#paths.delete(prefix);
  }

  async sessions(): Promise<readonly SessionReport[]> {
    const peers = await this.#client.listPeers();
    return peers.map((peer) => ({
      address: ip(peer.address),
      phase: peer.adminState === "prefix-limit" ? "PrefixLimit" : PHASES[peer.state],
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

function attributesOf({ policy, session }: SessionWithPolicy): PathAttributes {
  return { ...policy.export, prependAsn: policy.export.prepend > 0 ? session.localAsn : undefined };
}

function pathConfig(path: OwnPath, attributes: PathAttributes | undefined): PathConfig {
  const { prefix } = path;
  const nextHop = path.nextHop ?? SELF[prefix.includes(":") ? 6 : 4];
  if (attributes === undefined) return { prefix, nextHop };
  const { communities, largeCommunities, localPreference, med, prepend, prependAsn } = attributes;
  return {
    prefix,
    nextHop,
    communities,
    largeCommunities,
    ...(localPreference === undefined ? {} : { localPref: localPreference }),
    ...(med === undefined ? {} : { med }),
    ...(prependAsn === undefined ? {} : { asPath: Array<number>(prepend).fill(prependAsn) }),
  };
}

function peerConfig(session: SessionConfig): PeerConfig {
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
      : { gracefulRestart: { restartTimeSeconds: session.restartSeconds } }),
    ...(session.bfd === undefined
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
