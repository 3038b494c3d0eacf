import { describe, expect, test } from "vitest";
import { parse } from "yaml";
import { z } from "zod";
import { isKind, KINDS } from "../../api/kinds.ts";
import { validManifests } from "../broken-manifests.fixture.ts";
import { trimmerOf } from "./trimmed.ts";

const samples = validManifests("lab").flatMap((text) => {
  const value: unknown = parse(text);
  const { kind } = z.looseObject({ kind: z.string() }).parse(value);
  return isKind(kind) ? [{ kind, value, schema: KINDS[kind].schema, trim: trimmerOf(KINDS[kind].schema) }] : [];
});

/** The value with a field that no schema knows in each object that has fixed fields. */
function littered(value: unknown, path = ""): unknown {
  if (Array.isArray(value)) return value.map((item) => littered(item, path));
  if (typeof value !== "object" || value === null) return value;
  if (/(labels|annotations|data|stringData|matchLabels|selector|resources\.?.*|infrastructure)$/i.test(path))
    return value;
  const fields = Object.entries(value).map(([name, field]) => [name, littered(field, name)]);
  return { ...Object.fromEntries(fields), "x-unknown": { a: [1] } };
}

describe.each(samples)("$kind", ({ value, schema, trim }) => {
  test("what the schema reads stays", () => {
    const before: unknown = schema.parse(value);
    const after: unknown = schema.parse(trim(value));
    // Where other programs own fields a schema lets them through; those that it names are the same.
    expect(before).toMatchObject(Object(after));
    expect(trim(trim(value))).toEqual(trim(value));
  });

  test("what it does not know goes, and is no fault", () => {
    const kept = trim(littered(value));
    expect(kept).toEqual(trim(value));
    expect(JSON.stringify(kept)).not.toContain("x-unknown");
    expect(schema.safeParse(kept).error).toBeUndefined();
  });
});

test("alternatives, wrappers, lists and maps are looked through", () => {
  const trim = trimmerOf(
    z.object({
      choice: z.discriminatedUnion("type", [
        z.strictObject({ type: z.literal("a"), one: z.int() }),
        z.strictObject({ type: z.literal("b"), two: z.array(z.object({ x: z.int() })).default([]) }),
      ]),
      map: z.record(z.string(), z.unknown()).optional(),
      any: z.unknown(),
      text: z.string().transform(Number).nullish(),
    }),
  );
  const choice = { type: "b", two: [{ x: 1, y: 2 }], three: 3 };
  expect(trim({ choice, map: { a: { b: 1 } }, any: { c: [{}] }, text: null, other: 1 })).toEqual({
    choice: { type: "b", two: [{ x: 1 }] },
    map: { a: { b: 1 } },
    any: { c: [{}] },
  });
});
