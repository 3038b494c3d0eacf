import { describe, expect, it } from "vitest";
import { NftListingError } from "./errors.ts";
import { isExpression } from "./expression-guard.ts";
import { parseListing } from "./listing.ts";
import { isStatement } from "./statement-guard.ts";

function listing(...objects: readonly unknown[]): string {
  return JSON.stringify({ nftables: [{ metainfo: { version: "1.0.6" } }, ...objects] });
}

const rule = { family: "netdev", table: "t", chain: "x", handle: 12 };

describe("parseListing", () => {
  it("types what it knows and leaves the metainfo out", () => {
    const objects = [
      { table: { family: "netdev", name: "t", handle: 1 } },
      { chain: { family: "netdev", table: "t", name: "in", handle: 2, type: "filter", hook: "ingress", prio: 0 } },
      { map: { family: "netdev", name: "m", table: "t", handle: 3, type: "mark", map: "mark", elem: [[1, 2]] } },
      { set: { family: "inet", name: "s", table: "t", handle: 4, type: ["ipv4_addr", "mark"], flags: ["timeout"] } },
      { counter: { family: "netdev", name: "c", table: "t", handle: 5, packets: 1, bytes: 2 } },
      { rule: { ...rule, expr: [{ counter: { packets: 0, bytes: 0 } }, { goto: { target: "y" } }] } },
    ];
    expect(parseListing(listing(...objects))).toEqual(objects);
  });

  it("keeps what it has no type for", () => {
    const foreign = { xt: { type: "match", name: "comment" } };
    expect(
      parseListing(
        listing({ flowtable: { name: "f" } }, { table: { family: "dnet", name: "t", handle: 1 } }, null, {
          rule: { ...rule, expr: [foreign, { accept: null }] },
        }),
      ),
    ).toEqual([
      { unrecognised: { flowtable: { name: "f" } } },
      { unrecognised: { table: { family: "dnet", name: "t", handle: 1 } } },
      { unrecognised: null },
      { rule: { ...rule, expr: [{ unrecognised: foreign }, { accept: null }] } },
    ]);
  });

  it("takes no output for an empty listing", () => expect(parseListing("\n")).toEqual([]));

  it.each(["table inet t {", "[]", '{"nftables":{}}', "null"])("refuses %j", (text) => {
    expect(() => parseListing(text)).toThrow(NftListingError);
  });
});

describe("guards", () => {
  it.each([
    { match: { op: "~", left: 1, right: 1 } },
    { match: { op: "==", left: { payload: { protocol: "ip" } }, right: 1 } },
    { match: { op: "==", left: 1, right: 1 }, accept: null },
    { jump: {} },
    { fwd: { dev: null } },
    {},
    null,
    "accept",
  ])("refuses the statement %j", (value) => expect(isStatement(value)).toBe(false));

  it.each([
    { jhash: { expr: { concat: [{ meta: { key: "mark" } }] }, mod: "997" } },
    { range: [1] },
    { payload: { base: "xx", offset: 0, len: 1 } },
    { set: [[1, 2, undefined]] },
    undefined,
  ])("refuses the expression %j", (value) => expect(isExpression(value)).toBe(false));
});
