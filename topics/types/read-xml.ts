/*
 * XML as far as descriptions of types need it: elements, attributes, comments and the five predefined entities. What
 * could make a parser read other files or grow without bound (document types, entities of one's own) is refused, and so
 * is text between elements, which has no meaning there.
 */

export interface XmlElement {
  readonly name: string;
  readonly attributes: ReadonlyMap<string, string>;
  readonly children: readonly XmlElement[];
  /** 1-based. */
  readonly line: number;
}

/** It is not XML, or not the part of it that is read here. The message names the line. */
export class XmlError extends Error {
  override readonly name = "XmlError";
}

/** Deeper elements are refused: modules in modules. */
const MAX_DEPTH = 64;
const MAX_ELEMENTS = 50_000;

const ENTITIES: ReadonlyMap<string, string> = new Map([
  ["lt", "<"],
  ["gt", ">"],
  ["amp", "&"],
  ["quot", '"'],
  ["apos", "'"],
]);

const NAME = /[A-Za-z_:][-A-Za-z0-9_:.]*/y;
const SPACE = /[ \t\r\n]*/y;

interface OpenElement {
  readonly name: string;
  readonly attributes: ReadonlyMap<string, string>;
  readonly children: XmlElement[];
  readonly line: number;
}

class XmlReader {
  readonly #text: string;
  #at = 0;
  #elements = 0;
  /** Lines are counted as far as they were asked for, so that asking for each element's is not a walk of the whole. */
  #line = 1;
  #counted = 0;

  constructor(text: string) {
    this.#text = text.startsWith("\ufeff") ? text.slice(1) : text;
  }

  read(): XmlElement {
    const open: OpenElement[] = [];
    let root: XmlElement | undefined;
    for (;;) {
      this.#space();
      if (this.#at === this.#text.length) break;
      if (this.#text[this.#at] !== "<") throw this.#error("text between elements has no meaning here; take it out");
      if (this.#skip()) continue;
      const parent = open.at(-1);
      if (this.#take("</")) {
        const name = this.#name();
        this.#space();
        if (!this.#take(">")) throw this.#error(`</${name} must end with '>'`);
        if (parent === undefined || parent.name !== name) {
          const wanted = parent === undefined ? "nothing is open" : `</${parent.name}> must come first`;
          throw this.#error(`</${name}>: ${wanted}`);
        }
        open.pop();
        if (open.length === 0) root = parent;
        continue;
      }
      if (root !== undefined) throw this.#error("a second root element; put everything into one");
      this.#at += 1;
      const element = this.#start();
      parent?.children.push(element.element);
      if (!element.isEmpty) open.push(element.element);
      else if (parent === undefined) root = element.element;
      if (open.length > MAX_DEPTH) throw this.#error(`elements are nested deeper than ${MAX_DEPTH}`);
    }
    const last = open.at(-1);
    if (last !== undefined) throw this.#error(`<${last.name}> of line ${last.line} is not closed`);
    if (root === undefined) throw this.#error("there is no element in it");
    return root;
  }

  /** What stands before and between elements and means nothing. */
  #skip(): boolean {
    for (const [begin, end] of [
      ["<!--", "-->"],
      ["<?", "?>"],
    ] as const) {
      if (!this.#text.startsWith(begin, this.#at)) continue;
      const closed = this.#text.indexOf(end, this.#at + begin.length);
      if (closed < 0) throw this.#error(`${begin} is not closed by ${end}`);
      this.#at = closed + end.length;
      return true;
    }
    if (this.#text.startsWith("<!", this.#at)) {
      throw this.#error("document types, entities and CDATA are not taken; take the <!…> out");
    }
    return false;
  }

  #start(): { readonly element: OpenElement; readonly isEmpty: boolean } {
    this.#elements += 1;
    if (this.#elements > MAX_ELEMENTS) throw this.#error(`more than ${MAX_ELEMENTS} elements`);
    const line = this.#lineNow();
    const name = this.#name();
    const attributes = new Map<string, string>();
    for (;;) {
      const before = this.#at;
      this.#space();
      const isEmpty = this.#take("/>");
      if (isEmpty || this.#take(">")) return { element: { name, attributes, children: [], line }, isEmpty };
      if (before === this.#at) throw this.#error(`<${name}: a blank, '>' or '/>' is missing`);
      const attribute = this.#name();
      if (attributes.has(attribute)) throw this.#error(`<${name}> has two attributes ${attribute}`);
      attributes.set(attribute, this.#value(name, attribute));
    }
  }

  #value(name: string, attribute: string): string {
    this.#space();
    const hasSign = this.#take("=");
    this.#space();
    const quote = this.#text[this.#at];
    const closed = quote === '"' || quote === "'" ? this.#text.indexOf(quote, this.#at + 1) : -1;
    if (!hasSign || closed < 0) throw this.#error(`<${name}>: write ${attribute}="…"`);
    const raw = this.#text.slice(this.#at + 1, closed);
    if (raw.includes("<")) throw this.#error(`<${name}>: ${attribute} is not closed by a quote, or holds a '<'`);
    this.#at = closed + 1;
    return raw.replaceAll(/&([^;]*;?)/g, (whole, inside: string) => {
      const value = inside.endsWith(";") ? ENTITIES.get(inside.slice(0, -1)) : undefined;
      if (value === undefined)
        throw this.#error(
          `<${name}>: ${attribute} holds ${JSON.stringify(whole.slice(0, 20))}, which is no known entity`,
        );
      return value;
    });
  }

  #name(): string {
    NAME.lastIndex = this.#at;
    const found = NAME.exec(this.#text)?.[0];
    if (found === undefined) throw this.#error("the name of an element or attribute is missing");
    this.#at += found.length;
    return found;
  }

  #space(): void {
    SPACE.lastIndex = this.#at;
    this.#at += SPACE.exec(this.#text)?.[0].length ?? 0;
  }

  #take(text: string): boolean {
    if (!this.#text.startsWith(text, this.#at)) return false;
    this.#at += text.length;
    return true;
  }

  #lineNow(): number {
    for (; this.#counted < this.#at; this.#counted += 1) if (this.#text[this.#counted] === "\n") this.#line += 1;
    return this.#line;
  }

  #error(message: string): XmlError {
    return new XmlError(`line ${this.#lineNow()}: ${message}`);
  }
}

/** The root element of an XML document. @throws XmlError. */
export function readXml(text: string): XmlElement {
  return new XmlReader(text).read();
}

const ESCAPES: ReadonlyMap<string, string> = new Map(
  [...ENTITIES].map(([name, character]) => [character, `&${name};`]),
);

/** Text as it stands in an attribute or an element. */
export function escapeXml(text: string): string {
  return text.replaceAll(/[<>&"']/g, (character) => ESCAPES.get(character) ?? character);
}

/** An element as text, without comments. */
export function writeXml({ name, attributes, children }: XmlElement): string {
  const pairs = [...attributes].map(([key, value]) => ` ${key}="${escapeXml(value)}"`).join("");
  const inside = children.map(writeXml).join("");
  return inside === "" ? `<${name}${pairs}/>` : `<${name}${pairs}>${inside}</${name}>`;
}
