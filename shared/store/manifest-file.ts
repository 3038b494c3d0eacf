import { hash } from "node:crypto";
import { Composer, type Document, isAlias, isMap, isNode, isScalar, isSeq, LineCounter, type Node, Parser } from "yaml";
import { type AnyObject, describeRef, KINDS, type Kind, type ObjectRef } from "../api/kinds.ts";
import { explainIssue } from "./explain-issue.ts";
import { judgeKind, parseObject } from "./manifest-kind.ts";
import { fieldText, type Problem } from "./problem.ts";

/** A manifest file that is larger is refused: it is not one that a person keeps. */
export const MAX_MANIFEST_BYTES = 8 * 1024 * 1024;
/** How often aliases may repeat what their anchors hold: a few lines could otherwise grow without bound. */
const MAX_ALIAS_COUNT = 100;
const MAX_LIST_DEPTH = 4;

type Place = Pick<Problem, "line" | "column">;

export interface ManifestOptions {
  /** Objects of other kinds are left out, unchecked. All kinds are read when absent. */
  readonly wants?: (kind: Kind) => boolean;
  /** Keeps the place of every field, at the cost of the document's syntax tree. */
  readonly locates?: boolean;
}

/** One object of ours in a file. */
export interface ManifestObject {
  readonly ref: ObjectRef;
  readonly line: number;
  readonly column: number;
  /** Undefined when the document is broken; its problems are the file's. */
  readonly object: AnyObject | undefined;
  /** Where a field stands; without `locates`, where the object does. */
  readonly placeOf: (path: readonly PropertyKey[]) => Place;
  /** Changes with anything in the document. */
  readonly contentHash: string;
  /** Changes with anything but metadata and status. */
  readonly specHash: string;
}

/** Another program's object. */
interface ForeignObject {
  readonly apiVersion: string;
  readonly kind: string;
  readonly name: string;
  readonly line: number;
}

/** What a file holds: every document on its own, so that one broken document takes no other with it. */
export interface ManifestFile {
  readonly file: string;
  readonly objects: readonly ManifestObject[];
  readonly foreign: readonly ForeignObject[];
  readonly problems: readonly Problem[];
  /** False when a document could not be told apart or named: what else the file was meant to hold is unknown. */
  readonly complete: boolean;
}

type Plain = Readonly<Record<string, unknown>>;

