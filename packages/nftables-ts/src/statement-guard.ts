import type { Counts, Expression } from "./expression.ts";
import { isExpression, isIpFamily, isMapLookup, isStrings, verdictGuards } from "./expression-guard.ts";
import { either, fields, type Guard, isBoolean, isNull, isNumber, isString, keyed, oneOf } from "./guard.ts";
import type { Forward, Limit, Log, Match, SetUpdate, Statement } from "./statement.ts";

type Field<K extends string> = Extract<Statement, Readonly<Record<K, unknown>>>;

export const isStatement: Guard<Statement> = keyed<Statement>({
  ...verdictGuards,
  match: fields<Match>(
    { op: oneOf("==", "!=", "<", ">", "<=", ">=", "in"), left: isExpression, right: isExpression },
    {},
  ),
  counter: either(either(isString, isNull), fields<Partial<Counts>>({}, { packets: isNumber, bytes: isNumber })),
  mangle: fields<Field<"mangle">["mangle"]>({ key: isExpression, value: isExpression }, {}),
  vmap: isMapLookup,
  fwd: fields<Forward>({ dev: isExpression }, { family: isIpFamily, addr: isExpression }),
  dup: fields<Field<"dup">["dup"]>({ addr: isExpression }, { dev: isExpression }),
  log: either(
    isNull,
    fields<Log>(
      {},
      {
        prefix: isString,
        group: isNumber,
        snaplen: isNumber,
        "queue-threshold": isNumber,
        level: isString,
        flags: isStrings,
      },
    ),
  ),
  limit: either(
    isString,
    fields<Limit>(
      { rate: isNumber, per: isString },
      { burst: isNumber, rate_unit: isString, burst_unit: isString, inv: isBoolean },
    ),
  ),
  tproxy: fields<Field<"tproxy">["tproxy"]>({}, { family: isIpFamily, addr: isExpression, port: isExpression }),
  notrack: isNull,
  reject: either(
    isNull,
    fields<{ readonly type?: string; readonly expr?: Expression }>({}, { type: isString, expr: isExpression }),
  ),
  set: fields<SetUpdate>({ op: oneOf("add", "update", "delete"), elem: isExpression, set: isString }, {}),
});
