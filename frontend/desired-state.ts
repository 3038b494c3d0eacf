import { createHash } from "node:crypto";
import type { BgpPeer } from "#shared/api/bgp-peer.ts";
import { type Secret, secretValue } from "#shared/api/core.ts";
import type { Gateway } from "#shared/api/gateway.ts";
import { selects } from "#shared/api/meta.ts";
import type { Programmed } from "#shared/instance/programmed.ts";
import {
  bigIntToIp,
  bitsOf,
  type Cidr,
  cidr,
  cidrSpan,
  FAMILIES,
  type Family,
  familyOf,
  hostCidr,
  type Ip,
} from "#shared/net/ip.ts";
import type { ObjectView } from "#shared/store/object-store.ts";
import type { BfdSettings, OwnPath, PrefixRule, SessionConfig, SessionPolicy, SpeakerGlobal } from "./bgp-speaker.ts";
import { type ExternalInterface, linkTo, ownAddress } from "./external-interface.ts";

/** A router as this instance is to use it. */
export type DesiredPeer =
  | {
      readonly type: "session";
      readonly name: string;
      readonly session: SessionConfig;
      readonly policy: SessionPolicy;
      readonly interface: string;
    }
  | {
      readonly type: "static";
      readonly name: string;
      readonly address: Ip;
      readonly families: readonly Family[];
      readonly interface: string;
      readonly localAddress: Ip;
      readonly bfd?: BfdSettings;
    }
  /** BFD says that it is gone: it is not used until BFD says that it is back. */
  | {
      readonly type: "silent";
      readonly name: string;
      readonly address: Ip;
      readonly families: readonly Family[];
      readonly isStatic: boolean;
    }
  /** It cannot be used as it is written; `problem` names field and fix. */
  | { readonly type: "refused"; readonly name: string; readonly address: Ip; readonly problem: string };

/** All that the frontend wants to be true, computed from objects, the proxy's file and our own addresses alone. */
export interface DesiredState {
  /** In order of the peers' names. */
  readonly peers: readonly DesiredPeer[];
  readonly paths: readonly OwnPath[];
  /** Families of which the proxy has at least one ready VIP. */
  readonly readyFamilies: readonly Family[];
  /** Undefined without any session. */
  readonly global: SpeakerGlobal | undefined;
}

export interface DesiredInputs {
  readonly view: ObjectView;
  readonly gateway: Gateway | undefined;
  readonly podName: string;
  readonly interfaces: readonly ExternalInterface[];
  /** Undefined: the proxy has programmed nothing yet. */
  readonly programmed: Programmed | undefined;
  readonly listenPort: number;
}

export function desiredState(inputs: DesiredInputs): DesiredState {
  const { gateway, interfaces, view } = inputs;
  if (gateway === undefined) return { peers: [], paths: [], readyFamilies: [], global: undefined };
  const secrets = (name: string) => view.get("Secret", gateway.metadata.namespace, name);
  const peers: DesiredPeer[] = [];
  const nameOf = new Map<Ip, string>();
  for (const peer of peersOf(view, gateway)) {
    const desired = desiredPeer(peer, interfaces, secrets);
    const twin = nameOf.get(peer.spec.address);
    if (twin !== undefined) {
      const problem = `spec.address: BgpPeer ${twin} has the address ${peer.spec.address} already; keep one of the two`;
      peers.push({ type: "refused", name: peer.metadata.name, address: peer.spec.address, problem });
    } else {
      nameOf.set(peer.spec.address, peer.metadata.name);
      peers.push(desired);
    }
  }
  const ready = (inputs.programmed?.vips ?? []).filter((vip) => vip.ready).map((vip) => vip.address);
  const first = peers.find((peer) => peer.type === "session");
  return {
    peers,
    paths: ready.flatMap((vip) => ownPath(vip, interfaces)),
    readyFamilies: FAMILIES.filter((family) => ready.some((vip) => familyOf(vip) === family)),
    global: first && {
      asn: first.session.localAsn,
      routerId: routerId(interfaces, inputs.podName),
      listenAddresses: interfaces.flatMap((i) => i.addresses.map((a) => a.address)),
      listenPort: inputs.listenPort,
    },
  };
}

/** The BgpPeers that a Gateway's instances use, in order of name. */
function peersOf(view: ObjectView, gateway: Gateway): BgpPeer[] {
  return view.list("BgpPeer").filter((peer) => {
    const selector = peer.spec.gatewaySelector;
    return (
      peer.metadata.namespace === gateway.metadata.namespace &&
      (selector === undefined || selects(selector, gateway.metadata.labels))
    );
  });
}

