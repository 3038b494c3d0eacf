import type { Counts, Expression, MapLookup, Verdict } from "./expression.ts";

/** Statements of libnftables' JSON schema: objects with exactly one key that names the kind. */
export type Statement =
  | Verdict
  | { readonly match: Match }
  | { readonly counter: Partial<Counts> | string | null }
  | { readonly mangle: { readonly key: Expression; readonly value: Expression } }
  | { readonly vmap: MapLookup }
  | { readonly fwd: Forward }
  | { readonly dup: { readonly addr: Expression; readonly dev?: Expression } }
  | { readonly log: Log | null }
  | { readonly limit: Limit | string }
  | { readonly tproxy: { readonly family?: "ip" | "ip6"; readonly addr?: Expression; readonly port?: Expression } }
  | { readonly notrack: null }
  | { readonly reject: { readonly type?: string; readonly expr?: Expression } | null }
  | { readonly set: SetUpdate };

/** `in` asks whether any bit of `right` is set in `left`; otherwise the comparison. */
export type Match = {
  readonly op: "==" | "!=" | "<" | ">" | "<=" | ">=" | "in";
  readonly left: Expression;
  readonly right: Expression;
};

/** Sends the packet out of `dev`; with `family` and `addr` (both or neither) to that neighbour. Netdev family only. */
export type Forward = { readonly dev: Expression; readonly family?: "ip" | "ip6"; readonly addr?: Expression };

export type Log = {
  readonly prefix?: string;
  readonly group?: number;
  readonly snaplen?: number;
  readonly "queue-threshold"?: number;
  readonly level?: string;
  readonly flags?: string | readonly string[];
};

/** `inv` matches what exceeds the rate. */
export type Limit = {
  readonly rate: number;
  readonly per: string;
  readonly burst?: number;
  readonly rate_unit?: string;
  readonly burst_unit?: string;
  readonly inv?: boolean;
};

/** Changes a named dynamic set (`set` is `"@name"`) from the packet path. */
export type SetUpdate = {
  readonly op: "add" | "update" | "delete";
  readonly elem: Expression;
  readonly set: string;
};
