import fc from "fast-check";
import { expect, test } from "vitest";
import { JsonStreamError, readDocument, readLines, readList } from "./json-stream.ts";

/** The text's bytes in chunks that end anywhere, also within a character. */
async function* chunked(text: string, cuts: readonly number[]): AsyncGenerator<Buffer> {
  const bytes = Buffer.from(text);
  const ends = [...new Set([...cuts.map((cut) => cut % (bytes.length + 1)), bytes.length])].sort((a, b) => a - b);
  let from = 0;
  for (const to of ends) {
    yield bytes.subarray(from, to);
    from = to;
  }
}

const cuts = fc.array(fc.nat(), { maxLength: 20 });
const object = fc.dictionary(fc.string({ unit: "binary" }), fc.jsonValue());
const rest = fc.dictionary(
  fc.string({ unit: "binary" }).filter((key) => key !== "items" && key !== "__proto__"),
  fc.jsonValue(),
);
const space = fc.constantFrom(undefined, 2, "\t");

test("a list is what JSON.parse makes of it, however it is cut", async () => {
  await fc.assert(
    fc.asyncProperty(rest, fc.array(object), rest, cuts, space, async (before, items, after, at, indent) => {
      const list = { ...before, items, ...after };
      const text = JSON.stringify(list, undefined, indent).replace(/"items":\s*\[/, '"items":[');
      const seen: unknown[] = [];
      const envelope = await readList(chunked(text, at), (item) => seen.push(item));
      const whole: unknown = JSON.parse(text);
      expect(seen).toEqual(JSON.parse(JSON.stringify(items)));
      expect(envelope).toEqual({ ...Object(whole), items: [] });
    }),
  );
});

test("a list that is cut off is no list", async () => {
  await fc.assert(
    fc.asyncProperty(rest, fc.array(object), fc.nat(), async (before, items, at) => {
      const text = JSON.stringify({ ...before, items });
      const cut = text.slice(0, at % text.length);
      await expect(readList(chunked(cut, []), () => undefined)).rejects.toThrow(JsonStreamError);
    }),
  );
});

test("lists without items, and what is no list", async () => {
  const read = (text: string) => readList(chunked(text, []), () => undefined);
  expect(await read('{"kind":"PodList","items":null,"metadata":{}}')).toMatchObject({ items: null });
  expect(await read('{"a":["items"],"items": [ ]}')).toEqual({ a: ["items"], items: [] });
  await expect(read("<html>Bad Gateway</html>")).rejects.toThrow(JsonStreamError);
  await expect(read("")).rejects.toThrow(JsonStreamError);
});

test("lines come one by one; a last one that broke off does not", async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(object), cuts, fc.boolean(), async (documents, at, broken) => {
      const text = documents.map((one) => `${JSON.stringify(one)}\n`).join("") + (broken ? '{"type":"ADD' : "");
      const seen: unknown[] = [];
      for await (const one of readLines(chunked(text, at))) seen.push(one);
      expect(seen).toEqual(JSON.parse(JSON.stringify(documents)));
    }),
  );
});

test("a document is read whole, or not at all", async () => {
  expect(await readDocument(chunked('{"é": "ß"}', [6, 9]))).toEqual({ é: "ß" });
  await expect(readDocument(chunked('{"a":', []))).rejects.toThrow(JsonStreamError);
});
