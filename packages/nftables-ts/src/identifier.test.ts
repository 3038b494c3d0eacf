import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { NftInputError } from "./errors.ts";
import { identifier, quotedString } from "./identifier.ts";

describe("identifier", () => {
  it.each(["lut-a", "_x", ".x", "svc/tcp.80", "a".repeat(255)])("takes %s", (name) => {
    expect(identifier("map", name)).toBe(name);
  });

  it.each([
    ["", 'map name "": it is empty'],
    ["1a", "must start with a letter"],
    ["a b", '" " at offset 1'],
    ['x"; flush ruleset; "', '"\\"" at offset 1'],
    ["x\nflush ruleset", '"\\n" at offset 1'],
    ["x\0y", '"\\u0000" at offset 1'],
    ["x;", '";" at offset 1'],
    ["é", "must start with a letter"],
    ["accept", "word of the nft language"],
    ["a".repeat(256), "256 characters"],
  ])("refuses %j and says why", (name, reason) => {
    expect(() => identifier("map", name)).toThrow(NftInputError);
    expect(() => identifier("map", name)).toThrow(reason);
  });

  it("lets nothing through that could separate or end a command", () => {
    fc.assert(
      fc.property(fc.string({ unit: "binary", maxLength: 20 }), (name) => {
        try {
          identifier("chain", name);
        } catch (error) {
          return error instanceof NftInputError;
        }
        return /^[A-Za-z0-9_./-]+$/.test(name);
      }),
    );
  });
});

describe("quotedString", () => {
  it("quotes", () => expect(quotedString("device", "eth0")).toBe('"eth0"'));

  it.each(['a"b', "a\nb", "a\0b"])("refuses %j", (text) => {
    expect(() => quotedString("device", text)).toThrow(/device .* at offset 1 cannot be written inside quotes/);
  });
});
