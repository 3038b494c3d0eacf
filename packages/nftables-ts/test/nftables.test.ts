import { execFileSync } from "node:child_process";
import { readdirSync } from "node:fs";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest";
import {
  concat,
  goto,
  type ListedObject,
  mangle,
  match,
  meta,
  Nftables,
  NftClosedError,
  type NftCommand,
  NftInputError,
  NftKernelError,
  NftNotFoundError,
  NftSyntaxError,
  NftUnavailableError,
  payload,
  rawPayload,
} from "../src/index.ts";
import { failure, ip } from "./sandbox.ts";

const family = "netdev";
const table = "cw-t";
const there = { family, table } as const;

let nft: Nftables;

beforeAll(() => {
  ip("link", "add", "cw-a", "type", "veth", "peer", "name", "cw-b");
  ip("link", "set", "cw-a", "up");
  ip("link", "set", "cw-b", "up");
});
afterAll(() => ip("link", "del", "cw-a"));
beforeEach(() => {
  nft = new Nftables();
  nft.run("flush ruleset");
  nft.run(`add table ${family} ${table}`);
});
afterEach(() => nft.close());

function elementsOf(objects: readonly ListedObject[]): unknown {
  return objects.flatMap((object) => ("map" in object ? [object.map.elem] : []))[0];
}

