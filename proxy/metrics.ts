import { Gauge, Registry } from "prom-client";
import type { ProxyStatus } from "./report.ts";

/** Names of the proxy's metrics, each written once. Counts are the kernel's, which outlive the process. */
const METRICS = {
  servicePackets: [
    "causeway_service_packets_total",
    "Packets of a service that reached this instance",
    ["service", "route"],
  ],
  serviceBytes: ["causeway_service_bytes_total", "Bytes of a service that reached this instance", ["service", "route"]],
  serviceTargets: ["causeway_service_ready_targets", "Ready targets of a service", ["service", "route"]],
  targetPackets: ["causeway_target_packets_total", "Packets sent to a target", ["target", "network"]],
  targetBytes: ["causeway_target_bytes_total", "Bytes sent to a target", ["target", "network"]],
  vipReady: ["causeway_vip_ready", "1 when a service of the VIP has a programmed, ready target here", ["vip"]],
  dropped: ["causeway_packets_total", "Packets to VIPs by what befell them", ["reason"]],
  generation: ["causeway_proxy_generation", "Changes applied to the kernel since the start", []],
} as const;

/** A proxy's status in Prometheus' text format. */
export function proxyMetrics(status: ProxyStatus): Promise<string> {
  const registry = new Registry();
  const gauge = (key: keyof typeof METRICS): Gauge => {
    const [name, help, labelNames] = METRICS[key];
    return new Gauge({ name, help, labelNames: [...labelNames], registers: [registry] });
  };
  const [packets, bytes, targets] = [gauge("servicePackets"), gauge("serviceBytes"), gauge("serviceTargets")];
  for (const service of status.services) {
    const labels = { service: service.services.join("+"), route: service.name };
    packets.set(labels, service.packets);
    bytes.set(labels, service.bytes);
    targets.set(labels, service.readyTargets);
  }
  const [targetPackets, targetBytes] = [gauge("targetPackets"), gauge("targetBytes")];
  const sums = new Map<string, { target: string; network: string; packets: number; bytes: number }>();
  for (const { name, network, packets: p, bytes: b } of status.targets) {
    const key = `${name}@${network}`;
    const known = sums.get(key);
    sums.set(key, { target: name, network, packets: p + (known?.packets ?? 0), bytes: b + (known?.bytes ?? 0) });
  }
  for (const { target, network, packets: p, bytes: b } of sums.values()) {
    targetPackets.set({ target, network }, p);
    targetBytes.set({ target, network }, b);
  }
  const vipReady = gauge("vipReady");
  for (const { address, ready } of status.vips) vipReady.set({ vip: address }, ready ? 1 : 0);
  const dropped = gauge("dropped");
  for (const [reason, count] of Object.entries(status.counters)) dropped.set({ reason }, count.packets);
  gauge("generation").set(status.generation);
  return registry.metrics();
}
