import { NftListingError } from "./errors.ts";
import { isExpression, isMapElement, isStrings } from "./expression-guard.ts";
import { either, fields, type Guard, isNumber, isRecord, isString, listOf, oneOf } from "./guard.ts";
import type {
  Chain,
  Counter,
  Family,
  ListedObject,
  ListedRule,
  NamedMap,
  NamedSet,
  SetFlag,
  Table,
} from "./ruleset.ts";
import { isStatement } from "./statement-guard.ts";

type Listed<T> = T & { readonly handle: number };
type RuleFrame = Omit<ListedRule, "expr"> & { readonly expr: readonly unknown[] };

const isFamily: Guard<Family> = oneOf("ip", "ip6", "inet", "arp", "bridge", "netdev");
const isFlag: Guard<SetFlag> = oneOf("constant", "interval", "timeout", "dynamic");
const isAnything: Guard<unknown> = (_value): _value is unknown => true;

const named = { family: isFamily, name: isString, handle: isNumber };
const inTable = { ...named, table: isString };

const isTable = fields<Listed<Table>>(named, {});
const isChain = fields<Listed<Chain>>(inTable, {
  type: oneOf("filter", "nat", "route"),
  hook: oneOf("prerouting", "input", "forward", "output", "postrouting", "ingress", "egress"),
  prio: isNumber,
  dev: isStrings,
  policy: oneOf("accept", "drop"),
});
const isRuleFrame = fields<RuleFrame>(
  { family: isFamily, table: isString, chain: isString, handle: isNumber, expr: listOf(isAnything) },
  { comment: isString },
);
const setOptions = {
  flags: either(isFlag, listOf(isFlag)),
  policy: oneOf("performance", "memory"),
  size: isNumber,
  timeout: isNumber,
  "gc-interval": isNumber,
  comment: isString,
};
const isSet = fields<Listed<NamedSet>>({ ...inTable, type: isStrings }, { ...setOptions, elem: listOf(isExpression) });
const isMap = fields<Listed<NamedMap>>(
  { ...inTable, type: isStrings, map: isStrings },
  { ...setOptions, elem: listOf(isMapElement) },
);
const isCounter = fields<Listed<Counter> & { readonly packets: number; readonly bytes: number }>(
  { ...inTable, packets: isNumber, bytes: isNumber },
  {},
);

/**
 * Parses what `list` prints in JSON. The leading `metainfo` object is left out; an empty listing prints nothing at all.
 *
 * @throws NftListingError when the text is not libnftables' JSON
 */
export function parseListing(text: string): readonly ListedObject[] {
  if (text.trim() === "") return [];
  let parsed: unknown;
  try {
    parsed = JSON.parse(text);
  } catch (cause) {
    throw new NftListingError(`libnftables printed a listing that is not JSON: ${excerpt(text)}`, { cause });
  }
  const objects = isRecord(parsed) ? parsed.nftables : undefined;
  if (!Array.isArray(objects)) {
    throw new NftListingError(`libnftables printed a listing without the array "nftables": ${excerpt(text)}`);
  }
  return objects.filter((object) => !(isRecord(object) && "metainfo" in object)).map(listedObject);
}

function listedObject(object: unknown): ListedObject {
  if (isRecord(object)) {
    if (isRuleFrame(object.rule)) {
      const expr = object.rule.expr.map((item) => (isStatement(item) ? item : { unrecognised: item }));
      return { rule: { ...object.rule, expr } };
    }
    if (isMap(object.map)) return { map: object.map };
    if (isSet(object.set)) return { set: object.set };
    if (isChain(object.chain)) return { chain: object.chain };
    if (isTable(object.table)) return { table: object.table };
    if (isCounter(object.counter)) return { counter: object.counter };
  }
  return { unrecognised: object };
}

function excerpt(text: string): string {
  return JSON.stringify(text.length > 120 ? `${text.slice(0, 120)}…` : text);
}
