import { nearest } from "#shared/store/nearest.ts";
import { readXml, writeXml, type XmlElement } from "./read-xml.ts";

/*
 * Types in XML (OMG DDS-XML, and RTI Connext's own dialect of before): what of it may be given to a DDS library. The
 * document is read here and written anew, so that nothing but types gets there: no QoS, no participants, no other files.
 */

/** The document holds something else than types, or not the type that is asked for. */
export class TypesError extends Error {
  override readonly name = "TypesError";
}

/** Octets of a document. A ConfigMap holds 1 MiB. */
export const MAX_TYPES_OCTETS = 1_048_576;

/** What declares a type that a topic can have. */
const TOPIC_TYPES: ReadonlySet<string> = new Set(["struct", "union", "valuetype"]);
/** What else may stand among types. */
const DECLARATIONS: ReadonlySet<string> = new Set([
  ...TOPIC_TYPES,
  ...["enum", "bitmask", "bitset", "typedef", "const", "forward_dcl", "module"],
]);
const PARTS: ReadonlySet<string> = new Set([
  ...["member", "discriminator", "case", "caseDiscriminator", "enumerator", "flag", "bitfield", "annotate"],
]);

/** Names of simple types, of DDS-XML and of Connext before it. */
const SIMPLE_TYPES: readonly string[] = [
  ...["boolean", "byte", "octet", "char", "char8", "wchar", "char16", "string", "wstring"],
  ...["int8", "uint8", "int16", "uint16", "int32", "uint32", "int64", "uint64", "float32", "float64", "float128"],
  ...[
    "short",
    "unsignedShort",
    "long",
    "unsignedLong",
    "longLong",
    "unsignedLongLong",
    "float",
    "double",
    "longDouble",
  ],
];
const NON_BASIC: readonly string[] = ["nonBasic", "nonBasicType"];

export interface TypeLibrary {
  /** Names of the types that a topic can have, with their modules: `plant::Reading`. */
  readonly topicTypes: readonly string[];
  /** `<types>…</types>`. */
  readonly xml: string;
}

function typesOf(root: XmlElement): readonly XmlElement[] {
  if (root.name === "types") return root.children;
  if (root.name !== "dds") {
    throw new TypesError(`line ${root.line}: the root is <${root.name}>; it must be <dds> or <types>`);
  }
  const other = root.children.find(({ name }) => name !== "types");
  if (other !== undefined) {
    throw new TypesError(`line ${other.line}: <${other.name}> is not taken; leave only <types> in <dds>`);
  }
  return root.children.flatMap(({ children }) => children);
}

/** What is declared: names with their modules. */
interface Declared {
  readonly all: string[];
  readonly topicTypes: string[];
}

/** A reference to a type that must be declared above: from the innermost module outwards. */
function checkReference({ name, line, attributes }: XmlElement, module: string, declared: Declared): void {
  const type = attributes.get("type");
  if (type === undefined) return;
  if (!NON_BASIC.includes(type)) {
    if (SIMPLE_TYPES.includes(type)) return;
    const near = nearest(type, [...SIMPLE_TYPES, "nonBasic"]);
    const fix =
      near === undefined ? 'a type of your own is type="nonBasic" nonBasicTypeName="…"' : `did you mean ${near}?`;
    throw new TypesError(`line ${line}: <${name}> has type ${JSON.stringify(type)}, which there is not; ${fix}`);
  }
  const wanted = attributes.get("nonBasicTypeName");
  if (wanted === undefined) throw new TypesError(`line ${line}: <${name}> of type nonBasic has no nonBasicTypeName`);
  const scopes = module.split("::").map((_, index, parts) => parts.slice(0, parts.length - index).join("::"));
  const candidates = [wanted.replace(/^::/, ""), ...scopes.map((scope) => `${scope}::${wanted}`)];
  if (candidates.some((candidate) => declared.all.includes(candidate))) return;
  throw new TypesError(`line ${line}: type ${wanted} is not declared above; put it before its first use`);
}

function check(element: XmlElement, isInside: boolean, module: string, declared: Declared): void {
  const { name, line, attributes, children } = element;
  const isKnown = isInside ? PARTS.has(name) : DECLARATIONS.has(name);
  if (!isKnown) {
    const fix = name === "include" ? "; put all types into one document" : "";
    throw new TypesError(`line ${line}: <${name}> is not taken ${isInside ? "in a type" : "among types"}${fix}`);
  }
  const own = attributes.get("name");
  if (!isInside && own === undefined) throw new TypesError(`line ${line}: <${name}> has no name`);
  const path = module === "" ? `${own}` : `${module}::${own}`;
  checkReference(element, module, declared);
  if (!isInside && name !== "module") declared.all.push(path);
  if (!isInside && TOPIC_TYPES.has(name)) declared.topicTypes.push(path);
  const inner = name === "module" && !isInside;
  for (const child of children) check(child, !inner, inner ? path : module, declared);
}

/**
 * Reads a document of types.
 * @param type which must be among them.
 * @throws XmlError, TypesError: what is wrong, with the line, and the fix.
 */
export function readTypes(text: string, type: string): TypeLibrary {
  const octets = Buffer.byteLength(text);
  if (octets > MAX_TYPES_OCTETS) throw new TypesError(`it has ${octets} octets; ${MAX_TYPES_OCTETS} are taken at most`);
  const types = typesOf(readXml(text));
  const declared: Declared = { all: [], topicTypes: [] };
  for (const element of types) check(element, false, "", declared);
  const found = declared.topicTypes;
  if (!found.includes(type)) {
    const near = nearest(type, found);
    const has = found.length === 0 ? "it has no types" : `it has ${found.slice(0, 8).join(", ")}`;
    throw new TypesError(`there is no ${type} in it${near === undefined ? `; ${has}` : `; did you mean ${near}?`}`);
  }
  return { topicTypes: found, xml: `<types>${types.map(writeXml).join("")}</types>` };
}
