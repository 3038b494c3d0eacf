import type { Expression, MapElement } from "./expression.ts";
import type { Statement } from "./statement.ts";

export type Family = "ip" | "ip6" | "inet" | "arp" | "bridge" | "netdev";

export type Table = { readonly family: Family; readonly name: string };

/** A regular chain, or with `type`, `hook` and `prio` a base chain. `dev` binds netdev ingress and egress chains. */
export type Chain = {
  readonly family: Family;
  readonly table: string;
  readonly name: string;
  readonly type?: "filter" | "nat" | "route";
  readonly hook?: "prerouting" | "input" | "forward" | "output" | "postrouting" | "ingress" | "egress";
  readonly prio?: number;
  readonly dev?: string | readonly string[];
  readonly policy?: "accept" | "drop";
};

/** Adding after, or inserting before, the rule with `handle`, or at `index`. */
export type Rule = {
  readonly family: Family;
  readonly table: string;
  readonly chain: string;
  readonly expr: readonly Statement[];
  readonly comment?: string;
  readonly handle?: number;
  readonly index?: number;
};

/** One type, or several for a concatenation: `["ipv4_addr", "inet_proto", "inet_service"]`. */
export type ElementType = string | readonly string[];

export type SetFlag = "constant" | "interval" | "timeout" | "dynamic";

/** `timeout` and `gc-interval` are in seconds. */
export type NamedSet = {
  readonly family: Family;
  readonly table: string;
  readonly name: string;
  readonly type: ElementType;
  readonly flags?: SetFlag | readonly SetFlag[];
  readonly policy?: "performance" | "memory";
  readonly size?: number;
  readonly timeout?: number;
  readonly "gc-interval"?: number;
  readonly comment?: string;
  readonly elem?: readonly Expression[];
};

/** `map` is the type of the values; `"verdict"` makes a verdict map. */
export type NamedMap = Omit<NamedSet, "elem"> & {
  readonly map: ElementType;
  readonly elem?: readonly MapElement[];
};

/** Elements of the named set or map: values for a set, pairs for a map (keys alone when deleting from one). */
export type Elements = {
  readonly family: Family;
  readonly table: string;
  readonly name: string;
  readonly elem: readonly Expression[] | readonly MapElement[];
};

export type Counter = {
  readonly family: Family;
  readonly table: string;
  readonly name: string;
  readonly packets?: number;
  readonly bytes?: number;
};

/** What names one object of a table. */
export type ObjectName = { readonly family: Family; readonly table: string; readonly name: string };

/** What names one rule. */
export type RuleHandle = {
  readonly family: Family;
  readonly table: string;
  readonly chain: string;
  readonly handle: number;
};

export type AddedObject =
  | { readonly table: Table }
  | { readonly chain: Chain }
  | { readonly rule: Rule }
  | { readonly set: NamedSet }
  | { readonly map: NamedMap }
  | { readonly element: Elements }
  | { readonly counter: Counter };

export type DeletedObject =
  | { readonly table: Table }
  | { readonly chain: ObjectName }
  | { readonly rule: RuleHandle }
  | { readonly set: ObjectName }
  | { readonly map: ObjectName }
  | { readonly element: Elements }
  | { readonly counter: ObjectName };

/** One command of a transaction. `create` differs from `add` in that it refuses what already exists. */
export type NftCommand =
  | { readonly add: AddedObject }
  | { readonly create: AddedObject }
  | { readonly insert: { readonly rule: Rule } }
  | { readonly replace: { readonly rule: Rule & { readonly handle: number } } }
  | { readonly delete: DeletedObject }
  | { readonly rename: { readonly chain: ObjectName & { readonly newname: string } } }
  | {
      readonly flush:
        | { readonly table: Table }
        | { readonly chain: ObjectName }
        | { readonly set: ObjectName }
        | { readonly map: ObjectName }
        | { readonly ruleset: null };
    };

type InFamily = { readonly family: Family };

/** What to list. The plural forms list every object of their kind, in one family or table or everywhere. */
export type ListTarget =
  | { readonly ruleset: InFamily | null }
  | { readonly tables: InFamily | null }
  | { readonly table: Table }
  | { readonly chain: ObjectName }
  | { readonly set: ObjectName }
  | { readonly map: ObjectName }
  | { readonly counter: ObjectName }
  | { readonly counters: { readonly family: Family; readonly table: string } | null };

/** What to set back to zero. */
export type ResetTarget =
  | { readonly counter: ObjectName }
  | { readonly counters: { readonly family: Family; readonly table: string } | null };

type Listed<T> = T & { readonly handle: number };

/** A rule as listed. Statements that this package has no type for are kept as they came, under `unrecognised`. */
export type ListedRule = Listed<
  Omit<Rule, "expr" | "index"> & { readonly expr: readonly (Statement | Unrecognised)[] }
>;

export type Unrecognised = { readonly unrecognised: unknown };

/**
 * One object of a listing. What another program (or a newer nft) put there and this package has no type for comes as
 * `unrecognised`, so that a foreign rule never makes a listing fail.
 */
export type ListedObject =
  | { readonly table: Listed<Table> }
  | { readonly chain: Listed<Chain> }
  | { readonly rule: ListedRule }
  | { readonly set: Listed<NamedSet> }
  | { readonly map: Listed<NamedMap> }
  | { readonly counter: Listed<Counter> & { readonly packets: number; readonly bytes: number } }
  | Unrecognised;
