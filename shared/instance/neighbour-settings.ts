/**
 * A neighbour whose MAC has changed without a word is found again in about half a second: one that is used is verified
 * two to six times a second, asked once where it was, then on the whole link (docs/decisions/016).
 */
const TIMING = {
  base_reachable_time_ms: 300,
  delay_first_probe_time: 0,
  retrans_time_ms: 100,
  ucast_solicit: 1,
  mcast_resolicit: 3,
  // Or the answer with the new MAC would be ignored for a second after the last one with the old.
  locktime: 0,
} as const;

/** Settings of an interface, sysctl and value, by which neighbours that move are found again and told of our own moves. */
export function neighbourSettings(device: string): readonly (readonly [string, string])[] {
  return [
    // Others are told of a new MAC of ours, and when the interface comes up.
    [`net/ipv4/conf/${device}/arp_notify`, "1"],
    [`net/ipv6/conf/${device}/ndisc_notify`, "1"],
    ...["ipv4", "ipv6"].flatMap((family) =>
      Object.entries(TIMING).map(([key, value]) => [`net/${family}/neigh/${device}/${key}`, String(value)] as const),
    ),
  ];
}
