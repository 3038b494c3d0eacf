import { expect, test } from "vitest";
import { z } from "zod";
import { readTable } from "./read-table.ts";
import { slotKey } from "./slot-key.ts";

/** Objects as libnftables lists them, in the order in which it does. */
const listing = (...objects: unknown[]): unknown => ({ nftables: [{ metainfo: { version: "1.0.6" } }, ...objects] });
const at = { family: "netdev", table: "causeway" };

test("verdict maps, sets and lookup tables", () => {
  const found = readTable(
    listing(
      { table: { family: "netdev", name: "causeway", handle: 1 } },
      { counter: { ...at, name: "unmatched", handle: 2, packets: 7, bytes: 9 } },
      {
        map: {
          ...at,
          name: "flow-exact4",
          type: ["ipv4_addr", "inet_proto", "inet_service"],
          map: "verdict",
          elem: [
            [{ concat: ["198.51.100.10", 6, 8080] }, { goto: { target: "flow-1" } }],
            [{ concat: ["198.51.100.10", 17, { range: [10, 20] }] }, { jump: { target: "early-1" } }],
          ],
        },
      },
      { map: { ...at, name: "legs4", type: "mark", map: "verdict", elem: [[65_537, { goto: { target: "leg-1" } }]] } },
      { map: { ...at, name: "empty", type: "mark", map: "verdict" } },
      {
        map: {
          ...at,
          name: "lut-1",
          type: "mark",
          map: "mark",
          size: 3,
          elem: [
            [0, 65_537],
            // Keys are in network order: see slot-key.ts.
            [slotKey(2), 0x80000002],
          ],
        },
      },
      { set: { ...at, name: "vips4", type: "ipv4_addr", elem: ["198.51.100.10"] } },
      { set: { ...at, name: "quoted4", type: "integer", elem: [3_325_256_714] } },
    ),
  );
  expect(found.counters).toEqual(new Set(["unmatched"]));
  expect(found.maps.get("flow-exact4")?.elements).toEqual(
    new Map([
      ["198.51.100.10 . 6 . 8080", "goto flow-1"],
      ["198.51.100.10 . 17 . 10-20", "jump early-1"],
    ]),
  );
  expect(found.maps.get("legs4")?.elements).toEqual(new Map([["65537", "goto leg-1"]]));
  expect(found.maps.get("empty")).toEqual({ kind: "map", elements: new Map() });
  expect(found.luts.get("lut-1")?.slots).toEqual(Uint32Array.of(65_537, 0, 0x80000002));
  expect(found.maps.get("vips4")).toEqual({ kind: "set", elements: new Map([["198.51.100.10", ""]]) });
  // 198.51.100.10 as a number: the notation in which it was written.
  expect(found.maps.get("quoted4")?.elements).toEqual(new Map([["0xc633640a", ""]]));
});

test("rules of ordinary chains are counted; of base chains their targets are told, and rules that are not ours", () => {
  const rule = (chain: string, ...expr: unknown[]) => ({ rule: { ...at, chain, handle: 1, expr } });
  const match = { match: { op: "==", left: { meta: { key: "protocol" } }, right: "ip" } };
  const found = readTable(
    listing(
      { chain: { ...at, name: "ingress-ext0", hook: "ingress", prio: 0, type: "filter", policy: "accept" } },
      { chain: { ...at, name: "external4" } },
      { chain: { ...at, name: "empty" } },
      rule("ingress-ext0", match, { goto: { target: "external4" } }),
      rule("ingress-ext0", { drop: null }),
      rule("external4", { accept: null }),
      rule("external4", { drop: null }),
    ),
  );
  expect(found.chains).toEqual(
    new Map([
      ["external4", 2],
      ["empty", 0],
    ]),
  );
  expect(found.bases.get("ingress-ext0")).toEqual({ place: "ingress 0", targets: ["external4", "unknown"] });
});

test("chains that are not what their names say: by an interface that is another one, or by who has looked", () => {
  const rule = (chain: string, ...expr: unknown[]): unknown => ({ rule: { ...at, chain, expr } });
  const forward = (dev: string | number): unknown => ({ fwd: { dev, family: "ip", addr: "10.1.0.1" } });
  const copy = (addr: string | number): unknown => ({ dup: { addr } });
  const chains = ["right", "index", "gone", "touched", "copied", "copied-nowhere"];
  const found = readTable(
    listing(
      { chain: { ...at, name: "ingress-ext0", hook: "ingress", prio: 0, type: "filter", policy: "drop" } },
      ...chains.map((name) => ({ chain: { ...at, name } })),
      rule("right", forward("svc0")),
      rule("index", forward(17)),
      rule("index", { drop: null }),
      rule("gone", forward("svc1")),
      rule("touched", { accept: null }),
      rule("copied", copy("svc0"), copy("lo")),
      rule("copied-nowhere", copy("svc0"), copy(17)),
    ),
    { interfaces: new Set(["svc0", "lo"]), isChanged: (chain) => chain === "touched" || chain === "ingress-ext0" },
  );
  expect([...found.chains]).toEqual([
    ["right", 1],
    ["index", -1],
    ["gone", -1],
    ["touched", -1],
    ["copied", 1],
    ["copied-nowhere", -1],
  ]);
  expect(found.bases.get("ingress-ext0")?.place).toBe("changed");
});

test.each([
  ["no list", {}],
  ["a map without a name", listing({ map: { map: "verdict" } })],
])("%s is no listing", (_what, text) => {
  expect(() => readTable(text)).toThrow(z.ZodError);
});

test("elements that are none of ours in shape: that they are there", () => {
  const found = readTable(
    listing(
      { set: { ...at, name: "vips4", type: "ipv4_addr", elem: [{ elem: { val: "192.0.2.1", comment: "mine" } }] } },
      { map: { ...at, name: "legs4", type: "mark", map: "verdict", elem: [[77, { queue: null }]] } },
      { map: { ...at, name: "lut-1", type: "mark", map: "mark", size: 3, elem: [[{ elem: { val: 1 } }, 7]] } },
      {
        map: { ...at, name: "other", type: "ipv4_addr", map: ["ipv4_addr", "inet_service"], elem: [["192.0.2.1", {}]] },
      },
      { map: { ...at, name: "blocked4", type: "mark", map: "verdict", elem: [[77, { drop: null }]] } },
    ),
  );
  expect(found.unreadable).toEqual(new Set(["vips4", "legs4", "lut-1", "other"]));
  expect(found.maps.get("vips4")?.elements.size).toBe(0);
  expect(found.maps.get("blocked4")?.elements).toEqual(new Map([["77", "drop"]]));
});
