import { metricsText } from "#shared/process/metrics-text.ts";
import type { FrontendStatus } from "./frontend-status.ts";

/** A frontend's status in Prometheus' text format; each metric's name is written here only. */
export function frontendMetrics(status: FrontendStatus): string {
  const sessions = status.peers.filter((peer) => !peer.isStatic);
  const watched = status.peers.flatMap(({ address, bfd, name }) =>
    bfd ? [{ labels: { peer: name, address }, bfd }] : [],
  );
  return metricsText([
    {
      name: "causeway_bgp_peer_up",
      type: "gauge",
      help: "1 while the session with the peer is established",
      samples: sessions.map(({ address, name, state }) => ({
        labels: { peer: name, address },
        value: state === "Established" ? 1 : 0,
      })),
    },
    {
      name: "causeway_bfd_up",
      type: "gauge",
      help: "1 while BFD with the peer is up",
      samples: watched.map(({ bfd, labels }) => ({ labels, value: bfd.state === "Up" ? 1 : 0 })),
    },
    {
      name: "causeway_bfd_falls",
      type: "gauge",
      help: "How often BFD fell since its session with the peer began",
      samples: watched.flatMap(({ bfd, labels }) => (bfd.falls === undefined ? [] : [{ labels, value: bfd.falls }])),
    },
    {
      name: "causeway_vips_advertised",
      type: "gauge",
      help: "VIPs that this instance announces",
      samples: [{ labels: {}, value: status.advertised.length }],
    },
    {
      name: "causeway_return_route_next_hops",
      type: "gauge",
      help: "Next hops of a route for replies",
      samples: status.learned.map(({ nextHops, prefix }) => ({ labels: { prefix }, value: nextHops.length })),
    },
    {
      name: "causeway_frontend_repairs_total",
      type: "counter",
      help: "Times that return routes were put back after somebody else had changed them",
      samples: [{ labels: {}, value: status.repairs }],
    },
    {
      name: "causeway_gobgpd_up",
      type: "gauge",
      help: "1 while gobgpd runs",
      samples: [{ labels: {}, value: status.gobgpd === undefined ? 0 : 1 }],
    },
  ]);
}
