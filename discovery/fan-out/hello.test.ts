import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { decodeHello, encodeHello, MOST_OFFERS } from "./hello-packet.ts";
import { SisterTable } from "./sister-table.ts";

const ID = "00112233445566778899aabbccddeeff";

describe("what gateways tell each other", () => {
  it("looks as documented", () => {
    expect(encodeHello({ id: ID, offers: [1, 0xfffffffe] }).toString("hex")).toBe(
      `${Buffer.from("CWFANOUT").toString("hex")}01000002${ID}00000001fffffffe`,
    );
  });

  it("is read as it was written", () => {
    const offers = fc.array(fc.nat({ max: 0xffffffff }), { maxLength: MOST_OFFERS });
    fc.assert(
      fc.property(fc.stringMatching(/^[0-9a-f]{32}$/), offers, (id, told) => {
        expect(decodeHello(encodeHello({ id, offers: told }))).toEqual({ id, offers: told });
      }),
    );
  });

  it("fits one datagram", () => {
    const offers = Array.from({ length: 1_000 }, (_, index) => index);
    const datagram = encodeHello({ id: ID, offers });
    expect(datagram.length).toBeLessThanOrEqual(1_232);
    expect(decodeHello(datagram)?.offers).toEqual(offers.slice(0, MOST_OFFERS));
    expect(() => encodeHello({ id: "x", offers: [] })).toThrow(RangeError);
  });

  it("is refused when it is anything else", () => {
    const good = encodeHello({ id: ID, offers: [1, 2] });
    fc.assert(fc.property(fc.uint8Array({ maxLength: 64 }), (octets) => decodeHello(octets) === undefined));
    for (let length = 0; length < good.length; length++) expect(decodeHello(good.subarray(0, length))).toBeUndefined();
    expect(decodeHello(Buffer.concat([good, Buffer.alloc(4)]))).toBeUndefined();
    const later = Buffer.from(good);
    later[8] = 2;
    expect(decodeHello(later)).toBeUndefined();
    const many = Buffer.alloc(28 + 4 * (MOST_OFFERS + 1));
    good.copy(many, 0, 0, 28);
    many.writeUInt16BE(MOST_OFFERS + 1, 10);
    expect(decodeHello(many)).toBeUndefined();
  });
});

describe("gateways that were heard", () => {
  const hello = (id: string, ...offers: number[]) => ({ id: id.padStart(32, "0"), offers });
  const networks = new Set(["a", "b"]);

  it("are those of the last second, on the networks where they were heard", () => {
    const table = new SisterTable(1_000);
    expect(table.heard("a", "10.0.0.1", hello("1", 7), 0)).toBe(true);
    expect(table.heard("b", "10.1.0.1", hello("1", 7), 0)).toBe(true);
    expect(table.heard("a", "10.0.0.1", hello("1", 7), 600)).toBe(false);
    expect(table.expire(900, networks)).toBe(false);
    expect(table.sisters()).toEqual([{ id: hello("1").id, networks: new Set(["a", "b"]), offers: new Set([7]) }]);
    expect(table.expire(1_000, networks)).toBe(true);
    expect(table.sisters()).toMatchObject([{ networks: new Set(["a"]) }]);
    // A network that we are not on any more.
    expect(table.expire(1_001, new Set(["b"]))).toBe(true);
    expect(table.sisters()).toEqual([]);
  });

  it("count by what they said last, on whichever network", () => {
    const table = new SisterTable(1_000);
    table.heard("a", "10.0.0.1", hello("1", 7, 8), 0);
    table.heard("b", "10.1.0.1", hello("1", 7, 8), 0);
    expect(table.heard("a", "10.0.0.1", hello("1"), 10)).toBe(true);
    expect(table.sisters()).toMatchObject([{ offers: new Set() }]);
  });

  it("are another one when another process has their address", () => {
    const table = new SisterTable(1_000);
    table.heard("a", "10.0.0.1", hello("1", 7), 0);
    expect(table.heard("a", "10.0.0.1", hello("2", 7), 10)).toBe(true);
    expect(table.sisters()).toMatchObject([{ id: hello("2").id }]);
  });

  it("are few, whoever sends", () => {
    const table = new SisterTable(1_000);
    for (let index = 0; index < 1_000; index++) table.heard("a", `10.0.0.${index}`, hello(`${index}`, 7), 0);
    expect(table.sisters()).toHaveLength(32);
  });
});
