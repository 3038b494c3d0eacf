import { type Metric, metricsText } from "#shared/process/metrics-text.ts";
import type { ProxyStatus } from "./report.ts";

type Sample = Metric["samples"][number];

/** Names of the proxy's metrics, each written once. Counts are the kernel's, which outlive the process. */
const METRICS = {
  servicePackets: ["causeway_service_packets_total", "counter", "Packets of a service that reached this instance"],
  serviceBytes: ["causeway_service_bytes_total", "counter", "Bytes of a service that reached this instance"],
  serviceTargets: ["causeway_service_ready_targets", "gauge", "Ready targets of a service"],
  targetPackets: ["causeway_target_packets_total", "counter", "Packets sent to a target"],
  targetBytes: ["causeway_target_bytes_total", "counter", "Bytes sent to a target"],
  targetKeptFlows: [
    "causeway_target_kept_flows",
    "gauge",
    "Flows that stay with a target though their slot has another owner",
  ],
  movedSlots: ["causeway_moved_slots", "gauge", "Slots that changed hands and whose flows are learned, or still kept"],
  vipReady: ["causeway_vip_ready", "gauge", "1 when a service of the VIP has a programmed, ready target here"],
  targetHealthy: ["causeway_target_healthy", "gauge", "1 while a target answers the questions of a HealthCheck"],
  packets: ["causeway_packets_total", "counter", "Packets by what befell them other than being forwarded"],
  serviceLink: [
    "causeway_service_link_reachable",
    "gauge",
    "1 while another instance or a target answers on a service network",
  ],
  repairs: [
    "causeway_proxy_repairs_total",
    "counter",
    "Times that something was put back after somebody else had changed it",
  ],
  generation: ["causeway_proxy_generation", "gauge", "Changes applied to the kernel since the start"],
} as const;

function metric(key: keyof typeof METRICS, samples: readonly Sample[]): Metric {
  const [name, type, help] = METRICS[key];
  return { name, type, help, samples };
}

/** A proxy's status in Prometheus' text format. */
export function proxyMetrics(status: ProxyStatus): string {
  const perService = (value: (service: ProxyStatus["services"][number]) => number): Sample[] =>
    status.services.map((service) => ({
      labels: { service: service.services.join("+"), route: service.name },
      value: value(service),
    }));
  const targets = new Map<string, { labels: Sample["labels"]; packets: number; bytes: number; keptFlows: number }>();
  for (const { name, network, packets, bytes, keptFlows } of status.targets) {
    const key = `${name}@${network}`;
    const sum = targets.get(key) ?? { labels: { target: name, network }, packets: 0, bytes: 0, keptFlows: 0 };
    targets.set(key, {
      ...sum,
      packets: sum.packets + packets,
      bytes: sum.bytes + bytes,
      keptFlows: sum.keptFlows + keptFlows,
    });
  }
  const perTarget = (count: "packets" | "bytes" | "keptFlows"): Sample[] =>
    [...targets.values()].map((target) => ({ labels: target.labels, value: target[count] }));
  return metricsText([
    metric(
      "servicePackets",
      perService((service) => service.packets),
    ),
    metric(
      "serviceBytes",
      perService((service) => service.bytes),
    ),
    metric(
      "serviceTargets",
      perService((service) => service.readyTargets),
    ),
    metric("targetPackets", perTarget("packets")),
    metric("targetBytes", perTarget("bytes")),
    metric("targetKeptFlows", perTarget("keptFlows")),
    metric("movedSlots", [
      { labels: { state: "learning" }, value: status.moves.learningSlots },
      { labels: { state: "settled" }, value: status.moves.settledSlots },
    ]),
    metric(
      "vipReady",
      status.vips.map(({ address, ready }) => ({ labels: { vip: address }, value: ready ? 1 : 0 })),
    ),
    metric(
      "targetHealthy",
      status.health.targets.map(({ address, checks, port, state, target }) => ({
        labels: { target, address, port: String(port), check: checks.join("+") },
        value: state === "up" ? 1 : 0,
      })),
    ),
    metric(
      "packets",
      Object.entries(status.counters).map(([reason, { packets }]) => ({ labels: { reason }, value: packets })),
    ),
    metric(
      "serviceLink",
      status.serviceLinks.map(({ interface: device, family, reachable }) => ({
        labels: { interface: device, family: `IPv${family}` },
        value: reachable ? 1 : 0,
      })),
    ),
    metric(
      "repairs",
      status.repairs.map(({ what, count }) => ({ labels: { what }, value: count })),
    ),
    metric("generation", [{ labels: {}, value: status.generation }]),
  ]);
}
