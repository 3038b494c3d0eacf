import type { Expression, ExpressionObject, NamedPayload, RawPayload, Verdict } from "./expression.ts";
import type { Match, Statement } from "./statement.ts";

/** A header field: `payload("ip", "saddr")`. */
export function payload(protocol: string, field: string): { readonly payload: NamedPayload } {
  return { payload: { protocol, field } };
}

/** `bits` bits of raw packet data, from bit `offset` of the header `base`: nft's `@th,192,32`. */
export function rawPayload(base: RawPayload["base"], offset: number, bits: number): { readonly payload: RawPayload } {
  return { payload: { base, offset, len: bits } };
}

export function meta(key: string): ExpressionObject {
  return { meta: { key } };
}

export function concat(...parts: readonly Expression[]): ExpressionObject {
  return { concat: parts };
}

export function match(left: Expression, op: Match["op"], right: Expression): Statement {
  return { match: { op, left, right } };
}

/** `key set value`. */
export function mangle(key: Expression, value: Expression): Statement {
  return { mangle: { key, value } };
}

export function jump(target: string): Verdict {
  return { jump: { target } };
}

export function goto(target: string): Verdict {
  return { goto: { target } };
}
