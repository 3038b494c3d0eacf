import { writeFileSync } from "node:fs";
import { parseArgs } from "node:util";

/** A value below which the share `part` (0 to 1) of the values lies; NaN without values. */
export function quantile(values: readonly number[], part: number): number {
  const sorted = values.toSorted((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(part * sorted.length))] ?? Number.NaN;
}

export const median = (values: readonly number[]): number => quantile(values, 0.5);

/** Prints rows as a table, the columns as wide as what they hold. */
export function printTable(header: readonly string[], rows: readonly (readonly string[])[]): void {
  const widths = header.map((head, i) => Math.max(head.length, ...rows.map((row) => row[i]?.length ?? 0)));
  for (const row of [header, ...rows]) {
    console.log(
      row.map((cell, i) => (i === 0 ? cell.padEnd(widths[i] ?? 0) : cell.padStart(widths[i] ?? 0))).join("  "),
    );
  }
}

/** Prints a result as JSON, or writes it to the file that `--json` names. */
export function reportJson(result: unknown): void {
  const { values } = parseArgs({ options: { json: { type: "string" } }, strict: false });
  const text = `${JSON.stringify(result, undefined, 2)}\n`;
  if (typeof values.json === "string") writeFileSync(values.json, text);
  else process.stdout.write(text);
}
