import type { DiscoveryDomain, GroupStatus } from "#shared/api/discovery-domain.ts";
import { shortHash } from "#shared/balance/stable-hash.ts";
import { awayOf, groupClaims, topClaim } from "#shared/dds/group-claims.ts";
import { type Ip, parseIp } from "#shared/net/ip.ts";

/** Datagrams of a participant, from one of its addresses. */
export interface RtpsSender {
  readonly address: Ip;
  /** 24 hexadecimal digits. */
  readonly guidPrefix: string;
}

/** Whose RTPS comes into a pod that is a member of a service group. */
export type RtpsFilterRules =
  /** Everybody's but that of these, who were moved away from the pod. */
  | { readonly kind: "block"; readonly senders: readonly RtpsSender[] }
  /** That of these and of these hosts, whoever speaks there; nobody else's. */
  | { readonly kind: "allow"; readonly senders: readonly RtpsSender[]; readonly hosts: readonly Ip[] };

/** Rules that are compared by what they say: pods are looked at often, and rules may be long. */
export class RtpsFilter {
  readonly rules: RtpsFilterRules;
  readonly #id: string;

  constructor(rules: RtpsFilterRules) {
    this.rules = rules;
    this.#id = shortHash(JSON.stringify(rules));
  }

  /** What stands for it where a pod's network is compared as text. */
  toJSON(): string {
    return this.#id;
  }
}

/** A group in one DiscoveryDomain, with what all relays say of it. */
interface KnownGroup {
  readonly namespace: string;
  readonly meet: boolean;
  readonly isolated: boolean;
  /** Addresses by `namespace/name` of the pod. */
  readonly members: ReadonlyMap<string, ReadonlySet<Ip>>;
  readonly clients: readonly {
    readonly guidPrefix: string;
    readonly addresses: readonly Ip[];
    readonly member: string | undefined;
    readonly away: ReadonlySet<string>;
  }[];
  readonly relays: readonly Ip[];
}

/** Senders of one pod; a relay writes no more, but anybody who may write a status could. */
const MOST_SENDERS = 20_000;

const addresses = (texts: readonly string[]): readonly Ip[] => texts.flatMap((text) => parseIp(text) ?? []);

function knownGroups(object: DiscoveryDomain): readonly KnownGroup[] {
  const { namespace } = object.metadata;
  const instances = object.status?.instances ?? [];
  return object.spec.serviceGroups.map(({ isolation, members: meeting, service }): KnownGroup => {
    const written = instances.flatMap(({ groups = [] }) => groups.find((group) => group.service === service) ?? []);
    return {
      namespace,
      meet: meeting === "Meet",
      isolated: isolation === "Enforce",
      members: membersOf(namespace, written),
      clients: [...groupClaims(object, service)].map(([guidPrefix, claims]) => ({
        guidPrefix,
        addresses: [...new Set(addresses(claims.flatMap((claim) => claim.addresses)))],
        member: topClaim(claims)?.member,
        away: awayOf(claims),
      })),
      relays: addresses(instances.flatMap((instance) => instance.addresses ?? [])),
    };
  });
}

function membersOf(namespace: string, written: readonly GroupStatus[]): ReadonlyMap<string, ReadonlySet<Ip>> {
  const members = new Map<string, Set<Ip>>();
  for (const { addresses: texts, pod } of written.flatMap((group) => group.members)) {
    const key = `${namespace}/${pod}`;
    const known = members.get(key) ?? new Set();
    for (const address of addresses(texts)) known.add(address);
    members.set(key, known);
  }
  return members;
}

function sendersOf(clients: KnownGroup["clients"]): readonly RtpsSender[] {
  const senders = clients.flatMap(({ addresses: own, guidPrefix }) => own.map((address) => ({ address, guidPrefix })));
  const texts = new Map(senders.map((sender) => [`${sender.guidPrefix} ${sender.address}`, sender]));
  return [...texts]
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .slice(0, MOST_SENDERS)
    .map(([, sender]) => sender);
}

/** Where members are let in that the pod's own participants are introduced to, as clients of other groups. */
function ownMembers(own: ReadonlySet<Ip>, groups: readonly KnownGroup[]): readonly Ip[] {
  return groups.flatMap(({ clients, members }) =>
    clients
      .filter((client) => client.addresses.some((address) => own.has(address)))
      .flatMap(({ member }) => [...(members.get(member ?? "") ?? [])]),
  );
}

function filterOf(pod: string, groups: readonly KnownGroup[]): RtpsFilter | undefined {
  const its = groups.filter(({ members }) => members.has(pod));
  if (its.some(({ isolated }) => isolated)) {
    const own = new Set(its.flatMap(({ members }) => [...(members.get(pod) ?? [])]));
    const others = its
      .filter(({ meet }) => meet)
      .flatMap(({ members }) => [...members.values()].flatMap((of) => [...of]));
    const near = groups.filter(({ namespace }) => pod.startsWith(`${namespace}/`));
    const hosts = new Set([...its.flatMap(({ relays }) => relays), ...own, ...others, ...ownMembers(own, near)]);
    const clients = its.flatMap((group) => group.clients.filter(({ member }) => member === pod));
    return new RtpsFilter({ kind: "allow", senders: sendersOf(clients), hosts: [...hosts].sort() });
  }
  const senders = sendersOf(its.flatMap((group) => group.clients.filter(({ away }) => away.has(pod))));
  return senders.length === 0 ? undefined : new RtpsFilter({ kind: "block", senders });
}

/**
 * What the pods drop that are members of service groups, by `namespace/name`; as the relays have written it. Pure.
 * @param isHere whether a pod is on this node.
 */
export function rtpsFilters(
  objects: readonly DiscoveryDomain[],
  isHere: (pod: string) => boolean = () => true,
): ReadonlyMap<string, RtpsFilter> {
  const groups = objects.flatMap(knownGroups);
  const pods = new Set(groups.flatMap(({ members }) => [...members.keys()]).filter(isHere));
  return new Map(
    [...pods].flatMap((pod): [string, RtpsFilter][] => {
      const filter = filterOf(pod, groups);
      return filter === undefined ? [] : [[pod, filter]];
    }),
  );
}
