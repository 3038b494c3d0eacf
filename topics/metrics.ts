import { type Metric, metricsText } from "#shared/process/metrics-text.ts";
import type { TopicCounters } from "./bridge/counters.ts";
import type { TopicStatus, TopicsStatus } from "./run-topics.ts";

/** The status of a process that serves Topics in Prometheus' text format; each metric's name is written here only. */
export function topicsMetrics({ topics }: TopicsStatus): string {
  const per = (value: (topic: TopicStatus) => number): Metric["samples"] =>
    topics.map((one) => ({ labels: { topic: one.topic }, value: value(one) }));
  const counted = (value: (counters: TopicCounters) => number): Metric["samples"] =>
    topics.flatMap(({ topic, counters }) =>
      counters === undefined ? [] : [{ labels: { topic }, value: value(counters) }],
    );
  const by = (
    label: string,
    values: (counters: TopicCounters) => Readonly<Record<string, number>>,
  ): Metric["samples"] =>
    topics.flatMap(({ topic, counters }) =>
      counters === undefined
        ? []
        : Object.entries(values(counters)).map(([name, value]) => ({ labels: { topic, [label]: name }, value })),
    );
  return metricsText([
    {
      name: "causeway_topic_serving",
      type: "gauge",
      help: "Whether the Topic is served",
      samples: per(({ problem }) => (problem === undefined ? 1 : 0)),
    },
    { name: "causeway_topic_clients", type: "gauge", help: "Clients", samples: per(({ clients }) => clients) },
    {
      name: "causeway_topic_matched",
      type: "gauge",
      help: "Endpoints in DDS that the Topic exchanges samples with",
      samples: topics.flatMap(({ topic, publishers, subscribers }) => [
        { labels: { topic, role: "publisher" }, value: publishers },
        { labels: { topic, role: "subscriber" }, value: subscribers },
      ]),
    },
    {
      name: "causeway_topic_connections_total",
      type: "counter",
      help: "Connections that came, by what became of them",
      samples: by("outcome", ({ connections }) => connections),
    },
    {
      name: "causeway_topic_samples_total",
      type: "counter",
      help: "Samples from DDS, and those that clients have published",
      samples: by("direction", ({ read, written }) => ({ read, written })),
    },
    {
      name: "causeway_topic_missed_total",
      type: "counter",
      help: "Samples that clients did not get",
      samples: by("why", ({ missed }) => missed),
    },
    {
      name: "causeway_topic_refused_total",
      type: "counter",
      help: "Lines of clients that were not published",
      samples: by("why", ({ refused }) => refused),
    },
    {
      name: "causeway_topic_cut_total",
      type: "counter",
      help: "Connections that were ended because of what the client did",
      samples: by("why", ({ cut }) => cut),
    },
    {
      name: "causeway_topic_held_total",
      type: "counter",
      help: "How often slow clients have held back the topic",
      samples: counted(({ held }) => held),
    },
  ]);
}
