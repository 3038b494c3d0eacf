import { type Metric, metricsText } from "#shared/process/metrics-text.ts";
import type { NodeStatus } from "./run-node-agent.ts";

/** A node agent's status in Prometheus' text format; each metric's name is written here only. */
export function nodeMetrics({ instances, pods, repairs }: NodeStatus): string {
  const per = (value: (instance: NodeStatus["instances"][number]) => number): Metric["samples"] =>
    instances.map((one) => ({ labels: { instance: one.instance }, value: value(one) }));
  return metricsText([
    {
      name: "causeway_return_instance_answers",
      type: "gauge",
      help: "1 while a gateway instance answers this node's pods, and so gets their replies",
      samples: per(({ answers }) => (answers ? 1 : 0)),
    },
    {
      name: "causeway_return_instance_falls",
      type: "gauge",
      help: "Times in a row that the instance fell silent; forgotten a minute after the last",
      samples: per(({ falls }) => falls),
    },
    {
      name: "causeway_node_repairs_total",
      type: "counter",
      help: "Pods' networks that were put back after somebody else had changed them",
      samples: [{ labels: {}, value: repairs }],
    },
    {
      name: "causeway_node_rtps_senders",
      type: "gauge",
      help: "Participants that members of service groups keep out, or alone let in",
      samples: pods.flatMap(({ filter, pod }) =>
        filter === undefined ? [] : { labels: { pod, filter: filter.kind }, value: filter.senders },
      ),
    },
    {
      name: "causeway_node_rtps_dropped_total",
      type: "counter",
      help: "RTPS datagrams that members of service groups have dropped",
      samples: pods.flatMap(({ filter, pod }) =>
        filter?.keptOut === undefined ? [] : { labels: { pod, filter: filter.kind }, value: filter.keptOut },
      ),
    },
    {
      name: "causeway_node_pods",
      type: "gauge",
      help: "Pods whose return path is looked after, by whether it is in order",
      samples: [true, false].map((ok) => ({
        labels: { state: ok ? "ok" : "problem" },
        value: pods.filter(({ problem }) => (problem === undefined) === ok).length,
      })),
    },
  ]);
}
