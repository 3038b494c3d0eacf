import type { DiscoveryGraph, GraphEndpoint, GraphTopic } from "#shared/dds/graph.ts";
import { GraphNames, quotedName } from "#shared/dds/mismatch-text.ts";
import type { GraphOf } from "./run-graph.ts";

/** Of one topic's endpoints, and of all mismatches: the rest is counted. */
const MOST_ENDPOINTS = 50;
const MOST_MISMATCHES = 50;

/** What discovery processes know, for people. */
export function graphText(graphs: readonly GraphOf[]): string {
  const lines = graphs.flatMap(({ instance, domains }) => {
    const title = graphs.length > 1 ? [`relay ${instance}`] : [];
    const none = domains.length === 0 ? ["nothing is observed: no DiscoveryDomain with observer mode Observe"] : [];
    return [...title, ...none, ...domains.flatMap(domainLines)];
  });
  return `${lines.join("\n")}\n`;
}

function domainLines(graph: DiscoveryGraph): string[] {
  const names = new GraphNames(graph);
  const { discoveryDomain, notes, participants, topics } = graph;
  const pairs = topics.flatMap((topic) => topic.mismatches.map((mismatch) => ({ topic, mismatch })));
  const count = topics.reduce((sum, { mismatchCount }) => sum + mismatchCount, 0);
  return [
    `DiscoveryDomain ${discoveryDomain}: ${counted(participants.length, "participant")}, ${counted(topics.length, "topic")}`,
    ...participants.map(
      ({ domainId, domainTag, prefix, readers, secured, vendor, writers }) =>
        `  participant ${names.participant(prefix)}, ${vendor}, ${inDomain(domainId, domainTag)}: ` +
        (secured ? "secured" : `${counted(writers, "writer")}, ${counted(readers, "reader")}`),
    ),
    ...topics.flatMap((topic) => topicLines(names, topic)),
    ...pairs.slice(0, MOST_MISMATCHES).flatMap(({ topic, mismatch }) => mismatchLines(names, topic, mismatch)),
    ...more(count - Math.min(MOST_MISMATCHES, pairs.length), "  ! and", "more"),
    ...notes.map((note) => `  note: ${note}`),
  ];
}

function mismatchLines(names: GraphNames, topic: GraphTopic, mismatch: GraphTopic["mismatches"][number]): string[] {
  const { reader, reasons, writer } = mismatch;
  return [
    `  ! topic ${quotedName(topic.name)}: reader ${names.endpoint(topic, reader)}`,
    `    gets nothing from writer ${names.endpoint(topic, writer)}`,
    ...reasons.flatMap(({ fix, problem }) => [`      ${problem}`, `      fix: ${fix}`]),
  ];
}

function topicLines(names: GraphNames, topic: GraphTopic): string[] {
  const { domainId, domainTag, matchCount, mismatchCount, name, readers, separatedCount, types, writers } = topic;
  const apart = separatedCount > 0 ? `, ${counted(separatedCount, "pair")} kept apart by partitions` : "";
  const failing =
    mismatchCount > 0
      ? `, ${counted(mismatchCount, "pair")} that should match and ${mismatchCount === 1 ? "does" : "do"} not`
      : "";
  const shown = (role: string, endpoints: readonly GraphEndpoint[], verb: string, other: string): string[] => [
    ...endpoints.slice(0, MOST_ENDPOINTS).map((endpoint) => {
      return `    ${role} ${names.endpoint(topic, endpoint.guid)}: ${qosText(endpoint)}; ${verb} ${counted(endpoint.matched, other)}`;
    }),
    ...more(endpoints.length - MOST_ENDPOINTS, "    and", `more ${role}s`),
  ];
  return [
    `  topic ${quotedName(name)} (${types.map(quotedName).join(", ")}), ${inDomain(domainId, domainTag)}: ` +
      `${counted(matchCount, "match", "matches")}${failing}${apart}`,
    ...shown("writer", writers, "reaches", "reader"),
    ...shown("reader", readers, "hears", "writer"),
  ];
}

/** What differs from DDS's defaults, but for reliability and durability, which are asked for first. */
function qosText({ qos }: GraphEndpoint): string {
  const { deadlineMs, latencyBudgetMs, liveliness, livelinessLeaseMs, partitions } = qos;
  const isDefaultPartition = partitions.length === 1 && partitions[0] === "";
  return [
    qos.reliability,
    qos.durability,
    ...(qos.ownership === "shared" ? [] : ["exclusive ownership"]),
    ...(liveliness === "automatic" ? [] : [`${liveliness} liveliness`]),
    ...(livelinessLeaseMs === undefined ? [] : [`lease ${livelinessLeaseMs} ms`]),
    ...(deadlineMs === undefined ? [] : [`deadline ${deadlineMs} ms`]),
    ...(latencyBudgetMs === 0
      ? []
      : [`latency budget ${latencyBudgetMs === undefined ? "infinite" : `${latencyBudgetMs} ms`}`]),
    ...(isDefaultPartition ? [] : [`partition ${partitions.slice(0, 8).map(quotedName).join(" ")}`]),
  ].join(", ");
}

const counted = (count: number, one: string, several = `${one}s`): string => `${count} ${count === 1 ? one : several}`;

const inDomain = (domainId: number, domainTag: string): string =>
  `domain ${domainId}${domainTag === "" ? "" : `, tag ${quotedName(domainTag)}`}`;

const more = (count: number, before: string, after: string): string[] =>
  count > 0 ? [`${before} ${count} ${after}`] : [];
