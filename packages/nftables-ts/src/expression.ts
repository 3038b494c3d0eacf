/**
 * Expressions of libnftables' JSON schema (libnftables-json(5)). Every expression is an immediate, a list, or an object
 * with exactly one key that names its kind, so `"payload" in expression` narrows.
 */
export type Expression = Immediate | readonly Expression[] | ExpressionObject;

/** `"@name"` refers to a named set or map; `"*"` is the wildcard. */
export type Immediate = string | number | boolean;

export type ExpressionObject =
  | { readonly concat: readonly Expression[] }
  | { readonly set: Expression | readonly MapElement[] }
  | { readonly map: MapLookup }
  | { readonly prefix: Prefix }
  | { readonly range: readonly [Expression, Expression] }
  | { readonly payload: NamedPayload | RawPayload }
  | { readonly exthdr: HeaderField }
  | { readonly "tcp option": HeaderField }
  | { readonly "sctp chunk": HeaderField }
  | { readonly meta: { readonly key: string } }
  | { readonly rt: { readonly key: string; readonly family?: "ip" | "ip6" } }
  | { readonly ct: ConntrackKey }
  | { readonly numgen: { readonly mode: "inc" | "random"; readonly mod: number; readonly offset?: number } }
  | { readonly jhash: Jhash }
  | { readonly symhash: { readonly mod: number; readonly offset?: number } }
  | { readonly fib: { readonly result: string; readonly flags: string | readonly string[] } }
  | { readonly socket: { readonly key: "transparent" | "mark" | "wildcard" } }
  | { readonly "|": readonly [Expression, Expression] }
  | { readonly "^": readonly [Expression, Expression] }
  | { readonly "&": readonly [Expression, Expression] }
  | { readonly "<<": readonly [Expression, Expression] }
  | { readonly ">>": readonly [Expression, Expression] }
  | { readonly elem: ElementDetails }
  | Verdict;

export type Verdict =
  | { readonly accept: null }
  | { readonly drop: null }
  | { readonly continue: null }
  | { readonly return: null }
  | { readonly jump: { readonly target: string } }
  | { readonly goto: { readonly target: string } };

/** A named header field, such as `{ protocol: "ip", field: "saddr" }`; `th` stands for any transport protocol. */
export type NamedPayload = { readonly protocol: string; readonly field: string };

/** Raw packet data. Unlike what libnftables-json(5) says, `offset` and `len` count bits. */
export type RawPayload = { readonly base: "ll" | "nh" | "th" | "ih"; readonly offset: number; readonly len: number };

/** Without `field` it asks whether the header, option or chunk is present. */
export type HeaderField = { readonly name: string; readonly field?: string; readonly offset?: number };

export type ConntrackKey = {
  readonly key: string;
  readonly family?: "ip" | "ip6";
  readonly dir?: "original" | "reply";
};

export type Prefix = { readonly addr: Expression; readonly len: number };

export type Jhash = {
  readonly expr: Expression;
  readonly mod: number;
  readonly seed?: number;
  readonly offset?: number;
};

/** `data` is `"@name"` or an anonymous `{ set: [[key, value], …] }`. */
export type MapLookup = { readonly key: Expression; readonly data: Expression };

/** A set element with more than its value. `timeout` and `expires` are in seconds. */
export type ElementDetails = {
  readonly val: Expression;
  readonly timeout?: number;
  readonly expires?: number;
  readonly comment?: string;
  readonly counter?: Counts | null;
};

export type Counts = { readonly packets: number; readonly bytes: number };

/** A key and what it maps to. */
export type MapElement = readonly [Expression, Expression];
