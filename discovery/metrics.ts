import { type Metric, metricsText } from "#shared/process/metrics-text.ts";
import { waiting } from "./groups/groups-report.ts";
import type { ObserverStatus } from "./observer/domain-observer.ts";
import type { DiscoveryStatus } from "./run-discovery.ts";

/** A discovery process's status in Prometheus' text format; each metric's name is written here only. */
export function discoveryMetrics({ domains, fanOut, groups: grouped }: DiscoveryStatus): string {
  const per = (value: (domain: DiscoveryStatus["domains"][number]) => number): Metric["samples"] =>
    domains.map((one) => ({ labels: { domain: one.domain }, value: value(one) }));
  const observed = (value: (observer: ObserverStatus) => number): Metric["samples"] =>
    domains.flatMap(({ domain, observer }) =>
      observer === undefined ? [] : { labels: { domain }, value: value(observer) },
    );
  const groups = grouped.flatMap(({ discoveryDomain: domain, groups: its }) => its.map((group) => ({ domain, group })));
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
      name: "causeway_discovery_sent_total",
      type: "counter",
      help: "Datagrams that were sent",
      samples: domains.flatMap(({ domain, sent }) => [
        { labels: { domain, to: "participants" }, value: sent.participants },
        { labels: { domain, to: "sisters" }, value: sent.sisters },
      ]),
    },
    {
      name: "causeway_discovery_not_sent_total",
      type: "counter",
      help: "Datagrams that were to be sent and were not",
      samples: domains.flatMap(({ domain, sent }) => [
        { labels: { domain, why: "failed" }, value: sent.failed },
        { labels: { domain, why: "dropped" }, value: sent.dropped },
      ]),
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
      name: "causeway_discovery_group_clients",
      type: "gauge",
      help: "Participants that are introduced to a pod of a service group",
      samples: groups.flatMap(({ domain, group: { clients, members, service } }) =>
        members.map(({ pod }) => ({
          labels: { domain, service, pod },
          value: clients.filter(({ gone, member }) => !gone && member === pod).length,
        })),
      ),
    },
    {
      name: "causeway_discovery_group_waiting",
      type: "gauge",
      help: "Participants that are introduced to no pod of a service group, because none is ready",
      samples: groups.map(({ domain, group }) => ({
        labels: { domain, service: group.service },
        value: waiting(group),
      })),
    },
    {
      name: "causeway_discovery_group_moves_total",
      type: "counter",
      help: "Participants that were moved from one pod of a service group to another",
      samples: groups.map(({ domain, group: { moved, service } }) => ({ labels: { domain, service }, value: moved })),
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
    {
      name: "causeway_discovery_topics",
      type: "gauge",
      help: "Topics that the observer knows",
      samples: observed(({ summary }) => summary.topics),
    },
    {
      name: "causeway_discovery_endpoints",
      type: "gauge",
      help: "Writers and readers that the observer knows",
      samples: domains.flatMap(({ domain, observer }) =>
        observer === undefined
          ? []
          : [
              { labels: { domain, role: "writer" }, value: observer.summary.writers },
              { labels: { domain, role: "reader" }, value: observer.summary.readers },
            ],
      ),
    },
    {
      name: "causeway_discovery_matches",
      type: "gauge",
      help: "Pairs of a writer and a reader that exchange data",
      samples: observed(({ summary }) => summary.matches),
    },
    {
      name: "causeway_discovery_mismatches",
      type: "gauge",
      help: "Pairs of one topic that exchange nothing because of QoS, type or partition",
      samples: observed(({ summary }) => summary.mismatches),
    },
    {
      name: "causeway_discovery_observer_ignored_total",
      type: "counter",
      help: "What came to the observer and was left out, by reason",
      samples: domains.flatMap(({ domain, observer }) => {
        const reasons = Object.entries(observer?.counts ?? {}).filter(([reason]) => reason !== "read");
        return reasons.map(([reason, value]) => ({ labels: { domain, reason: inKebabCase(reason) }, value }));
      }),
    },
  ]);
}

const inKebabCase = (name: string): string => name.replaceAll(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`);
