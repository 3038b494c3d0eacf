import { type Metric, metricsText } from "#shared/process/metrics-text.ts";
import type { DiscoveryStatus } from "./run-discovery.ts";

/** A discovery process's status in Prometheus' text format; each metric's name is written here only. */
export function discoveryMetrics({ domains, fanOut }: DiscoveryStatus): string {
  const per = (value: (domain: DiscoveryStatus["domains"][number]) => number): Metric["samples"] =>
    domains.map((one) => ({ labels: { domain: one.domain }, value: value(one) }));
  return metricsText([
    {
      name: "causeway_discovery_participants",
      type: "gauge",
      help: "DDS participants that are known",
      samples: per(({ participants }) => participants.length),
    },
    {
      name: "causeway_discovery_sockets",
      type: "gauge",
      help: "Sockets that listen for announcements",
      samples: per(({ sockets }) => sockets),
    },
    {
      name: "causeway_discovery_datagrams_total",
      type: "counter",
      help: "Datagrams that came in, by what became of them",
      samples: domains.flatMap(({ datagrams, domain }) =>
        Object.entries(datagrams).map(([outcome, value]) => ({ labels: { domain, outcome }, value })),
      ),
    },
    {
      name: "causeway_fan_out_copies",
      type: "gauge",
      help: "Multicast groups that are copied from one network to another, by whether this gateway does it",
      samples: [true, false].map((ours) => ({
        labels: { by: ours ? "this" : "other" },
        value: fanOut.copies.filter(({ isOurs }) => isOurs === ours).length,
      })),
    },
    {
      name: "causeway_fan_out_packets_total",
      type: "counter",
      help: "Multicast packets of user data, by what became of them",
      samples: fanOut.packets.map(({ outcome, from, to = "", packets }) => ({
        labels: { outcome, from, to },
        value: packets,
      })),
    },
  ]);
}