function desiredPeer(
  peer: BgpPeer,
  interfaces: readonly ExternalInterface[],
  secretNamed: (name: string) => Secret | undefined,
): DesiredPeer {
  const { metadata, spec } = peer;
  const refused = (problem: string): DesiredPeer => ({
    type: "refused",
    name: metadata.name,
    address: spec.address,
    problem,
  });
  const beyondLink = spec.multihopTtl > 0 || spec.interface !== undefined;
  const link = linkTo(interfaces, spec.address, { interface: spec.interface, beyondLink });
  if ("problem" in link) return refused(link.problem);
  if (spec.bfd.enabled && spec.multihopTtl > 0) {
    return refused("spec.bfd: watches routers on the link (RFC 5881); leave it out with spec.multihopTtl");
  }
  const bfd = spec.bfd.enabled ? { bfd: { intervalMs: spec.bfd.intervalMs, multiplier: spec.bfd.multiplier } } : {};
  const families = [...new Set(spec.families?.map((f): Family => (f === "IPv4" ? 4 : 6)) ?? [familyOf(spec.address)])];
  if (spec.type === "Static") {
    if (families.some((family) => family !== familyOf(spec.address))) {
      return refused(`spec.families: a static router ${spec.address} is a next hop of its own family only`);
    }
    return { type: "static", name: metadata.name, address: spec.address, families, ...link, ...bfd };
  }
  if (spec.asn === undefined) return refused("spec.asn: a BGP peer needs the router's AS number");
  if (spec.localAsn === undefined) return refused("spec.localAsn: a BGP peer needs our own AS number");
  const unreachable = families.find((family) => ownAddress(interfaces, family) === undefined);
  if (unreachable !== undefined) {
    return refused(`spec.families: no external interface has an IPv${unreachable} address to be the next hop`);
  }
  const hostRoute = spec.import.prefixes.find((prefix) => cidrSpan(prefix).length === bitsOf(familyOf(prefix)));
  if (hostRoute !== undefined) {
    return refused(
      `spec.import.prefixes: ${hostRoute} is a host route, as VIPs are; only shorter prefixes can be taken`,
    );
  }
  const password = passwordOf(spec.password, secretNamed);
  if (password?.problem !== undefined) return refused(password.problem);
  const gracefulRestart = spec.gracefulRestart;
  return {
    type: "session",
    name: metadata.name,
    interface: link.interface,
    session: {
      address: spec.address,
      port: spec.port,
      asn: spec.asn,
      localAsn: spec.localAsn,
      localAddress: link.localAddress,
      families: families.toSorted(),
      ...(password === undefined ? {} : { password: password.text }),
      ttlSecurity: spec.ttlSecurity,
      multihopTtl: spec.multihopTtl,
      holdTimeSeconds: spec.holdTimeSeconds,
      keepaliveSeconds: spec.keepaliveSeconds ?? Math.max(1, Math.floor(spec.holdTimeSeconds / 3)),
      connectRetrySeconds: spec.connectRetrySeconds,
      ...(gracefulRestart.enabled ? { restartSeconds: gracefulRestart.restartSeconds } : {}),
      ...bfd,
      maxPrefixes: spec.import.maxPrefixes,
    },
    policy: {
      import: importRules(spec.import, families),
      export: {
        communities: spec.advertise.communities,
        largeCommunities: spec.advertise.largeCommunities,
        ...(spec.advertise.localPreference === undefined ? {} : { localPreference: spec.advertise.localPreference }),
        ...(spec.advertise.med === undefined ? {} : { med: spec.advertise.med }),
        prepend: spec.advertise.prepend,
      },
    },
  };
}

type Password =
  | { readonly text: string; readonly problem?: undefined }
  | { readonly problem: string; readonly text?: undefined };

function passwordOf(
  password: BgpPeer["spec"]["password"],
  secretNamed: (name: string) => Secret | undefined,
): Password | undefined {
  if (password === undefined) return undefined;
  const { name, key } = password.secretRef;
  const field = "spec.password.secretRef";
  const secret = secretNamed(name);
  if (secret === undefined) return { problem: `${field}: there is no Secret ${name}; create it with the key ${key}` };
  const text = secretValue(secret, key);
  if (text === undefined) return { problem: `${field}: Secret ${name} has no key ${key}; add it` };
  const bytes = Buffer.byteLength(text);
  // The kernel's TCP_MD5SIG_MAXKEYLEN.
  if (bytes === 0 || bytes > 80 || text.includes("\0")) {
    return { problem: `${field}: key ${key} of Secret ${name} has ${bytes} bytes; TCP MD5 takes 1 to 80, without NUL` };
  }
  return { text };
}

/**
 * Defaults alone when nothing is named: a router must not draw other traffic of ours to itself. Never host routes: they
 * are what is announced, so a router's could be passed on to the next as if they were ours.
 */
export function importRules(spec: BgpPeer["spec"]["import"], families: readonly Family[]): PrefixRule[] {
  const prefixes = spec.prefixes.length > 0 ? spec.prefixes : FAMILIES.map(defaultRoute);
  const longer = spec.orLonger && spec.prefixes.length > 0;
  return prefixes
    .filter((prefix) => families.includes(familyOf(prefix)))
    .map((prefix) => {
      const { length, family } = cidrSpan(prefix);
      return { prefix, minLength: length, maxLength: longer ? bitsOf(family) - 1 : length };
    });
}

export function defaultRoute(family: Family): Cidr {
  return cidr(family === 4 ? "0.0.0.0/0" : "::/0");
}

/**
 * A VIP's host route. The next hop is our one external address of the family; with several external networks it is left
 * to each session, whose own address is the right one there.
 */
function ownPath(vip: Ip, interfaces: readonly ExternalInterface[]): OwnPath[] {
  const family = familyOf(vip);
  const attached = interfaces.filter((i) => ownAddress([i], family) !== undefined);
  if (attached.length === 0) return [];
  return [{ prefix: hostCidr(vip), nextHop: attached.length === 1 ? ownAddress(attached, family) : undefined }];
}

/** The first external IPv4 address; a hash of the pod's name where there is none, never 0.0.0.0. */
export function routerId(interfaces: readonly ExternalInterface[], podName: string): string {
  const own = ownAddress(interfaces, 4);
  if (own !== undefined) return own;
  const hash = createHash("sha256").update(podName).digest().readUInt32BE(0);
  return bigIntToIp(BigInt(Math.max(1, hash)), 4);
}
