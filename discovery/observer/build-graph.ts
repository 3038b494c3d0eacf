import type { DiscoveryGraph, GraphEndpoint, GraphParticipant, GraphTopic, MismatchReason } from "#shared/dds/graph.ts";
import { mismatchReasons } from "./compatibility.ts";
import type { EndpointQos, ObservedEndpoint } from "./endpoint.ts";
import { type PartitionRules, partitionWork } from "./partition-match.ts";

/** What the graph is made of. */
export interface GraphSource {
  readonly participants: Iterable<GraphParticipant>;
  readonly endpoints: Iterable<ObservedEndpoint>;
}

export interface GraphBounds {
  /** Comparisons of two QoS or two names. Hostile participants have all different ones. */
  readonly comparisons: number;
  /** Pairs that are named, of those that match and of those that do not each. */
  readonly pairs: number;
}

const GRAPH_BOUNDS: GraphBounds = { comparisons: 200_000, pairs: 5_000 };

const RULES: ReadonlyMap<string, PartitionRules> = new Map([
  ["eProsima Fast DDS", "fast"],
  ["Eclipse Cyclone DDS", "cyclone"],
]);

/** Endpoints of one topic with the same type, QoS and rules of their vendor: they match the same others. */
interface Class {
  readonly example: ObservedEndpoint;
  readonly rules: PartitionRules;
  readonly members: ObservedEndpoint[];
  matched: number;
}

interface TopicEndpoints {
  readonly domainId: number;
  readonly domainTag: string;
  readonly name: string;
  readonly writers: Map<string, Class>;
  readonly readers: Map<string, Class>;
}

interface Remaining {
  comparisons: number;
  matches: number;
  mismatches: number;
  isCut: boolean;
}

/**
 * Who writes and reads which topic, who matches whom, and who does not and why. Endpoints that differ only in their GUID and
 * name are compared once.
 */
export function buildGraph(
  { participants, endpoints }: GraphSource,
  bounds: GraphBounds = GRAPH_BOUNDS,
): Pick<DiscoveryGraph, "participants" | "topics" | "notes"> {
  const all = [...participants].sort((a, b) => compare(a.prefix, b.prefix));
  const byPrefix = new Map(all.map((each) => [each.prefix, each]));
  const topics = new Map<string, TopicEndpoints>();
  for (const endpoint of endpoints) {
    const { domainId = 0, domainTag = "", vendor = "" } = byPrefix.get(endpoint.participant) ?? {};
    const rules = RULES.get(vendor) ?? "dds";
    const key = JSON.stringify([domainId, domainTag, endpoint.topic]);
    let topic = topics.get(key);
    if (topic === undefined) {
      topic = { domainId, domainTag, name: endpoint.topic, writers: new Map(), readers: new Map() };
      topics.set(key, topic);
    }
    const classes = endpoint.role === "writer" ? topic.writers : topic.readers;
    const signature = JSON.stringify([endpoint.type, rules, endpoint.qos]);
    const same = classes.get(signature);
    if (same === undefined) classes.set(signature, { example: endpoint, rules, members: [endpoint], matched: 0 });
    else same.members.push(endpoint);
  }
  const remaining: Remaining = {
    comparisons: bounds.comparisons,
    matches: bounds.pairs,
    mismatches: bounds.pairs,
    isCut: false,
  };
  const sorted = [...topics].sort(([a], [b]) => compare(a, b));
  const built = sorted.map(([, topic]) => buildTopic(topic, remaining));
  return { participants: all, topics: built, notes: notes(all, built, remaining) };
}

interface Pair {
  readonly writers: Class;
  readonly readers: Class;
  readonly reasons: readonly MismatchReason[];
}

function buildTopic({ domainId, domainTag, name, writers, readers }: TopicEndpoints, remaining: Remaining): GraphTopic {
  const pairs = comparePairs(writers, readers, remaining);
  const matching = pairs.filter(({ reasons }) => reasons.length === 0);
  const failing = pairs.filter(({ reasons }) => reasons.length > 0);
  const silent = failing.filter((pair) => !isSeparated(pair));
  const count = (some: readonly Pair[]): number =>
    some.reduce((sum, pair) => sum + pair.writers.members.length * pair.readers.members.length, 0);
  const matches = named(matching, remaining.matches, (writer, reader) => ({ writer, reader }));
  const mismatches = named(silent, remaining.mismatches, (writer, reader, reasons) => ({
    writer,
    reader,
    reasons: [...reasons],
  }));
  remaining.matches -= matches.length;
  remaining.mismatches -= mismatches.length;
  const types = new Set([...writers.values(), ...readers.values()].map(({ example }) => example.type));
  return {
    domainId,
    domainTag,
    name,
    types: [...types].sort(compare),
    writers: graphEndpoints(writers),
    readers: graphEndpoints(readers),
    matches,
    matchCount: count(matching),
    mismatches,
    mismatchCount: count(silent),
    separatedCount: count(failing) - count(silent),
  };
}

