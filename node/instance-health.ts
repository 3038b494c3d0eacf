import type { Heard } from "#shared/kernel/echo-turns.ts";
import { FAMILIES, type Family, type Ip } from "#shared/net/ip.ts";
import { type Damping, damp, NEVER_READY } from "#shared/process/flap-damping.ts";
import { compareText } from "#shared/resolve/age.ts";
import type { PodNetwork, ReturnHop } from "./desired-pod-network.ts";

/** Unanswered in a row, and an instance is silent. */
const SILENT_AFTER = 3;
/** Ears for each instance: one that is wrong alone must not be believed. */
const EARS_PER_INSTANCE = 2;

/** A place from which instances are asked: one interface of one pod, for one family. */
export interface Ear {
  readonly pod: string;
  /** Identity of the pod's network namespace. */
  readonly netns: string;
  readonly interface: string;
  readonly network: string;
  readonly family: Family;
  /** At least two: an ear that hears nobody says nothing about anybody. */
  readonly instances: readonly Ip[];
}

const earKey = ({ pod, interface: device, family }: Omit<Ear, "instances">): string => `${pod} ${device} IPv${family}`;

/** What an instance's health is known by: addresses of different networks may be equal. */
export const instanceKey = (network: string, address: Ip): string => `${address}%${network}`;

/**
 * Every place from which an instance can be told from another, by key.
 * @param netnsOf identity of a pod's network namespace; undefined where it cannot be entered.
 */
export function earsOf(
  desired: ReadonlyMap<string, PodNetwork>,
  netnsOf: (pod: string) => string | undefined,
): ReadonlyMap<string, Ear> {
  const ears = new Map<string, Ear>();
  for (const [pod, { paths }] of desired) {
    const netns = netnsOf(pod);
    if (netns === undefined) continue;
    for (const path of paths) {
      for (const family of FAMILIES) {
        for (const [device, hops] of Map.groupBy(path.families[family]?.nextHops ?? [], (hop) => hop.interface)) {
          const [first] = hops;
          if (first === undefined) continue;
          const place = { pod, netns, interface: device, network: first.network, family };
          const known = ears.get(earKey(place))?.instances ?? [];
          const instances = [...new Set([...known, ...hops.map((hop) => hop.address)])].sort();
          ears.set(earKey(place), { ...place, instances });
        }
      }
    }
  }
  for (const [key, { instances }] of ears) if (instances.length < 2) ears.delete(key);
  return ears;
}

/**
 * Enough ears that every instance is heard by two where there are two. Those in use stay; deaf ones are taken only where
 * there is no other.
 */
export function chooseEars(
  ears: ReadonlyMap<string, Ear>,
  inUse: ReadonlySet<string>,
  deaf: ReadonlySet<string>,
): ReadonlyMap<string, Ear> {
  const rank = (key: string): number => (deaf.has(key) ? 2 : inUse.has(key) ? 0 : 1);
  const order = [...ears].sort(([a], [b]) => rank(a) - rank(b) || compareText(a, b));
  const covered = new Map<string, number>();
  const chosen = new Map<string, Ear>();
  for (const [key, ear] of order) {
    const instances = ear.instances.map((address) => instanceKey(ear.network, address));
    if (instances.every((instance) => (covered.get(instance) ?? 0) >= EARS_PER_INSTANCE)) continue;
    chosen.set(key, ear);
    for (const instance of instances) covered.set(instance, (covered.get(instance) ?? 0) + 1);
  }
  return chosen;
}

export interface Hearing {
  readonly ear: Ear;
  readonly instances: ReadonlyMap<Ip, Heard>;
}

/** Heard at this moment, or the one before: an answer may be on its way. */
const isHeard = ({ answered, unanswered }: Heard): boolean => answered && unanswered <= 1;
const isSilent = ({ unanswered }: Heard): boolean => unanswered >= SILENT_AFTER;

/** Hears none of the instances: its own interface is the likelier fault. */
export function isDeaf({ instances }: Hearing): boolean {
  return [...instances.values()].every(isSilent);
}

/** By instance key; `damping.reported`: whether replies may be sent there. */
export type InstanceHealth = ReadonlyMap<string, Damping>;

/**
 * An instance is silent when no ear hears it, and one of them hears another instance. It answers again when an ear has
 * heard it for a time that grows with every fall. Where no ear hears anybody, all stays as it was.
 */
export function judge(before: InstanceHealth, hearings: readonly Hearing[], nowMs: number): InstanceHealth {
  const votes = new Map<string, { heard: boolean; silent: boolean }>();
  for (const { ear, instances } of hearings) {
    const canJudge = [...instances.values()].some(isHeard);
    for (const [address, heard] of instances) {
      const key = instanceKey(ear.network, address);
      const vote = votes.get(key) ?? { heard: false, silent: false };
      votes.set(key, vote);
      if (!canJudge) continue;
      if (isSilent(heard)) vote.silent = true;
      else if (heard.answered) vote.heard = true;
    }
  }
  const health = new Map<string, Damping>();
  for (const [key, vote] of votes) {
    const known = before.get(key);
    // Until it has been asked often enough, the objects are believed.
    const ready = vote.heard || (!vote.silent && (known === undefined || known.readySinceMs !== undefined));
    health.set(key, damp(known ?? NEVER_READY, ready, nowMs).damping);
  }
  return health;
}

/** Without the next hops that do not answer; where none does, the objects are believed. */
export function withoutSilent(network: PodNetwork, answers: (hop: ReturnHop) => boolean): PodNetwork {
  const paths = network.paths.map((path) => {
    const families = { ...path.families };
    for (const family of FAMILIES) {
      const known = families[family];
      const nextHops = known?.nextHops.filter(answers) ?? [];
      if (known === undefined || nextHops.length === 0 || nextHops.length === known.nextHops.length) continue;
      families[family] = { ...known, nextHops, silent: known.nextHops.filter((hop) => !answers(hop)) };
    }
    return { ...path, families };
  });
  return { ...network, paths };
}