function isPlain(value: unknown): value is Plain {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** Kubernetes takes a null field as one that is absent; so do we. Nulls in lists stay, for the schema to refuse. */
function withoutNulls(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(withoutNulls);
  if (!isPlain(value)) return value;
  const fields = Object.entries(value).filter(([, field]) => field !== null);
  return Object.fromEntries(fields.map(([key, field]) => [key, withoutNulls(field)]));
}

/** A file whose content cannot be looked at: one problem, nothing known. */
export function unreadableFile(file: string, message: string, fix?: string): ManifestFile {
  const problem = { file, line: 1, column: 1, message, ...(fix === undefined ? {} : { fix }) };
  return { file, objects: [], foreign: [], problems: [problem], complete: false };
}

/** The refusal of a file that is too large to be looked at. */
export function tooLarge(file: string, bytes: number): ManifestFile {
  return unreadableFile(file, `holds ${bytes} bytes; at most ${MAX_MANIFEST_BYTES} are read`, "split it");
}

/** Reads the documents of one file, collecting what it finds; {@link parseManifest} is its use. */
class ManifestReader {
  readonly objects: ManifestObject[] = [];
  readonly foreign: ForeignObject[] = [];
  readonly problems: Problem[] = [];
  complete = true;
  readonly #file: string;
  readonly #lines: LineCounter;
  readonly #options: ManifestOptions;

  constructor(file: string, lines: LineCounter, options: ManifestOptions) {
    this.#file = file;
    this.#lines = lines;
    this.#options = options;
  }

  readDocument(document: Document.Parsed): void {
    const start = this.#place(document.contents?.range?.[0] ?? document.range[0]);
    let value: unknown;
    try {
      value = document.toJS({ maxAliasCount: MAX_ALIAS_COUNT });
    } catch (error) {
      // An alias without its anchor, or more repetition than is allowed.
      const message = error instanceof Error ? error.message : String(error);
      this.#report(start, {}, message, "write the values out instead of using aliases");
      this.complete = false;
      return;
    }
    if (document.errors.length > 0) {
      const object = this.#nameOf(value);
      for (const error of document.errors) {
        const message = error.code === "TAB_AS_INDENT" ? "a tab cannot indent YAML" : error.message;
        const fix = error.code === "TAB_AS_INDENT" ? "use spaces" : undefined;
        this.#report(this.#place(error.pos[0]), object === undefined ? {} : { object }, `not YAML: ${message}`, fix);
      }
      this.complete = false;
      return;
    }
    if (value !== null && value !== undefined) this.#readValue(withoutNulls(value), document.contents, start, 0);
  }

  #readValue(value: unknown, node: Node | null, start: Place, depth: number): void {
    if (!isPlain(value)) {
      this.#report(start, {}, "must be a Kubernetes object: a mapping with apiVersion, kind, metadata");
      this.complete = false;
      return;
    }
    const { apiVersion, kind } = value;
    if (typeof apiVersion !== "string" || typeof kind !== "string") {
      const object = this.#nameOf(value);
      for (const field of ["apiVersion", "kind"]) {
        if (typeof value[field] === "string") continue;
        const message = Object.hasOwn(value, field) ? "must be text" : "is missing";
        this.#report(this.#placeOf(node, [field], start), { field, ...(object && { object }) }, message);
      }
      this.complete = false;
      return;
    }
    if (kind.endsWith("List") && Array.isArray(value.items) && depth < MAX_LIST_DEPTH) {
      value.items.forEach((item: unknown, index) => {
        const itemNode = this.#nodeAt(node, ["items", index]);
        this.#readValue(item, itemNode ?? node, this.#placeOf(node, ["items", index], start), depth + 1);
      });
      return;
    }
    const verdict = judgeKind(apiVersion, kind);
    if (verdict.is === "foreign") {
      this.foreign.push({ apiVersion, kind, name: this.#plainName(value) ?? "", line: start.line });
      return;
    }
    if (verdict.is === "wrong") {
      const object = this.#nameOf(value);
      const where = { field: verdict.field, ...(object && { object }) };
      this.#report(this.#placeOf(node, [verdict.field], start), where, verdict.message, verdict.fix);
      const ref = verdict.kind === undefined ? undefined : this.#refOf(verdict.kind, value);
      if (ref === undefined) this.complete = false;
      else this.#add(ref, start, value, undefined, node);
      return;
    }
    if (this.#options.wants?.(verdict.kind) !== false) this.#readObject(verdict.kind, value, node, start);
  }

  #readObject(kind: Kind, value: Plain, node: Node | null, start: Place): void {
    const parsed = parseObject(kind, value);
    const ref = this.#refOf(kind, value);
    if (!parsed.success) {
      const object = ref === undefined ? kind : describeRef(ref);
      const sourceOf = (path: readonly PropertyKey[]): string | undefined => {
        const at = this.#nodeAt(node, path);
        return isScalar(at) ? at.source : undefined;
      };
      for (const issue of parsed.error.issues) {
        for (const { path, at, message, fix } of explainIssue(KINDS[kind].schema, value, issue, sourceOf)) {
          const place = this.#placeOf(node, path, start, at === "key");
          this.#report(place, { object, field: fieldText(path) }, message, fix);
        }
      }
    }
    if (ref === undefined) this.complete = false;
    else this.#add(ref, start, value, parsed.data, node);
  }

  #add(ref: ObjectRef, start: Place, value: Plain, object: AnyObject | undefined, node: Node | null): void {
    const { metadata: _metadata, status: _status, ...spec } = value;
    this.objects.push({
      ref,
      ...start,
      object,
      placeOf: this.#options.locates ? this.#locator(node, start) : () => start,
      contentHash: hash("sha1", JSON.stringify(value)),
      specHash: hash("sha1", JSON.stringify(spec)),
    });
  }

  /** A function of its own: closures of one scope share what they hold, and only this one may hold the syntax tree. */
  #locator(node: Node | null, start: Place): ManifestObject["placeOf"] {
    return (path) => this.#placeOf(node, path, start);
  }

  #plainName(value: unknown): string | undefined {
    const metadata = isPlain(value) ? value.metadata : undefined;
    return isPlain(metadata) && typeof metadata.name === "string" ? metadata.name : undefined;
  }

  /** Which object the document speaks of, even if it is broken otherwise. */
  #refOf(kind: Kind, value: Plain): ObjectRef | undefined {
    const name = this.#plainName(value);
    const metadata = isPlain(value.metadata) ? value.metadata : {};
    const { namespace = "default" } = metadata;
    if (name === undefined || typeof namespace !== "string") return undefined;
    return { kind, name, namespace: KINDS[kind].namespaced ? namespace : "" };
  }

  /** As much of `Kind namespace/name` as can be read. */
  #nameOf(value: unknown): string | undefined {
    if (!isPlain(value)) return undefined;
    const name = this.#plainName(value);
    const namespace = isPlain(value.metadata) ? value.metadata.namespace : undefined;
    const parts = [typeof namespace === "string" ? namespace : undefined, name].filter((part) => part !== undefined);
    const text = `${typeof value.kind === "string" ? value.kind : ""} ${parts.join("/")}`.trim();
    return text === "" ? undefined : text;
  }

  #place(offset: number): Place {
    const { line, col } = this.#lines.linePos(offset);
    return { line: Math.max(1, line), column: Math.max(1, col) };
  }

  #nodeAt(root: Node | null, path: readonly PropertyKey[]): Node | undefined {
    let node: unknown = root;
    for (const key of path) {
      if (isMap(node))
        node = node.items.find((pair) => isScalar(pair.key) && String(pair.key.value) === String(key))?.value;
      else if (isSeq(node) && typeof key === "number") node = node.items[key];
      else return undefined;
    }
    return isNode(node) ? node : undefined;
  }

  /** Where a field stands; for one that is missing, where its parent's own key stands. */
  #placeOf(root: Node | null, path: readonly PropertyKey[], start: Place, key = false): Place {
    for (let depth = path.length; depth > 0; depth--) {
      const parent = this.#nodeAt(root, path.slice(0, depth - 1));
      const last = path[depth - 1];
      const pair = isMap(parent)
        ? parent.items.find((item) => isScalar(item.key) && String(item.key.value) === String(last))
        : undefined;
      const value = pair === undefined && isSeq(parent) && typeof last === "number" ? parent.items[last] : pair?.value;
      const complete = depth === path.length && !key;
      const scalar = isScalar(value) || isAlias(value) || isSeq(parent);
      const shown = complete && scalar && isNode(value) ? value : (pair?.key ?? value);
      const offset = isNode(shown) ? shown.range?.[0] : undefined;
      if (offset !== undefined) return this.#place(offset);
    }
    return start;
  }

  #report(place: Place, about: { object?: string; field?: string }, message: string, fix?: string): void {
    this.problems.push({ file: this.#file, ...place, ...about, message, ...(fix === undefined ? {} : { fix }) });
  }
}

