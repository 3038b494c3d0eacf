import { Gauge, Registry } from "prom-client";
import type { FrontendStatus } from "./frontend-status.ts";

/** Names of the frontend's metrics, each written once. */
const METRICS = {
  session: ["causeway_bgp_peer_up", "1 while the session with the peer is established", ["peer", "address"]],
  advertised: ["causeway_vips_advertised", "VIPs that this instance announces", []],
  learned: ["causeway_return_route_next_hops", "Next hops of a route for replies", ["prefix"]],
  daemon: ["causeway_gobgpd_up", "1 while gobgpd runs", []],
} as const;

/** A frontend's status in Prometheus' text format. */
export function frontendMetrics(status: FrontendStatus): Promise<string> {
  const registry = new Registry();
  const gauge = (key: keyof typeof METRICS): Gauge => {
    const [name, help, labelNames] = METRICS[key];
    return new Gauge({ name, help, labelNames: [...labelNames], registers: [registry] });
  };
  const session = gauge("session");
  for (const { address, name, state } of status.peers) {
    if (state !== "Static") session.set({ peer: name, address }, state === "Established" ? 1 : 0);
  }
  gauge("advertised").set(status.advertised.length);
  const learned = gauge("learned");
  for (const { nextHops, prefix } of status.learned) learned.set({ prefix }, nextHops.length);
  gauge("daemon").set(status.gobgpd === undefined ? 0 : 1);
  return registry.metrics();
}
