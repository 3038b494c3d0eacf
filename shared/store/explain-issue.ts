import type { z } from "zod";
import { nearest } from "./nearest.ts";
import { quote } from "./problem.ts";
import { fieldsAt, valuesAt } from "./schema-walk.ts";

/** A schema's complaint in an operator's words. */
export interface Explanation {
  readonly path: readonly PropertyKey[];
  /** `missing`: nothing stands at the path. `key`: the field's name is wrong, not its value. */
  readonly at: "value" | "key" | "missing";
  readonly message: string;
  readonly fix?: string;
}

const TYPE_NAMES: Readonly<Record<string, string>> = {
  string: "text",
  number: "a number",
  int: "a whole number",
  boolean: "true or false",
  array: "a list",
  object: "a mapping of fields",
  record: "a mapping of names to values",
};

function typeName(expected: string): string {
  return TYPE_NAMES[expected] ?? expected;
}

function describe(value: unknown): string {
  if (Array.isArray(value)) return "a list";
  if (typeof value === "object" && value !== null) return "a mapping of fields";
  if (typeof value === "string") return `the text ${quote(value)}`;
  return quote(value);
}

/** The value at a path; undefined where nothing stands. */
function valueAt(root: unknown, path: readonly PropertyKey[]): unknown {
  let value = root;
  for (const key of path) {
    if (typeof value !== "object" || value === null || !Object.hasOwn(value, key)) return undefined;
    value = new Map<PropertyKey, unknown>(Object.entries(value)).get(String(key));
  }
  return value;
}

function typeFix(expected: string, value: unknown, source: string): string | undefined {
  const wantsNumber = expected === "number" || expected === "int";
  if (wantsNumber && typeof value === "string" && /^-?[0-9]+$/.test(value)) return `write ${value} without quotes`;
  if (expected === "boolean" && typeof value === "string" && /^(yes|no|on|off|true|false)$/i.test(value)) {
    return `write ${/^(yes|on|true)$/i.test(value)} without quotes`;
  }
  if (expected === "string" && typeof value !== "object") return `write "${source}" with quotes`;
  if (expected === "array") return 'write each item on its own line, beginning with "- "';
  return undefined;
}

function oneOf(values: readonly string[], value: unknown): { message: string; fix?: string } {
  const message = `must be ${values.length === 1 ? "" : "one of "}${values.join(", ")}, but is ${describe(value)}`;
  const meant = typeof value === "string" ? nearest(value, values) : values.length === 1 ? values[0] : undefined;
  return meant === undefined ? { message } : { message, fix: `did you mean ${meant}?` };
}

const COUNTED: Readonly<Record<string, string>> = { string: "character", array: "item", map: "entry", set: "item" };

function bound(origin: string, limit: number | bigint, side: "least" | "most", value: unknown): string {
  const counted = COUNTED[origin];
  if (counted === undefined) return `must be at ${side} ${limit}, but is ${describe(value)}`;
  const has = typeof value === "string" || Array.isArray(value) ? `, but has ${value.length}` : "";
  return `must have at ${side} ${limit} ${counted}${Number(limit) === 1 ? "" : "s"}${has}`;
}

function withFix(fix: string | undefined): { fix?: string } {
  return fix === undefined ? {} : { fix };
}

function explainUnion(
  errors: readonly (readonly z.core.$ZodIssue[])[],
  values: readonly string[],
  value: unknown,
): { message: string; fix?: string } {
  const all = errors.flat();
  if (values.length > 0 && all.every((issue) => issue.code === "invalid_value")) return oneOf(values, value);
  const types = all.flatMap((issue) => (issue.code === "invalid_type" ? [typeName(issue.expected)] : []));
  if (types.length > 0 && types.length === all.length) {
    return { message: `must be ${[...new Set(types)].join(" or ")}, but is ${describe(value)}` };
  }
  return { message: all.map((issue) => issue.message).join("; or ") || `does not allow ${describe(value)}` };
}

/**
 * Says what a schema's issue means: what stands there, and what would be right.
 * @param root The value that was parsed, to tell what is missing from what is wrong.
 * @param sourceOf The text of a scalar as it was written, which its value may have lost (0x1f, 1.0).
 */
export function explainIssue(
  schema: z.ZodType,
  root: unknown,
  issue: z.core.$ZodIssue,
  sourceOf: (path: readonly PropertyKey[]) => string | undefined,
): readonly Explanation[] {
  const { path } = issue;
  const value = valueAt(root, path);
  const explained = (message: string, fix?: string): readonly Explanation[] => [
    { path, at: value === undefined ? "missing" : "value", message, ...withFix(fix) },
  ];
  const allowed = valuesAt(schema, path);
  if (value === undefined && issue.code !== "custom" && issue.code !== "unrecognized_keys") {
    if (allowed.length > 0) return explained("is missing", `add it with ${allowed.join(" or ")}`);
    if (issue.code === "invalid_type") return explained("is missing", `add it: ${typeName(issue.expected)}`);
    return explained("is missing", "add it");
  }
  switch (issue.code) {
    case "unrecognized_keys": {
      const known = fieldsAt(schema, path);
      return issue.keys.map((key) => {
        const meant = nearest(key, known);
        const fix = meant === undefined ? `known here: ${known.join(", ")}` : `did you mean ${meant}?`;
        return { path: [...path, key], at: "key", message: "is not a known field", fix };
      });
    }
    case "invalid_type": {
      const message = `must be ${typeName(issue.expected)}, but is ${describe(value)}`;
      return explained(message, typeFix(issue.expected, value, sourceOf(path) ?? String(value)));
    }
    case "invalid_value": {
      // A cluster-scoped object's namespace is the empty text.
      if (issue.values.every((allowed) => allowed === "")) return explained("must not be set here", "remove it");
      const { message, fix } = oneOf(issue.values.map(String), value);
      return explained(message, fix);
    }
    case "invalid_union": {
      const { message, fix } = explainUnion(issue.errors, allowed, value);
      return explained(message, fix);
    }
    case "too_small":
      return explained(bound(issue.origin, issue.minimum, "least", value));
    case "too_big":
      return explained(bound(issue.origin, issue.maximum, "most", value));
    case "invalid_format":
      if (issue.format !== "regex") return explained(`${quote(value)} is not ${issue.format}`);
      return explained(`${issue.message}, but is ${quote(value)}`);
    case "invalid_key":
    case "invalid_element":
      return explained(issue.issues.map(({ message }) => message).join("; "));
    case "not_multiple_of":
    case "custom":
      return explained(issue.message);
  }
}
