import { isFields } from "#shared/api/structural-schema.fixture.ts";

/** JSON merge patch (RFC 7386, section 2). */
export function mergePatched(target: unknown, patch: unknown): unknown {
  if (!isFields(patch)) return patch;
  const fields = new Map(Object.entries(isFields(target) ? target : {}));
  for (const [name, value] of Object.entries(patch)) {
    if (value === null) fields.delete(name);
    else fields.set(name, mergePatched(fields.get(name), value));
  }
  return Object.fromEntries(fields);
}
