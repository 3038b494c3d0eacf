import { isDeepStrictEqual } from "node:util";

/** How two values that are no lists and no objects are compared. */
export type SameValue = (actual: unknown, wanted: unknown) => boolean;

export function isRecord(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** Whether everything that `wanted` says is said in `actual`, which may say more: others write, too, and fill in defaults. */
export function covers(actual: unknown, wanted: unknown, same: SameValue = isDeepStrictEqual): boolean {
  if (Array.isArray(wanted)) {
    return Array.isArray(actual) && wanted.every((item) => actual.some((candidate) => covers(candidate, item, same)));
  }
  if (!isRecord(wanted)) return same(actual, wanted);
  return isRecord(actual) && Object.entries(wanted).every(([key, item]) => covers(actual[key], item, same));
}