describe("run", () => {
  it("changes all or nothing", () => {
    for (const separator of ["\n", "; "]) {
      const bad = [
        "add chain netdev cw-t a",
        "add map netdev cw-t m { type mark : mark; }",
        "delete chain netdev cw-t no",
      ];
      expect(failure(() => nft.run(bad.join(separator)))).toBeInstanceOf(NftNotFoundError);
      expect(nft.list({ table: { family, name: table } })).toEqual([
        { table: { family, name: table, handle: expect.any(Number) } },
      ]);
    }
  });

  it("returns what the commands print, and nothing of earlier calls", () => {
    expect(nft.run("list tables")).toBe("table netdev cw-t\n");
    expect(nft.run("add chain netdev cw-t a")).toBe("");
    expect(nft.run("list tables")).toBe("table netdev cw-t\n");
  });

  it("checks without changing", () => {
    nft.run("add chain netdev cw-t a", { checkOnly: true });
    expect(failure(() => nft.run("add rule netdev cw-t a accept", { checkOnly: true }))).toMatchObject({
      code: "ENOENT",
    });
    expect(nft.list({ table: { family, name: table } })).toHaveLength(1);
    nft.run("add chain netdev cw-t a");
    expect(nft.list({ table: { family, name: table } })).toHaveLength(2);
  });

  it("leaves no file open, whatever becomes of the commands", () => {
    const openFiles = () => readdirSync("/proc/self/fd").length;
    nft.run("list tables\nlist tables");
    const before = openFiles();
    for (let round = 0; round < 50; round += 1) {
      nft.run("list tables\nlist tables");
      failure(() => nft.run("list tables\nadd foo"));
    }
    expect(openFiles()).toBe(before);
  });

  it("takes ten megabytes of text", () => {
    nft.run(`# ${"x".repeat(10 << 20)}`);
    nft.run(`${`# ${"x".repeat(98)}\n`.repeat(105_000)}add chain netdev cw-t a`);
    expect(nft.list({ chain: { ...there, name: "a" } })).toHaveLength(1);
  });
});

describe("network namespace", () => {
  it("is that of the thread when the object is made", () => {
    const index = JSON.stringify(new URL("../src/index.ts", import.meta.url).href);
    const script = `import { Nftables, NftablesWorker } from ${index};
      const nft = new Nftables();
      const worker = new NftablesWorker();
      console.log(nft.run("list tables") + (await worker.run("list tables")));`;
    ip("netns", "add", "cw-ns");
    try {
      const node = (code: string) =>
        ip("netns", "exec", "cw-ns", process.execPath, "--input-type=module", "--eval", code);
      expect(node(script)).toBe("\n");
      ip("netns", "exec", "cw-ns", "nft", "add table inet cw-inside");
      expect(node(script)).toBe("table inet cw-inside\ntable inet cw-inside\n\n");
      expect(nft.run("list tables")).toBe("table netdev cw-t\n");
    } finally {
      ip("netns", "del", "cw-ns");
    }
  });
});

describe("errors", () => {
  it("gives the position of a syntax error in several lines", () => {
    const error = failure(() => nft.run("add chain netdev cw-t a\n  add foo\nadd chain netdev cw-t b"));
    expect(error).toBeInstanceOf(NftSyntaxError);
    expect(error).toMatchObject({ diagnostics: [{ line: 2, column: 10, source: "  add foo" }] });
    expect(String(error)).toContain("line 2, column 10");
  });

  it("reports every error of one transaction", () => {
    const error = failure(() => nft.run("add rule netdev cw-t a accept\nadd rule netdev cw-t b accept\n"));
    expect(error).toMatchObject({ code: "ENOENT", diagnostics: [{ line: 1 }, { line: 2 }] });
  });

  it.each([
    ["EEXIST", "create table netdev cw-t", { line: 1, message: "Could not process rule: File exists" }],
    ["ENOENT", "delete table netdev cw-nope", { line: 1, column: 21 }],
    ["ENODEV", 'add rule netdev cw-t x fwd to "cw-nope"', { column: 31 }],
    ["EBUSY", "delete chain netdev cw-t x", { line: 1 }],
    ["EOVERFLOW|ENFILE|ENOSPC", "add element netdev cw-t two { 1 : 1, 2 : 2, 3 : 3 }", { line: 1 }],
    ["EINVAL", "add limit netdev cw-t l { rate 0/second }", { line: 1, source: expect.stringContaining("rate 0") }],
    ["ENOTSUP", "add set netdev cw-t s { type mark; flags interval, dynamic; timeout 5s; }", { line: 1 }],
    ["ELOOP|EMLINK|EINVAL", "add rule netdev cw-t x goto y; add rule netdev cw-t y goto x", { line: 1 }],
  ])("tells %s", (codes, command, diagnostic) => {
    nft.run(`add chain netdev cw-t x; add chain netdev cw-t y; add rule netdev cw-t y counter
      add chain netdev cw-t base { type filter hook ingress device "lo" priority 0; }
      add rule netdev cw-t base jump x
      add map netdev cw-t two { type mark : mark; size 2; }`);
    const error = failure(() => nft.run(command));
    expect(error).toBeInstanceOf(NftKernelError);
    expect(codes.split("|")).toContain(error instanceof NftKernelError ? error.code : undefined);
    expect(error).toMatchObject({ retryable: false, diagnostics: [diagnostic] });
  });

  it("tells EMSGSIZE, which smaller transactions avoid", () => {
    nft.run("add map netdev cw-t big { type mark : mark; }");
    const update = (count: number) =>
      nft.run(`add element netdev cw-t big { ${Array.from({ length: count }, (_, n) => `${n} : 1`).join(", ")} }`);
    expect(failure(() => update(100_000))).toMatchObject({ code: "EMSGSIZE", retryable: true });
    update(1000);
  });

  it("tells EPERM to a process without CAP_NET_ADMIN", () => {
    const script = `import { Nftables } from ${JSON.stringify(new URL("../src/index.ts", import.meta.url).href)};
      try { new Nftables().run("add table inet cw-p"); } catch (error) { console.log(error.name, error.code); }`;
    const args = ["--bounding-set", "-net_admin", "--", process.execPath, "--input-type=module", "--eval", script];
    expect(execFileSync("setpriv", args, { encoding: "utf8" })).toBe("NftKernelError EPERM\n");
  });

  it("refuses a library that does not load", () => {
    expect(() => new Nftables({ library: "libcw-nope.so.1" })).toThrow(NftUnavailableError);
    expect(() => new Nftables({ library: "libcw-nope.so.1" })).toThrow("libcw-nope.so.1 cannot be used");
    expect(() => new Nftables({ library: "libc.so.6" })).toThrow(NftUnavailableError);
  });

  it("refuses calls after close", () => {
    nft.close();
    nft.close();
    expect(() => nft.run("list tables")).toThrow(NftClosedError);
    expect(() => nft.list({ tables: null })).toThrow(NftClosedError);
  });

  it("names the bad command of a typed transaction", () => {
    const commands: readonly NftCommand[] = [
      { add: { chain: { ...there, name: "a" } } },
      { add: { rule: { ...there, chain: "a", expr: [{ accept: null }] } } },
      { delete: { map: { ...there, name: "nope" } } },
      { add: { chain: { ...there, name: "b" } } },
    ];
    expect(failure(() => nft.transaction(commands))).toMatchObject({
      name: "NftNotFoundError",
      diagnostics: [{ command: 2, source: JSON.stringify(commands[2]) }],
    });
    const badField: NftCommand = {
      add: { rule: { ...there, chain: "a", expr: [match(payload("tcp", "zz"), "==", 1)] } },
    };
    const error = failure(() => nft.transaction([{ add: { chain: { ...there, name: "a" } } }, badField]));
    expect(error).toBeInstanceOf(NftSyntaxError);
    expect(error).toMatchObject({ diagnostics: [{ message: "Unknown tcp field 'zz'.", command: 1 }, {}, {}] });
    expect(nft.list({ table: { family, name: table } })).toHaveLength(1);
  });

  it("keeps hostile names from becoming commands", () => {
    for (const name of ['x"; flush ruleset; "', "x; flush ruleset", "x\nflush ruleset", "x }", "@x", "x".repeat(300)]) {
      const error = failure(() =>
        nft.transaction([{ add: { chain: { ...there, name } } }, { add: { table: { family, name } } }]),
      );
      const names = nft.list({ tables: null }).map((object) => ("table" in object ? object.table.name : ""));
      expect(names).toContain(table);
      if (error === undefined) expect(names).toContain(name);
      else expect([NftKernelError, NftSyntaxError]).toContain(Object(error).constructor);
      nft.run("flush ruleset; add table netdev cw-t");
    }
    expect(() => nft.run("add table inet a\0b")).toThrow(NftInputError);
    expect(() => nft.transaction([{ add: { table: { family, name: "a\0b" } } }])).toThrow(NftInputError);
  });
});

describe("list", () => {
  it.each([
    { table: { family, name: "cw-nope" } },
    { chain: { ...there, name: "nope" } },
    { map: { ...there, name: "nope" } },
    { set: { ...there, name: "nope" } },
    { counter: { ...there, name: "nope" } },
    { counters: { family, table: "cw-nope" } },
  ] as const)("tells that %j does not exist", (target) => {
    expect(failure(() => nft.list(target))).toBeInstanceOf(NftNotFoundError);
  });

  it("gives back a ruleset that the same types describe", () => {
    const flow = concat(payload("ip", "saddr"), payload("ip", "daddr"), payload("th", "sport"), payload("th", "dport"));
    const objects = [
      { counter: { ...there, name: "hits", packets: 0, bytes: 0 } },
      { map: { ...there, name: "lut", type: "mark", map: "mark", size: 997, elem: [[1, 2]] } },
      { map: { ...there, name: "hop", type: "mark", map: "ipv4_addr", size: 997, elem: [[2, "10.1.0.1"]] } },
      {
        set: { ...there, name: "fresh", type: ["ipv4_addr", "inet_service"], size: 9, flags: ["timeout"], timeout: 60 },
      },
      { chain: { ...there, name: "svc" } },
      {
        map: {
          ...there,
          name: "services",
          type: ["ipv4_addr", "inet_proto", "inet_service"],
          map: "verdict",
          size: 10,
          elem: [[concat("10.0.0.1", 6, 80), goto("svc")]],
        },
      },
    ] as const;
    const rules = [
      [match({ "&": [payload("ip", "frag-off"), 0x3fff] }, "!=", 0), { accept: null }],
      [
        mangle(meta("mark"), { jhash: { mod: 997, seed: 0x1234, expr: flow } }),
        mangle(meta("mark"), { map: { key: meta("mark"), data: "@lut" } }),
        { fwd: { dev: "cw-b", family: "ip", addr: { map: { key: meta("mark"), data: "@hop" } } } },
      ],
      [{ vmap: { key: concat(payload("ip", "daddr"), meta("l4proto"), payload("th", "dport")), data: "@services" } }],
      [match(rawPayload("nh", 8, 16), "==", 5), { counter: "hits" }, { counter: { packets: 0, bytes: 0 } }],
      [{ set: { op: "update", elem: concat(payload("ip", "saddr"), payload("tcp", "sport")), set: "@fresh" } }],
      [match(payload("ip6", "saddr"), "==", { prefix: { addr: "fe80::", len: 10 } }), { return: null }],
      [match(payload("tcp", "dport"), "==", { set: [80, { range: [1000, 2000] }] }), { dup: { addr: "cw-b" } }],
      [{ limit: { rate: 5, burst: 3, per: "second" } }, { log: { prefix: "cw", level: "info" } }, { drop: null }],
      [match({ "tcp option": { name: "maxseg", field: "size" } }, ">", 1200), { continue: null }],
    ] as const;
    nft.transaction([
      ...objects.map((object): NftCommand => ({ add: object })),
      ...rules.map((expr): NftCommand => ({ add: { rule: { ...there, chain: "svc", expr } } })),
    ]);
    const listed = nft.list({ table: { family, name: table } });
    expect(listed.filter((object) => "unrecognised" in object)).toEqual([]);
    for (const object of objects) expect(listed).toContainEqual(withHandle(object));
    expect(listed.flatMap((object) => ("rule" in object ? [object.rule.expr] : []))).toEqual(rules);
    expect(elementsOf(nft.list({ map: { ...there, name: "lut" } }))).toEqual([[1, 2]]);
    expect(elementsOf(nft.list({ map: { ...there, name: "lut" } }, { terse: true }))).toBeUndefined();
  });

  it("types the statements of the inet family", () => {
    nft.run(`table inet cw-i {
      chain p { type filter hook prerouting priority mangle; policy accept
        socket mark 0xca accept
        socket wildcard 1 socket transparent 0 meta mark set ct mark
        rt ip nexthop 1.2.3.4 notrack
        ct state established,related ct original ip saddr 1.2.3.4 accept
        meta l4proto tcp tproxy ip to 127.0.0.1:80
        fib daddr type local exthdr frag exists drop
        numgen inc mod 2 vmap { 0 : accept, 1 : drop }
        meta mark set meta mark & 0xff | 0x100 reject
      }
    }`);
    const listed = nft.list({ ruleset: { family: "inet" } });
    expect(listed.length).toBe(10);
    expect(JSON.stringify(listed)).not.toContain("unrecognised");
  });

  it("resets counters and says what they held", () => {
    nft.run("add counter netdev cw-t c { packets 5 bytes 10 }");
    const counter = { ...there, name: "c" };
    const held = [{ counter: { ...counter, handle: expect.any(Number), packets: 5, bytes: 10 } }];
    expect(nft.list({ counters: there })).toEqual(held);
    expect(nft.reset({ counters: there })).toEqual(held);
    expect(nft.list({ counter })).toMatchObject([{ counter: { packets: 0, bytes: 0 } }]);
    expect(failure(() => nft.reset({ counter: { ...there, name: "nope" } }))).toBeInstanceOf(NftNotFoundError);
  });
});

function withHandle(object: object): unknown {
  return Object.fromEntries(
    Object.entries(object).map(([kind, fields]) => [kind, { ...fields, handle: expect.any(Number) }]),
  );
}

describe("the constructs of a load balancer, as text", () => {
  it("loads a netdev ingress chain with fwd on a veth", () => {
    nft.run(`table netdev cw-t {
      chain in { type filter hook ingress device "cw-a" priority 0
        fwd to "cw-b"
      }
    }`);
    expect(nft.run("list chain netdev cw-t in")).toContain('device "cw-a"');
    expect(JSON.stringify(nft.list({ chain: { ...there, name: "in" } }))).toContain('{"fwd":{"dev":"cw-b"}}');
  });

  it("changes one element of a map of 997", () => {
    const all = Array.from({ length: 997 }, (_, slot) => `${slot} : ${slot % 4}`).join(", ");
    nft.run(`add map netdev cw-t m { type mark : mark; size 997; elements = { ${all} }; }`);
    nft.run("delete element netdev cw-t m { 500 }; add element netdev cw-t m { 500 : 77 }");
    nft.transaction([
      { delete: { element: { ...there, name: "m", elem: [501] } } },
      { add: { element: { ...there, name: "m", elem: [[501, 78]] } } },
    ]);
    const elements = elementsOf(nft.list({ map: { ...there, name: "m" } }));
    expect(elements).toHaveLength(997);
    expect(elements).toEqual(
      expect.arrayContaining([
        [500, 77],
        [501, 78],
        [502, 2],
      ]),
    );
  });

  it("takes under half a millisecond for one element of 997", () => {
    const all = Array.from({ length: 997 }, (_, slot) => `${slot} : 0`).join(", ");
    nft.run(`add map netdev cw-t m { type mark : mark; size 997; elements = { ${all} }; }`);
    const times = Array.from({ length: 500 }, (_, round) => {
      const start = performance.now();
      nft.run(`delete element netdev cw-t m { ${round} }; add element netdev cw-t m { ${round} : 1 }`);
      return performance.now() - start;
    });
    expect(times.toSorted((a, b) => a - b)[250]).toBeLessThan(0.5);
  });

  it("keeps a typeof map with raw payload", () => {
    nft.run(`add map netdev cw-t tm { typeof ip saddr . @th,0,32 : meta mark; size 10; }
      add element netdev cw-t tm { 1.2.3.4 . 0x12345678 : 5 }`);
    expect(nft.list({ map: { ...there, name: "tm" } })).toMatchObject([
      { map: { type: ["ipv4_addr", "integer"], map: "mark", elem: [[{ concat: ["1.2.3.4", 0x12345678] }, 5]] } },
    ]);
  });
});
