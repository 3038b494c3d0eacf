/** A chain that the kernel calls: its hook, and rules that only go to other chains. */
export interface BaseChain {
  /** nft's words for the hook, for example `type filter hook ingress device "ext0" priority 0; policy accept;`. */
  readonly hook: string;
  /**
   * Hook and priority, as a listing tells them (nft 1.0.6 does not tell the device: that is in the chain's name). A
   * chain with another place is made anew.
   */
  readonly place: string;
  readonly rules: readonly { readonly match: string; readonly chain: string }[];
}

/** A named map: verdicts by key. Sets have the empty text as value. */
export interface Elements {
  readonly kind: "map" | "set";
  /** nft's words between the braces, without elements. */
  readonly declaration: string;
  readonly elements: ReadonlyMap<string, string>;
}

/** A map or set whose elements packets make and time ends. Never looked into. */
export interface Dynamic {
  readonly kind: "map" | "set";
  /** nft's words between the braces. */
  readonly declaration: string;
}

/** A lookup table, slot number to leg id, or what is moved of one. No element where 0 stands. */
export interface Slots {
  readonly slots: Uint32Array;
}

/**
 * One nftables table. Ordinary chains are named after their content (a hash of their rules, and so of all they refer
 * to by content): a chain never changes, it is replaced by another name. So the names alone say whether the kernel has
 * what is wanted, and no packet meets half a change.
 */
export interface TableState {
  readonly family: "netdev" | "inet";
  readonly name: string;
  readonly counters: ReadonlySet<string>;
  readonly chains: ReadonlyMap<string, readonly string[]>;
  readonly bases: ReadonlyMap<string, BaseChain>;
  readonly maps: ReadonlyMap<string, Elements>;
  readonly luts: ReadonlyMap<string, Slots>;
  readonly dynamic: ReadonlyMap<string, Dynamic>;
}

/** What the kernel holds. Rules of ordinary chains are only counted: their names say the rest. */
export interface ListedTable {
  readonly counters: ReadonlySet<string>;
  readonly chains: ReadonlyMap<string, number>;
  readonly bases: ReadonlyMap<string, { readonly place: string; readonly targets: readonly string[] }>;
  readonly maps: ReadonlyMap<string, { readonly kind: "map" | "set"; readonly elements: ReadonlyMap<string, string> }>;
  readonly luts: ReadonlyMap<string, Slots>;
  readonly dynamic: ReadonlyMap<string, Dynamic["kind"]>;
  /** Maps, sets and lookup tables with elements that are none of ours in shape; here without any element. */
  readonly unreadable: ReadonlySet<string>;
}

/** A desired table as a listing would show it once it is applied. */
export function asListed(table: TableState): ListedTable {
  return {
    counters: table.counters,
    chains: new Map([...table.chains].map(([name, rules]) => [name, rules.length])),
    bases: new Map(
      [...table.bases].map(([name, base]) => [name, { place: base.place, targets: base.rules.map((r) => r.chain) }]),
    ),
    maps: new Map([...table.maps].map(([name, { kind, elements }]) => [name, { kind, elements }])),
    luts: table.luts,
    dynamic: new Map([...table.dynamic].map(([name, { kind }]) => [name, kind])),
    unreadable: new Set(),
  };
}
