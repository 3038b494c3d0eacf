import { isFields } from "#shared/api/structural-schema.fixture.ts";
import type { ApiObject } from "./api-object.ts";
import { badRequest } from "./status-error.ts";

type Predicate = (object: ApiObject) => boolean;

/** Splits at commas that stand outside of parentheses. */
function requirements(text: string): string[] {
  return text
    .split(/,(?![^(]*\))/)
    .map((part) => part.trim())
    .filter((part) => part !== "");
}

const KEY = "[A-Za-z0-9]([-A-Za-z0-9_./]*[A-Za-z0-9])?";
const SET = new RegExp(`^(${KEY})\\s+(in|notin)\\s+\\(([^)]*)\\)$`);
const EQUALITY = new RegExp(`^(${KEY})\\s*(==|=|!=)\\s*([-A-Za-z0-9_.]*)$`);
const EXISTENCE = new RegExp(`^(!?)\\s*(${KEY})$`);

function labelRequirement(text: string): (labels: Readonly<Record<string, string>>) => boolean {
  const set = SET.exec(text);
  if (set !== null) {
    const [, key = "", , operator, list = ""] = set;
    const values = list.split(",").map((value) => value.trim());
    return (labels) => {
      const value = labels[key];
      return operator === "in" ? value !== undefined && values.includes(value) : !values.includes(value ?? "\0");
    };
  }
  const equality = EQUALITY.exec(text);
  if (equality !== null) {
    const [, key = "", , operator, value] = equality;
    return (labels) => (operator === "!=" ? labels[key] !== value : labels[key] === value);
  }
  const existence = EXISTENCE.exec(text);
  if (existence === null) throw badRequest(`unable to parse requirement: ${text}`);
  const [, not, key = ""] = existence;
  return (labels) => (labels[key] === undefined) === (not === "!");
}

/** @throws StatusError when it is no label selector. */
export function labelSelector(text: string): Predicate {
  const all = requirements(text).map(labelRequirement);
  return ({ metadata }) => all.every((holds) => holds(metadata.labels ?? {}));
}

function fieldAt(object: unknown, path: string): string {
  const value = path.split(".").reduce<unknown>((at, part) => (isFields(at) ? at[part] : undefined), object);
  return value === undefined || value === null ? "" : String(value);
}

/**
 * @param selectable Fields that may be asked for.
 * @throws StatusError when it is no field selector, or asks for another field.
 */
export function fieldSelector(text: string, selectable: readonly string[]): Predicate {
  const all = requirements(text).map((requirement) => {
    const [, path = "", operator, value] = /^([A-Za-z.]+)(==|=|!=)(.*)$/.exec(requirement) ?? [];
    if (!["metadata.name", "metadata.namespace", ...selectable].includes(path)) {
      throw badRequest(`field label not supported: ${path}`);
    }
    return (object: ApiObject) => (fieldAt(object, path) === value) === (operator !== "!=");
  });
  return (object) => all.every((holds) => holds(object));
}
