/*
 * The syntax of the Common Expression Language, as far as rules of CustomResourceDefinitions here use it. For tests: an
 * API server does this in production.
 */

export type CelNode =
  | { readonly is: "literal"; readonly value: boolean | number | string }
  | { readonly is: "name"; readonly name: string }
  | { readonly is: "list"; readonly items: readonly CelNode[] }
  | { readonly is: "select"; readonly of: CelNode; readonly field: string }
  | { readonly is: "has"; readonly of: CelNode; readonly field: string }
  | { readonly is: "index"; readonly of: CelNode; readonly at: CelNode }
  | { readonly is: "not"; readonly of: CelNode }
  | { readonly is: "choice"; readonly test: CelNode; readonly yes: CelNode; readonly no: CelNode }
  | { readonly is: "binary"; readonly operator: string; readonly left: CelNode; readonly right: CelNode }
  | { readonly is: "call"; readonly name: string; readonly target?: CelNode; readonly args: readonly CelNode[] }
  | {
      readonly is: "macro";
      readonly name: "all" | "exists" | "exists_one" | "filter";
      readonly target: CelNode;
      readonly variable: string;
      readonly body: CelNode;
    };

class CelSyntaxError extends Error {
  override readonly name = "CelSyntaxError";
}

const TOKEN =
  /\s*(?:(r?"""[\s\S]*?"""|r?"(?:[^"\\]|\\.)*"|r?'(?:[^'\\]|\\.)*')|([0-9]+)|([A-Za-z_][A-Za-z0-9_]*)|(&&|\|\||[<>=!]=|[-+*/%<>!?:.,()[\]]))/y;

/** Words that name nothing; a field of that name is written `__word__`. */
const RESERVED = new Set(
  "as break const continue else for function if import let loop namespace null package return var void while".split(
    " ",
  ),
);
const LEVELS: readonly (readonly string[])[] = [
  ["||"],
  ["&&"],
  ["<", "<=", "==", "!=", ">=", ">", "in"],
  ["+", "-"],
  ["*", "/", "%"],
];

interface Token {
  readonly is: "text" | "number" | "word" | "sign" | "end";
  readonly text: string;
}

function unquoted(source: string): string {
  const raw = source.startsWith("r");
  const quoted = raw ? source.slice(1) : source;
  const inner = quoted.startsWith('"""') ? quoted.slice(3, -3) : quoted.slice(1, -1);
  return raw ? inner : inner.replaceAll(/\\(.)/g, "$1");
}

function tokensOf(source: string): Token[] {
  const tokens: Token[] = [];
  const pattern = new RegExp(TOKEN);
  const end = source.trimEnd().length;
  while (pattern.lastIndex < end) {
    const from = pattern.lastIndex;
    const match = pattern.exec(source);
    if (match === null) throw new CelSyntaxError(`cannot read ${JSON.stringify(source.slice(from))}`);
    const [, text, number, word, sign] = match;
    if (text !== undefined) tokens.push({ is: "text", text: unquoted(text) });
    else if (number !== undefined) tokens.push({ is: "number", text: number });
    else if (word === "in") tokens.push({ is: "sign", text: word });
    else if (word !== undefined) tokens.push({ is: "word", text: word });
    else tokens.push({ is: "sign", text: sign ?? "" });
  }
  return tokens;
}

class Parser {
  readonly #tokens: readonly Token[];
  #at = 0;

  constructor(source: string) {
    this.#tokens = tokensOf(source);
  }

  whole(): CelNode {
    const node = this.#expression();
    if (this.#peek().is !== "end") throw new CelSyntaxError(`unexpected ${this.#peek().text}`);
    return node;
  }

  #peek(): Token {
    return this.#tokens[this.#at] ?? { is: "end", text: "the end" };
  }

  #take(sign: string): boolean {
    const token = this.#peek();
    if (token.is !== "sign" || token.text !== sign) return false;
    this.#at += 1;
    return true;
  }

  #need(sign: string): void {
    if (!this.#take(sign)) throw new CelSyntaxError(`wants ${sign} instead of ${this.#peek().text}`);
  }

  #word(): string {
    const token = this.#peek();
    if (token.is !== "word" || RESERVED.has(token.text)) throw new CelSyntaxError(`${token.text} is no name`);
    this.#at += 1;
    return token.text;
  }

  #expression(): CelNode {
    const test = this.#binary(0);
    if (!this.#take("?")) return test;
    const yes = this.#binary(0);
    this.#need(":");
    return { is: "choice", test, yes, no: this.#expression() };
  }

  #binary(level: number): CelNode {
    const operators = LEVELS[level];
    if (operators === undefined) return this.#unary();
    let left = this.#binary(level + 1);
    for (;;) {
      const operator = operators.find((sign) => this.#take(sign));
      if (operator === undefined) return left;
      left = { is: "binary", operator, left, right: this.#binary(level + 1) };
    }
  }

  #unary(): CelNode {
    if (this.#take("!")) return { is: "not", of: this.#unary() };
    if (!this.#take("-")) return this.#member();
    return { is: "binary", operator: "-", left: { is: "literal", value: 0 }, right: this.#unary() };
  }

  #member(): CelNode {
    let node = this.#primary();
    for (;;) {
      if (this.#take("[")) {
        node = { is: "index", of: node, at: this.#expression() };
        this.#need("]");
      } else if (this.#take(".")) {
        const name = this.#word();
        if (this.#take("(")) node = this.#method(node, name);
        else node = { is: "select", of: node, field: /^__(.+)__$/.exec(name)?.[1] ?? name };
      } else return node;
    }
  }

  #method(target: CelNode, name: string): CelNode {
    if (name === "all" || name === "exists" || name === "exists_one" || name === "filter") {
      const variable = this.#word();
      this.#need(",");
      const body = this.#expression();
      this.#need(")");
      return { is: "macro", name, target, variable, body };
    }
    return { is: "call", name, target, args: this.#list(")") };
  }

  #primary(): CelNode {
    const token = this.#peek();
    if (token.is === "text" || token.is === "number") {
      this.#at += 1;
      return { is: "literal", value: token.is === "text" ? token.text : Number(token.text) };
    }
    if (this.#take("(")) {
      const node = this.#expression();
      this.#need(")");
      return node;
    }
    if (this.#take("[")) return { is: "list", items: this.#list("]") };
    const name = this.#word();
    if (name === "true" || name === "false") return { is: "literal", value: name === "true" };
    if (!this.#take("(")) return { is: "name", name };
    const args = this.#list(")");
    if (name !== "has") return { is: "call", name, args };
    const [field] = args;
    if (field?.is !== "select") throw new CelSyntaxError("has() wants a field");
    return { ...field, is: "has" };
  }

  #list(end: string): CelNode[] {
    const items: CelNode[] = [];
    if (this.#take(end)) return items;
    do items.push(this.#expression());
    while (this.#take(","));
    this.#need(end);
    return items;
  }
}

/** @throws CelSyntaxError */
export function parseCel(source: string): CelNode {
  return new Parser(source).whole();
}
