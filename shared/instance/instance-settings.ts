import { linkSettings, neighbourSettings } from "./neighbour-settings.ts";

/**
 * Room and time for fragments whose packet is not complete; the kernel's own are 4 MB and 30 or 60 s. When the room is
 * used up, new packets in fragments are dropped. What one sender may send ({@link FRAGMENTS} of the ruleset) takes less.
 */
export const REASSEMBLY = { bytes: 32 << 20, seconds: 3 } as const;

/**
 * How long the kernel remembers connections to ordinary Services that are silent, or that nobody has answered yet (its own:
 * five days, two minutes, one minute). What there is room for is used up by those that nobody has any more.
 */
const TRACKED_SECONDS = { established: 86_400, close_wait: 3_600, syn_sent: 20, syn_recv: 20 } as const;

/** Settings for tracked connections: what cannot be set stays as it is, and nothing depends on it. */
export function trackingSettings(): readonly (readonly [string, string])[] {
  return Object.entries(TRACKED_SECONDS).map(
    ([state, seconds]) => [`net/netfilter/nf_conntrack_tcp_timeout_${state}`, String(seconds)] as const,
  );
}

/** Settings of a gateway instance's network namespace that forwarding needs: sysctl path and value. */
export function instanceSettings(
  external: readonly string[],
  services: readonly string[],
): readonly (readonly [string, string])[] {
  return [
    ["net/ipv4/ip_forward", "1"],
    ["net/ipv6/conf/all/forwarding", "1"],
    // The larger of "all" and the interface's own counts: both must be off. Replies come back where no route points.
    ["net/ipv4/conf/all/rp_filter", "0"],
    ["net/ipv4/conf/all/send_redirects", "0"],
    ["net/ipv4/ipfrag_high_thresh", `${REASSEMBLY.bytes}`],
    ["net/ipv4/ipfrag_time", `${REASSEMBLY.seconds}`],
    ["net/netfilter/nf_conntrack_frag6_high_thresh", `${REASSEMBLY.bytes}`],
    ["net/netfilter/nf_conntrack_frag6_timeout", `${REASSEMBLY.seconds}`],
    ["net/ipv4/fib_multipath_hash_policy", "1"],
    ["net/ipv6/fib_multipath_hash_policy", "1"],
    ...[...external, ...services].flatMap((name) => [
      [`net/ipv4/conf/${name}/rp_filter`, "0"] as const,
      [`net/ipv4/conf/${name}/send_redirects`, "0"] as const,
      ...linkSettings(name),
      ...neighbourSettings(name),
    ]),
    // Targets answer from the VIP, which is an address of this host, too.
    ...services.map((name) => [`net/ipv4/conf/${name}/accept_local`, "1"] as const),
  ];
}
