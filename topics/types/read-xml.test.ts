import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { readXml, writeXml, type XmlElement, XmlError } from "./read-xml.ts";

/** Without lines: those depend on how it is written. */
const bare = ({ name, attributes, children }: XmlElement): unknown => [name, [...attributes], children.map(bare)];

it("reads elements, attributes, comments, instructions and entities", () => {
  const text =
    '\ufeff<?xml version="1.0"?>\n<!-- <a> --><a x="1 &lt; 2" y=\'"\'>\n  <b/><c z="&amp;"></c>\n</a>\n<!-- end -->';
  const root = readXml(text);
  expect(bare(root)).toEqual([
    "a",
    [
      ["x", "1 < 2"],
      ["y", '"'],
    ],
    [
      ["b", [], []],
      ["c", [["z", "&"]], []],
    ],
  ]);
  expect(root.children.map(({ line }) => line)).toEqual([3, 3]);
  expect(writeXml(root)).toBe('<a x="1 &lt; 2" y="&quot;"><b/><c z="&amp;"/></a>');
});

describe("says what is wrong, and where", () => {
  it.each([
    ["", /^line 1: there is no element/],
    ["types", /text between elements/],
    ["<a>\n<b>\n</a>", /^line 3: <\/a>: <\/b> must come first/],
    ["<a>", /^line 1: <a> of line 1 is not closed/],
    ["</a>", /nothing is open/],
    ["<a/><b/>", /a second root/],
    ["<a x=1/>", /write x="…"/],
    ['<a x="1" x="2"/>', /two attributes x/],
    ['<a x="1"y="2"/>', /a blank, '>' or '\/>' is missing/],
    ['<a x="&b;"/>', /no known entity/],
    ['<a x="&lt"/>', /no known entity/],
    ['<a x="<"/>', /holds a '<'/],
    ["<!-- a", /not closed by -->/],
    ['<!DOCTYPE a [<!ENTITY b "c">]><a/>', /document types, entities and CDATA are not taken/],
    ["<a><![CDATA[x]]></a>", /CDATA/],
    ["<a>".repeat(100), /nested deeper than 64/],
    [`<a>${"<b/>".repeat(50_001)}</a>`, /more than 50000 elements/],
  ])("%s", (text, reason) => {
    expect(() => readXml(text)).toThrow(reason);
    expect(() => readXml(text)).toThrow(XmlError);
  });
});

const name = fc.stringMatching(/^[A-Za-z_][A-Za-z0-9_]{0,8}$/);
function elementOf(children: fc.Arbitrary<XmlElement[]>): fc.Arbitrary<XmlElement> {
  const attributes = fc.dictionary(name, fc.string()).map((pairs) => new Map(Object.entries(pairs)));
  return fc.record({ name, attributes, children, line: fc.constant(1) });
}
const leaves = fc.array(elementOf(fc.constant([])), { maxLength: 3 });
const element = elementOf(fc.array(elementOf(leaves), { maxLength: 3 }));

it("what is written is read again", () => {
  fc.assert(
    fc.property(element, (one) => {
      expect(bare(readXml(writeXml(one)))).toEqual(bare(one));
    }),
  );
});

it("whatever it is given, it reads it or throws an XmlError", () => {
  const pieces = fc.constantFrom("<", ">", "/", "a", "=", '"', "'", " ", "<!--", "-->", "<?", "?>", "&lt;", "&", "\n");
  fc.assert(
    fc.property(fc.array(pieces, { maxLength: 40 }), (parts) => {
      try {
        readXml(parts.join(""));
      } catch (error) {
        expect(error).toBeInstanceOf(XmlError);
      }
    }),
    { numRuns: 2_000 },
  );
});

it("a document of a megabyte takes no time that matters, whatever is in it", () => {
  const began = performance.now();
  const long = "x".repeat(1_000_000);
  for (const text of [
    `<a b="${long}"/>`,
    `<a b="${"&".repeat(1_000_000)}"/>`,
    `<a${" ".repeat(1_000_000)}/>`,
    "<!--".repeat(250_000),
  ]) {
    try {
      readXml(text);
    } catch (error) {
      expect(error).toBeInstanceOf(XmlError);
    }
  }
  expect(performance.now() - began).toBeLessThan(5_000);
});
