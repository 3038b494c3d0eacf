import { BlockList, isIP, isIPv4, isIPv6 } from "node:net";
import { isDeepStrictEqual } from "node:util";
import { type CelNode, parseCel } from "./cel-syntax.fixture.ts";

/*
 * Evaluates rules as an API server does, as far as rules here go: numbers are integers, addresses are Go's netip. It
 * shares nothing with the product's own parsing of addresses, so that the two can be compared.
 */

export class CelError extends Error {
  override readonly name = "CelError";
}

class CelIp {
  readonly text: string;
  constructor(text: string) {
    if (!validIp(text)) throw new CelError(`${text} is no address`);
    this.text = text;
  }
  get family(): 4 | 6 {
    return isIPv4(this.text) ? 4 : 6;
  }
}

class CelCidr {
  readonly ip: CelIp;
  readonly length: number;
  constructor(text: string) {
    const [, address = "", length = ""] = /^(.+)\/(0|[1-9][0-9]{0,2})$/.exec(text) ?? [];
    this.ip = new CelIp(address);
    this.length = Number(length);
    if (this.length > (this.ip.family === 4 ? 32 : 128)) throw new CelError(`${text} is no prefix`);
  }
  containsIp(other: CelIp): boolean {
    const typeOf = ({ family }: CelIp): "ipv4" | "ipv6" => (family === 4 ? "ipv4" : "ipv6");
    const block = new BlockList();
    block.addSubnet(this.ip.text, this.length, typeOf(this.ip));
    return this.ip.family === other.family && block.check(other.text, typeOf(other));
  }
}

/** No zones and no IPv4-mapped IPv6. */
function validIp(text: string): boolean {
  if (isIP(text) === 0 || text.includes("%")) return false;
  return !isIPv6(text) || !/^\[::ffff:[0-9a-f]+:[0-9a-f]+\]$/.test(new URL(`http://[${text}]`).hostname);
}

function isCidr(text: string): boolean {
  try {
    new CelCidr(text);
    return true;
  } catch (error) {
    if (error instanceof CelError) return false;
    throw error;
  }
}

type Environment = ReadonlyMap<string, unknown>;

const asText = (value: unknown): string => {
  if (typeof value !== "string") throw new CelError(`${JSON.stringify(value)} is no text`);
  return value;
};
const asNumber = (value: unknown): number => {
  if (typeof value !== "number") throw new CelError(`${JSON.stringify(value)} is no number`);
  return value;
};
const asBoolean = (value: unknown): boolean => {
  if (typeof value !== "boolean") throw new CelError(`${JSON.stringify(value)} is no truth`);
  return value;
};
function asItems(value: unknown): readonly unknown[] {
  if (Array.isArray(value)) return value;
  if (typeof value === "object" && value !== null) return Object.keys(value);
  throw new CelError(`${JSON.stringify(value)} has no items`);
}
const asIp = (value: unknown): CelIp => {
  if (!(value instanceof CelIp)) throw new CelError(`${JSON.stringify(value)} is no address`);
  return value;
};
const asCidr = (value: unknown): CelCidr => {
  if (!(value instanceof CelCidr)) throw new CelError(`${JSON.stringify(value)} is no prefix`);
  return value;
};

/** Go's slices of text: out of range is an error. */
function part(text: string, from: number, to = text.length): string {
  if (from < 0 || to > text.length || from > to)
    throw new CelError(`${from}..${to} is outside ${JSON.stringify(text)}`);
  return text.slice(from, to);
}

const FUNCTIONS: Readonly<Record<string, (...args: readonly unknown[]) => unknown>> = {
  size: (value) => (typeof value === "string" ? value.length : asItems(value).length),
  isIP: (text) => validIp(asText(text)),
  isCIDR: (text) => isCidr(asText(text)),
  ip: (value) => (value instanceof CelCidr ? value.ip : new CelIp(asText(value))),
  cidr: (text) => new CelCidr(asText(text)),
  family: (address) => asIp(address).family,
  containsIP: (prefix, address) => asCidr(prefix).containsIp(asIp(address)),
  int: (text) => {
    if (!/^[+-]?[0-9]+$/.test(asText(text))) throw new CelError(`${text} is no number`);
    return Number(text);
  },
  matches: (text, pattern) => new RegExp(asText(pattern), "u").test(asText(text)),
  split: (text, separator) => asText(text).split(asText(separator)),
  trim: (text) => asText(text).trim(),
  lowerAscii: (text) => asText(text).replaceAll(/[A-Z]/g, (letter) => letter.toLowerCase()),
  indexOf: (text, wanted) => asText(text).indexOf(asText(wanted)),
  lastIndexOf: (text, wanted) => asText(text).lastIndexOf(asText(wanted)),
  charAt: (text, at) => part(asText(text), asNumber(at), Math.min(asNumber(at) + 1, asText(text).length)),
  substring: (text, from, to) => part(asText(text), asNumber(from), to === undefined ? undefined : asNumber(to)),
};

