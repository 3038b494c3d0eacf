import { describe, expect, it } from "vitest";
import { readTypes, TypesError } from "./type-library.ts";

const READING = '<struct name="Reading"><member name="id" type="int32" key="true"/></struct>';
const inModule = (inside: string): string => `<dds><types><module name="plant">${inside}</module></types></dds>`;

it("names the types that a topic can have, and writes them without anything else", () => {
  const text = inModule(
    `<!-- c --><enum name="Kind"><enumerator name="A"/></enum>${READING}<union name="U"><discriminator type="nonBasic" nonBasicTypeName="Kind"/></union>`,
  );
  const { topicTypes, xml } = readTypes(text, "plant::Reading");
  expect(topicTypes).toEqual(["plant::Reading", "plant::U"]);
  expect(xml).toMatch(/^<types><module name="plant"><enum /);
  expect(xml).not.toContain("<!--");
  expect(readTypes(`<types>${READING}</types>`, "Reading").topicTypes).toEqual(["Reading"]);
});

it("a type is found from the innermost module outwards", () => {
  const inner =
    '<module name="cell"><struct name="Log"><member name="r" type="nonBasic" nonBasicTypeName="Reading"/></struct></module>';
  expect(readTypes(inModule(READING + inner), "plant::cell::Log").topicTypes).toHaveLength(2);
  expect(() => readTypes(inModule(inner + READING), "plant::cell::Log")).toThrow(/type Reading is not declared above/);
});

describe("refuses what is more than types, and says which line", () => {
  it.each([
    ["<html/>", /line 1: the root is <html>; it must be <dds> or <types>/],
    ['<dds>\n<qos_library name="x"/></dds>', /line 2: <qos_library> is not taken; leave only <types>/],
    ['<types><include file="/etc/passwd"/></types>', /<include> is not taken among types; put all types into one/],
    ["<types><struct/></types>", /<struct> has no name/],
    [inModule('<struct name="Reading"><script/></struct>'), /<script> is not taken in a type/],
    [
      inModule('<struct name="Reading"><member name="a" type="int23"/></struct>'),
      /type "int23", which there is not; did you mean int\d+\?/,
    ],
    [inModule('<struct name="Reading"><member name="a" type="nonBasic"/></struct>'), /has no nonBasicTypeName/],
    [inModule('<struct name="Readng"/>'), /there is no plant::Reading in it; did you mean plant::Readng\?/],
    ["<types/>", /there is no plant::Reading in it; it has no types/],
    [`<types>${" ".repeat(1_048_577)}</types>`, /1048576 are taken at most/],
  ])("%#", (text, reason) => {
    expect(() => readTypes(text, "plant::Reading")).toThrow(reason);
    expect(() => readTypes(text, "plant::Reading")).toThrow(TypesError);
  });
});
