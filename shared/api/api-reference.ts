import { CRD_KINDS, type CrdKind, crdSchema } from "./crd.ts";
import { CRD_METADATA } from "./crd-metadata.ts";
import type { StructuralSchema } from "./crd-schema.ts";
import { KINDS } from "./kinds.ts";
import { API_VERSION } from "./names.ts";

const HEADER = "<!-- Generated from shared/api by `npm run generate`. Do not edit. -->\n";

interface Row {
  readonly path: string;
  readonly schema: StructuralSchema;
  readonly required: boolean;
}

/** The fields below a schema, each before those within it. Conditions are Kubernetes' own: they are one row. */
function rowsOf(schema: StructuralSchema, path: string): readonly Row[] {
  const inner = schema.items ?? schema;
  const prefix = schema.items === undefined ? path : `${path}[]`;
  if (path.endsWith(".conditions")) return [];
  return Object.entries(inner.properties ?? {}).flatMap(([name, field]) => {
    const at = `${prefix}.${name}`;
    return [{ path: at, schema: field, required: inner.required?.includes(name) ?? false }, ...rowsOf(field, at)];
  });
}

function typeOf(schema: StructuralSchema): string {
  if (schema["x-kubernetes-int-or-string"]) return "integer or string";
  if (schema.items !== undefined) return `list of ${typeOf(schema.items)}`;
  if (schema.additionalProperties !== undefined) return `map of ${typeOf(schema.additionalProperties)}`;
  return schema.format === undefined || schema.format.startsWith("int") ? (schema.type ?? "any") : schema.format;
}

/** `1 to 64`, `at most 64`, `at least 1`. */
function between(low: number | undefined, high: number | undefined, unit: string): readonly string[] {
  if (low !== undefined && high !== undefined) return [`${low} to ${high}${unit}`];
  if (high !== undefined) return [`at most ${high}${unit}`];
  return low === undefined ? [] : [`at least ${low}${unit}`];
}

function limitsOf(schema: StructuralSchema): readonly string[] {
  const { items } = schema;
  return [
    ...(schema.enum === undefined ? [] : [schema.enum.map((value) => code(value)).join(", ")]),
    ...between(schema.minimum, schema.maximum, ""),
    ...between(schema.minLength, schema.maxLength, " characters"),
    ...between(schema.minItems, schema.maxItems, " items"),
    ...(schema["x-kubernetes-validations"] ?? []).map(({ message }) => message),
    ...(items === undefined ? [] : limitsOf(items).map((limit) => `each ${limit}`)),
  ];
}

const code = (value: unknown): string => `\`${typeof value === "string" ? value || '""' : JSON.stringify(value)}\``;
/** A bar would end a table's cell. */
const cell = (text: string): string => text.replaceAll("|", "\\|").replaceAll("\n", " ");

function line({ path, schema, required }: Row): string {
  const rule = required ? "required" : schema.default === undefined ? "" : code(schema.default);
  const limits = limitsOf(schema);
  const text = [schema.description ?? "", ...(limits.length > 0 ? [`*${limits.join("; ")}*`] : [])].join(" ");
  return `| \`${path}\` | ${typeOf(schema)} | ${cell(rule)} | ${cell(text.trim())} |`;
}

function section(kind: CrdKind): string {
  const { description, shortName, columns } = CRD_METADATA[kind];
  const { plural, namespaced } = KINDS[kind];
  const { spec, status } = crdSchema(kind).properties ?? {};
  const table = (name: string, schema: StructuralSchema | undefined): readonly string[] =>
    schema === undefined
      ? []
      : ["", "| field | type | default | what it is |", "|---|---|---|---|", ...rowsOf(schema, name).map(line)];
  const rules = [...(spec?.["x-kubernetes-validations"] ?? [])].map(({ message }) => `- ${message}`);
  return [
    `## ${kind}`,
    "",
    description,
    "",
    `\`${API_VERSION}\`, \`${plural}\`, short name \`${shortName}\`, ${namespaced ? "namespaced" : "of the whole cluster"}. ` +
      `\`kubectl get\` shows ${columns.map(({ name }) => name).join(", ")}.`,
    ...table("spec", spec),
    ...(rules.length > 0 ? ["", "The API server also holds:", "", ...rules] : []),
    ...table("status", status),
    "",
  ].join("\n");
}

/** `docs/api-reference.md`: every field of our own kinds, as the API server knows it. */
export function apiReference(): string {
  return [
    `${HEADER}# API reference`,
    "",
    `Every field of the kinds of \`${API_VERSION}\`, as \`deploy/crds\` defines them; \`kubectl explain\` says the same. What the`,
    "kinds are for, with examples, is in [manifests.md](manifests.md).",
    "",
    ...CRD_KINDS.toSorted().map(section),
  ].join("\n");
}