function divided(left: number, right: number): number {
  if (right === 0) throw new CelError("division by zero");
  return Math.trunc(left / right);
}

const OPERATORS: Readonly<Record<string, (left: unknown, right: unknown) => unknown>> = {
  "==": (left, right) => isDeepStrictEqual(left, right),
  "!=": (left, right) => !isDeepStrictEqual(left, right),
  "<": (left, right) => asNumber(left) < asNumber(right),
  "<=": (left, right) => asNumber(left) <= asNumber(right),
  ">": (left, right) => asNumber(left) > asNumber(right),
  ">=": (left, right) => asNumber(left) >= asNumber(right),
  in: (left, right) => asItems(right).some((item) => isDeepStrictEqual(item, left)),
  "+": (left, right) => (typeof left === "string" ? left + asText(right) : asNumber(left) + asNumber(right)),
  "-": (left, right) => asNumber(left) - asNumber(right),
  "*": (left, right) => asNumber(left) * asNumber(right),
  "/": (left, right) => divided(asNumber(left), asNumber(right)),
  "%": (left, right) => asNumber(left) - asNumber(right) * divided(asNumber(left), asNumber(right)),
};

/** One that decides wins over one that fails, whichever stands first. */
function decide(deciding: boolean, operands: readonly (() => unknown)[]): boolean {
  let failure: unknown;
  for (const operand of operands) {
    try {
      if (asBoolean(operand()) === deciding) return deciding;
    } catch (error) {
      failure ??= error;
    }
  }
  if (failure !== undefined) throw failure;
  return !deciding;
}

function fieldOf(value: unknown, field: string): unknown {
  if (typeof value !== "object" || value === null || Array.isArray(value)) throw new CelError(`no fields: ${field}`);
  return Object.entries(value).find(([name]) => name === field)?.[1];
}

function evaluate(node: CelNode, environment: Environment): unknown {
  const value = (of: CelNode): unknown => evaluate(of, environment);
  switch (node.is) {
    case "literal":
      return node.value;
    case "name": {
      if (!environment.has(node.name)) throw new CelError(`there is no ${node.name}`);
      return environment.get(node.name);
    }
    case "list":
      return node.items.map(value);
    case "select": {
      const field = fieldOf(value(node.of), node.field);
      if (field === undefined) throw new CelError(`no such field: ${node.field}`);
      return field;
    }
    case "has":
      return fieldOf(value(node.of), node.field) !== undefined;
    case "index": {
      const item = asItems(value(node.of))[asNumber(value(node.at))];
      if (item === undefined) throw new CelError("no such item");
      return item;
    }
    case "not":
      return !asBoolean(value(node.of));
    case "choice":
      return value(asBoolean(value(node.test)) ? node.yes : node.no);
    case "binary": {
      const { operator, left, right } = node;
      if (operator === "&&" || operator === "||") {
        return decide(operator === "||", [() => value(left), () => value(right)]);
      }
      const operation = OPERATORS[operator];
      if (operation === undefined) throw new CelError(`no operator ${operator}`);
      return operation(value(left), value(right));
    }
    case "call": {
      const called = FUNCTIONS[node.name];
      if (called === undefined) throw new CelError(`no function ${node.name}`);
      return called(...(node.target === undefined ? [] : [value(node.target)]), ...node.args.map(value));
    }
    case "macro": {
      const items = asItems(value(node.target));
      const holds = (item: unknown): unknown => evaluate(node.body, new Map([...environment, [node.variable, item]]));
      const tests = items.map((item) => () => holds(item));
      if (node.name === "all") return decide(false, tests);
      if (node.name === "exists") return decide(true, tests);
      const kept = items.filter((item) => asBoolean(holds(item)));
      return node.name === "filter" ? kept : kept.length === 1;
    }
  }
}

/**
 * Whether `self` obeys the rule.
 * @throws CelError when the rule cannot be evaluated on it, CelSyntaxError when it is no rule.
 */
export function obeys(rule: string, self: unknown): boolean {
  return asBoolean(evaluate(parseCel(rule), new Map([["self", self]])));
}
