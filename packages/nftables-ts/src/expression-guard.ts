import type {
  ConntrackKey,
  Counts,
  ElementDetails,
  Expression,
  ExpressionObject,
  HeaderField,
  Jhash,
  MapElement,
  MapLookup,
  NamedPayload,
  Prefix,
  RawPayload,
} from "./expression.ts";
import { either, fields, type Guard, isNull, isNumber, isString, keyed, listOf, oneOf, pairOf } from "./guard.ts";

export const isExpression: Guard<Expression> = (value): value is Expression => {
  switch (typeof value) {
    case "string":
    case "number":
    case "boolean":
      return true;
    case "object":
      return Array.isArray(value) ? value.every(isExpression) : isExpressionObject(value);
    default:
      return false;
  }
};

const isCounts: Guard<Counts> = fields<Counts>({ packets: isNumber, bytes: isNumber }, {});
export const isIpFamily = oneOf("ip", "ip6");
export const isMapElement: Guard<MapElement> = pairOf(isExpression, isExpression);
export const isMapLookup = fields<MapLookup>({ key: isExpression, data: isExpression }, {});
export const isStrings: Guard<string | readonly string[]> = either(isString, listOf(isString));
const isChainTarget = fields<{ readonly target: string }>({ target: isString }, {});
export const verdictGuards = {
  accept: isNull,
  drop: isNull,
  continue: isNull,
  return: isNull,
  jump: isChainTarget,
  goto: isChainTarget,
};

const isHeaderField = fields<HeaderField>({ name: isString }, { field: isString, offset: isNumber });
const isOperands = pairOf(isExpression, isExpression);

const isExpressionObject: Guard<ExpressionObject> = keyed<ExpressionObject>({
  ...verdictGuards,
  concat: listOf(isExpression),
  set: either(isExpression, listOf(isMapElement)),
  map: isMapLookup,
  prefix: fields<Prefix>({ addr: isExpression, len: isNumber }, {}),
  range: isOperands,
  payload: either(
    fields<NamedPayload>({ protocol: isString, field: isString }, {}),
    fields<RawPayload>({ base: oneOf("ll", "nh", "th", "ih"), offset: isNumber, len: isNumber }, {}),
  ),
  exthdr: isHeaderField,
  "tcp option": isHeaderField,
  "sctp chunk": isHeaderField,
  meta: fields<{ readonly key: string }>({ key: isString }, {}),
  rt: fields<{ readonly key: string; readonly family?: "ip" | "ip6" }>({ key: isString }, { family: isIpFamily }),
  ct: fields<ConntrackKey>({ key: isString }, { family: isIpFamily, dir: oneOf("original", "reply") }),
  numgen: fields<{ readonly mode: "inc" | "random"; readonly mod: number; readonly offset?: number }>(
    { mode: oneOf("inc", "random"), mod: isNumber },
    { offset: isNumber },
  ),
  jhash: fields<Jhash>({ expr: isExpression, mod: isNumber }, { seed: isNumber, offset: isNumber }),
  symhash: fields<{ readonly mod: number; readonly offset?: number }>({ mod: isNumber }, { offset: isNumber }),
  fib: fields<{ readonly result: string; readonly flags: string | readonly string[] }>(
    { result: isString, flags: isStrings },
    {},
  ),
  socket: fields<{ readonly key: "transparent" | "mark" | "wildcard" }>(
    { key: oneOf("transparent", "mark", "wildcard") },
    {},
  ),
  "|": isOperands,
  "^": isOperands,
  "&": isOperands,
  "<<": isOperands,
  ">>": isOperands,
  elem: fields<ElementDetails>(
    { val: isExpression },
    { timeout: isNumber, expires: isNumber, comment: isString, counter: either(isCounts, isNull) },
  ),
});
