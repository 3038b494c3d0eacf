/** Something wrong with a manifest, written for the person who edits it. */
export interface Problem {
  readonly file: string;
  /** From 1. */
  readonly line: number;
  /** From 1. */
  readonly column: number;
  /** `Kind namespace/name`, as far as the document names itself. */
  readonly object?: string;
  /** For example `spec.listeners[0].port`. */
  readonly field?: string;
  /** What is wrong. */
  readonly message: string;
  /** What would be right. */
  readonly fix?: string;
}

/** `spec.listeners[0].port`; keys that are no plain words stand in brackets and quotes. */
export function fieldText(path: readonly PropertyKey[]): string {
  let text = "";
  for (const part of path) {
    if (typeof part === "number") text += `[${part}]`;
    else if (/^[A-Za-z_][A-Za-z0-9_-]*$/.test(String(part))) text += text === "" ? String(part) : `.${String(part)}`;
    else text += `[${quote(part)}]`;
  }
  return text;
}

/** A value as messages show it: JSON, cut where it grows long. */
export function quote(value: unknown): string {
  const text = typeof value === "bigint" || typeof value === "symbol" ? String(value) : JSON.stringify(value);
  if (text === undefined) return String(value);
  return text.length > 80 ? `${text.slice(0, 76)}…` : text;
}

/** `file:line:column: object: field: message (fix)`, one line. */
export function problemText({ file, line, column, object, field, message, fix }: Problem): string {
  const parts = [object, field, message].filter((part) => part !== undefined && part !== "");
  return `${file}:${line}:${column}: ${parts.join(": ")}${fix === undefined ? "" : ` (${fix})`}`;
}