function comparePairs(
  writers: ReadonlyMap<string, Class>,
  readers: ReadonlyMap<string, Class>,
  remaining: Remaining,
): Pair[] {
  const pairs: Pair[] = [];
  for (const writing of writers.values()) {
    for (const reading of readers.values()) {
      const work = 1 + partitionWork(writing.example.qos.partitions, reading.example.qos.partitions);
      if (work > remaining.comparisons) {
        remaining.isCut = true;
        return pairs;
      }
      remaining.comparisons -= work;
      const reasons = mismatchReasons(writing.example, reading.example, [...new Set([writing.rules, reading.rules])]);
      pairs.push({ writers: writing, readers: reading, reasons });
      if (reasons.length > 0) continue;
      writing.matched += reading.members.length;
      reading.matched += writing.members.length;
    }
  }
  return pairs;
}

/** Partitions are made to keep some apart: that is no problem for who has others to talk to. */
function isSeparated({ writers, readers, reasons }: Pair): boolean {
  return reasons.every(({ policy }) => policy === "partition") && writers.matched > 0 && readers.matched > 0;
}

/** The first pairs of endpoints of these pairs of classes. */
function named<Named>(
  pairs: readonly Pair[],
  most: number,
  make: (writer: string, reader: string, reasons: readonly MismatchReason[]) => Named,
): Named[] {
  const made: Named[] = [];
  for (const { writers, readers, reasons } of pairs) {
    for (const writer of writers.members) {
      for (const reader of readers.members) {
        if (made.length >= most) return made;
        made.push(make(writer.guid, reader.guid, reasons));
      }
    }
  }
  return made;
}

function graphEndpoints(classes: ReadonlyMap<string, Class>): GraphEndpoint[] {
  return [...classes.values()]
    .flatMap(({ members, matched }) =>
      members.map(({ guid, participant, name, type, qos }) => {
        const facts = { guid, participant, type, qos: graphQos(qos), matched };
        return name === undefined ? facts : { ...facts, name };
      }),
    )
    .sort((a, b) => compare(a.guid, b.guid));
}

/** JSON knows no infinite numbers. */
function graphQos({
  deadlineMs,
  latencyBudgetMs,
  livelinessLeaseMs,
  partitions,
  representations,
  ...kinds
}: EndpointQos) {
  return {
    ...kinds,
    ...(Number.isFinite(deadlineMs) && { deadlineMs }),
    ...(Number.isFinite(latencyBudgetMs) && { latencyBudgetMs }),
    ...(Number.isFinite(livelinessLeaseMs) && { livelinessLeaseMs }),
    partitions: [...partitions],
    representations: [...representations],
  };
}

function notes(
  participants: readonly GraphParticipant[],
  topics: readonly GraphTopic[],
  { isCut }: Remaining,
): string[] {
  const count = (some: (participant: GraphParticipant) => boolean): number => participants.filter(some).length;
  const refused = participants.reduce((sum, participant) => sum + participant.refused, 0);
  const unnamed = topics.reduce(
    (sum, { matchCount, matches, mismatchCount, mismatches }) =>
      sum + matchCount - matches.length + mismatchCount - mismatches.length,
    0,
  );
  const secured = count((participant) => participant.secured);
  const pending = count((participant) => !participant.secured && !participant.complete);
  return [
    ...(secured > 0 ? [`${secured} secured participants: their endpoints are not visible`] : []),
    ...(pending > 0 ? [`${pending} participants have not told everything yet`] : []),
    ...(refused > 0 ? [`${refused} endpoints are beyond the limits of the observer and left out`] : []),
    ...(isCut ? ["there are too many different QoS settings to compare all: some matches are left out"] : []),
    ...(unnamed > 0 ? [`${unnamed} pairs are counted and not named`] : []),
  ];
}

const compare = (a: string, b: string): number => (a < b ? -1 : a > b ? 1 : 0);
