import { domainOfPort, type Locator, portsOf } from "rtps-wire";
import { type Cidr, cidrContains, type Ip, parseIp } from "#shared/net/ip.ts";

/*
 * Which multicast of user data goes from which network to which: where somebody writes, and where somebody hears.
 */

/** What the fan-out needs to know of a participant. */
export interface FanOutParticipant {
  readonly guidPrefix: string;
  readonly domainId: number;
  readonly domainTag: string;
  /** The attached network that it is on; undefined: none, so no multicast of it arrives here. */
  readonly network: string | undefined;
  /** Where it hears user data that is for all (RTPS: default multicast locators). */
  readonly defaultMulticast: readonly Locator[];
}

/** A topic that an endpoint writes or reads. */
interface FanOutEndpoint {
  readonly topic: string;
  /** Where this endpoint hears, when that is not where its participant does. */
  readonly multicast?: readonly Locator[];
}

export interface FanOutEndpoints {
  readonly writers: readonly FanOutEndpoint[];
  readonly readers: readonly FanOutEndpoint[];
}

/**
 * What is known of the topics of a participant; undefined: nothing, and then it counts as one that writes and hears all.
 * Nothing may be taken for known before all of its endpoints are.
 */
export type EndpointsOf = (guidPrefix: string) => FanOutEndpoints | undefined;

/** Multicast to `group` and `port` that is native to a network goes to others too. */
export interface Copy {
  readonly group: Ip;
  readonly port: number;
  readonly from: string;
  readonly to: string;
}

/** The domains' participants may hear here. */
export interface Allowed {
  readonly domains: ReadonlySet<number>;
  /** Prefixes of the groups that are copied. */
  readonly groups: readonly Cidr[];
}

/** Ports from that of one domain's discovery to that of the next one's (RTPS 9.6.1.1: the domain gain). */
const DOMAIN_GAIN = portsOf(1).metatrafficMulticast - portsOf(0).metatrafficMulticast;

/** Of one network to another: what comes of participants that announce a group each. */
const MOST_COPIES = 64;

export interface Audience {
  /** In an order of their own, so that the same participants give the same. */
  readonly copies: readonly Copy[];
  /** Copies beyond the most of a pair of networks. */
  readonly left: number;
}

/** A copy's name, the same on every gateway. */
export const copyKey = ({ group, port, from, to }: Copy): string => `${group}:${port} ${from} ${to}`;

/** Whether a group and port are user data's of a domain. */
function isGroupOf(domainId: number, group: Ip, port: number, { domains, groups }: Allowed): boolean {
  // Discovery is never copied, whatever is announced: the relay decides who is introduced to whom.
  const first = portsOf(domainId).metatrafficMulticast;
  const isUserData = port > first && port < first + DOMAIN_GAIN;
  return isUserData && domains.has(domainId) && groups.some((prefix) => cidrContains(prefix, group));
}

/** Whether a copy that was made before may still be made. */
export function mayCopy({ group, port }: Copy, allowed: Allowed): boolean {
  const domainId = domainOfPort(port);
  return domainId !== undefined && isGroupOf(domainId, group, port, allowed);
}

/** @returns undefined for what is none of the domain's groups. */
function groupOf(locator: Locator, domainId: number, allowed: Allowed): string | undefined {
  if (locator.kind !== "udpv4") return undefined;
  const group = parseIp(locator.address);
  const isAllowed = group !== undefined && isGroupOf(domainId, group, locator.port, allowed);
  return isAllowed ? `${group}:${locator.port}` : undefined;
}

/** What is said on one network: topics, or anything. */
interface Voice {
  all: boolean;
  readonly topics: Set<string>;
}

/** Who could hear what on one network: groups by topic; undefined: of any topic. */
type Ears = Map<string | undefined, Set<string>>;

interface Side {
  readonly voice: Voice;
  readonly ears: Ears;
}

function hear(ears: Ears, topic: string | undefined, groups: Iterable<string>): void {
  const known = ears.get(topic) ?? new Set();
  for (const group of groups) known.add(group);
  ears.set(topic, known);
}

function add(side: Side, participant: FanOutParticipant, endpoints: FanOutEndpoints | undefined, allowed: Allowed) {
  const groupsOf = (locators: readonly Locator[]): string[] =>
    locators.flatMap((locator) => groupOf(locator, participant.domainId, allowed) ?? []);
  if (endpoints === undefined) {
    side.voice.all = true;
    hear(side.ears, undefined, groupsOf(participant.defaultMulticast));
    return;
  }
  for (const { topic } of endpoints.writers) side.voice.topics.add(topic);
  for (const { topic, multicast } of endpoints.readers) {
    hear(
      side.ears,
      topic,
      groupsOf(multicast !== undefined && multicast.length > 0 ? multicast : participant.defaultMulticast),
    );
  }
}

/** The groups that somebody there hears, of what somebody here says. */
function heard(voice: Voice, ears: Ears): Set<string> {
  const groups = new Set<string>();
  const isSaid = (topic: string | undefined): boolean =>
    voice.all || (topic === undefined ? voice.topics.size > 0 : voice.topics.has(topic));
  for (const [topic, there] of ears) if (isSaid(topic)) for (const group of there) groups.add(group);
  return groups;
}

/**
 * A network hears a group when a participant on it says that it does, and another of the same domain and tag is on the
 * network that the multicast comes from; where topics are known, when one of them is written there and read here.
 */
export function audience(
  participants: Iterable<FanOutParticipant>,
  endpointsOf: EndpointsOf,
  allowed: Allowed,
): Audience {
  const meetings = new Map<string, Map<string, Side>>();
  for (const participant of participants) {
    const { domainId, domainTag, network } = participant;
    if (network === undefined || !allowed.domains.has(domainId)) continue;
    const meeting = `${domainId} ${domainTag}`;
    const sides = meetings.get(meeting) ?? new Map<string, Side>();
    meetings.set(meeting, sides);
    const side = sides.get(network) ?? { voice: { all: false, topics: new Set() }, ears: new Map() };
    sides.set(network, side);
    add(side, participant, endpointsOf(participant.guidPrefix), allowed);
  }
  const wanted = new Map<string, { from: string; to: string; groups: Set<string> }>();
  for (const sides of meetings.values()) {
    for (const [from, { voice }] of sides) {
      for (const [to, { ears }] of sides) {
        if (from === to) continue;
        const pair = `${from} ${to}`;
        const known = wanted.get(pair) ?? { from, to, groups: new Set() };
        wanted.set(pair, known);
        for (const group of heard(voice, ears)) known.groups.add(group);
      }
    }
  }
  const copies: Copy[] = [];
  let left = 0;
  for (const pair of [...wanted.keys()].sort()) {
    const { from = "", to = "", groups = new Set<string>() } = wanted.get(pair) ?? {};
    left += Math.max(0, groups.size - MOST_COPIES);
    for (const text of [...groups].sort().slice(0, MOST_COPIES)) {
      const [address = "", port] = text.split(":");
      const group = parseIp(address);
      if (group !== undefined) copies.push({ group, port: Number(port), from, to });
    }
  }
  return { copies, left };
}