/**
 * Reads a manifest: YAML or JSON text of any number of documents, lists expanded. Never throws; every problem is found
 * at once. Other programs' objects are listed and otherwise left alone.
 */
export function parseManifest(file: string, text: string, options: ManifestOptions = {}): ManifestFile {
  const bytes = Buffer.byteLength(text);
  if (bytes > MAX_MANIFEST_BYTES) {
    return tooLarge(file, bytes);
  }
  const lines = new LineCounter();
  const reader = new ManifestReader(file, lines, options);
  try {
    // One document at a time: a whole file's syntax trees take a hundred times its size.
    const composer = new Composer({ prettyErrors: false, logLevel: "silent" });
    const read = (document: Document.Parsed): void => reader.readDocument(document);
    for (const token of new Parser(lines.addNewLine).parse(text))
      for (const document of composer.next(token)) read(document);
    for (const document of composer.end()) read(document);
  } catch (error) {
    // Nesting deeper than the parser's stack.
    if (!(error instanceof RangeError)) throw error;
    return unreadableFile(file, `not YAML: ${error.message}`, "nest less deeply");
  }
  const { objects, foreign, complete } = reader;
  const problems = reader.problems.sort((a, b) => a.line - b.line || a.column - b.column);
  return { file, objects, foreign, problems, complete };
}
