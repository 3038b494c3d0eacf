/** Settings by which others are told of an interface's new MAC and when it comes up, and by which it keeps its addresses. */
export function linkSettings(device: string): readonly (readonly [string, string])[] {
  return [
    [`net/ipv4/conf/${device}/arp_notify`, "1"],
    [`net/ipv6/conf/${device}/ndisc_notify`, "1"],
    // Else an interface that goes down and comes up has lost its IPv6 addresses.
    [`net/ipv6/conf/${device}/keep_addr_on_down`, "1"],
  ];
}

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

/** Settings by which an instance finds neighbours again that have moved. */
export function neighbourSettings(device: string): readonly (readonly [string, string])[] {
  return ["ipv4", "ipv6"].flatMap((family) =>
    Object.entries(TIMING).map(([key, value]) => [`net/${family}/neigh/${device}/${key}`, String(value)] as const),
  );
}
