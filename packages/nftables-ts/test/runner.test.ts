import { execFileSync } from "node:child_process";
import { mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import {
  Nftables,
  type NftablesRunner,
  NftablesSpawn,
  NftablesWorker,
  NftClosedError,
  NftKernelError,
  NftNotFoundError,
  NftOutcomeUnknownError,
  NftSyntaxError,
  NftUnavailableError,
  openNftables,
} from "../src/index.ts";
import { QueuedRunner } from "../src/runner.ts";
import { ThreadEngine } from "../src/thread-engine.ts";

const there = { family: "inet", table: "cw-r" } as const;

beforeEach(() => {
  using nft = new Nftables();
  nft.run("flush ruleset");
});

describe.each(["library", "worker", "spawn"] as const)("via %s", (via) => {
  let nft: NftablesRunner;
  beforeEach(async () => {
    nft = await openNftables({ via });
  });
  afterEach(() => nft.close());

  it("runs, lists and resets, in the order of the calls", async () => {
    expect(nft.via).toBe(via);
    const [, , tables, listed, held] = await Promise.all([
      nft.run("add table inet cw-r\nadd chain inet cw-r a\n"),
      nft.transaction([{ add: { counter: { ...there, name: "c", packets: 1, bytes: 2 } } }]),
      nft.run("list tables"),
      nft.list({ table: { family: "inet", name: "cw-r" } }),
      nft.reset({ counters: there }),
    ]);
    expect(tables).toBe("table inet cw-r\n");
    expect(listed.map((object) => Object.keys(object)[0])).toEqual(["table", "counter", "chain"]);
    expect(held).toMatchObject([{ counter: { packets: 1, bytes: 2, handle: expect.any(Number) } }]);
  });

  it("rejects with typed errors, and goes on", async () => {
    await nft.run("add table inet cw-r");
    await expect(nft.run("add chain inet cw-r a\nadd foo")).rejects.toMatchObject({
      name: "NftSyntaxError",
      diagnostics: [{ line: 2, column: 8, source: "add foo" }],
    });
    await expect(nft.run("add foo")).rejects.toBeInstanceOf(NftSyntaxError);
    await expect(nft.run("create table inet cw-r")).rejects.toMatchObject({ code: "EEXIST" });
    await expect(nft.list({ table: { family: "inet", name: "nope" } })).rejects.toBeInstanceOf(NftNotFoundError);
    const bad = nft.transaction([
      { add: { chain: { ...there, name: "a" } } },
      { delete: { map: { ...there, name: "b" } } },
    ]);
    await expect(bad).rejects.toBeInstanceOf(NftKernelError);
    await expect(bad).rejects.toMatchObject({ code: "ENOENT", diagnostics: [{ command: 1 }] });
    await nft.run("add chain inet cw-r b", { checkOnly: true });
    expect(await nft.list({ table: { family: "inet", name: "cw-r" } })).toHaveLength(1);
  });

  it("closes after the call under way and refuses the rest", async () => {
    const first = nft.run("add table inet cw-r");
    await first;
    const closed = nft.close();
    await expect(nft.run("list tables")).rejects.toBeInstanceOf(NftClosedError);
    await closed;
    await nft.close();
  });
});

describe("openNftables", () => {
  it("falls back to the program, and says what is missing when there is none", async () => {
    const library = "libcw-nope.so.1";
    await using fallback = await openNftables({ library });
    expect(fallback.via).toBe("spawn");
    const none = openNftables({ library, command: "cw-nope" });
    await expect(none).rejects.toBeInstanceOf(NftUnavailableError);
    await expect(none).rejects.toThrow(/libcw-nope.*cw-nope cannot be started/);
    await expect(openNftables({ via: "worker", library })).rejects.toBeInstanceOf(NftUnavailableError);
    await using unchecked = new NftablesWorker({ library });
    await expect(unchecked.run("")).rejects.toBeInstanceOf(NftUnavailableError);
  });
});

describe("NftablesWorker", () => {
  it("leaves the event loop free during a large update", async () => {
    await using nft = new NftablesWorker();
    await nft.run("add table inet cw-r; add map inet cw-r m { type mark : mark; }");
    const elements = Array.from({ length: 3000 }, (_, n) => `${n} : ${n}`).join(", ");
    const text = Array.from({ length: 5 }, () => `add element inet cw-r m { ${elements} }`).join("\n");
    let turns = 0;
    let done = false;
    const update = nft.run(text, { checkOnly: true }).catch((error: unknown) => error);
    void update.then(() => {
      done = true;
    });
    while (!done) {
      await delay(1);
      turns += 1;
    }
    await update;
    expect(turns).toBeGreaterThan(3);
  });

  it.each(["throw", "exit"])(
    "rejects the call under way when the thread dies (%s), and starts another",
    async (end) => {
      const entry = new URL("./mortal-thread.ts", import.meta.url);
      await using nft = new QueuedRunner("worker", new ThreadEngine("", entry));
      expect(await nft.run("list tables")).toBe("thread 1: list tables");
      const lost = nft.run(end);
      const next = nft.run("list tables");
      await expect(lost).rejects.toBeInstanceOf(NftOutcomeUnknownError);
      await expect(lost).rejects.toThrow(/whether the kernel has the change is unknown/);
      expect(await next).toBe("thread 1: list tables");
    },
  );

  it("lets the process end while it is idle", () => {
    const script = `import { NftablesWorker } from ${JSON.stringify(new URL("../src/index.ts", import.meta.url).href)};
      console.log(JSON.stringify(await new NftablesWorker().run("list tables")));`;
    const args = ["--input-type=module", "--eval", script];
    expect(execFileSync(process.execPath, args, { encoding: "utf8", timeout: 20_000 })).toBe('""\n');
  });
});

describe("NftablesSpawn", () => {
  it("survives a crash of nft and tells that the outcome is unknown", async () => {
    await using nft = new NftablesSpawn();
    await nft.run(`table netdev cw-c {
      map m { typeof jhash ip saddr mod 5 : meta mark; }
    }`);
    await expect(nft.run("list table netdev cw-c")).rejects.toBeInstanceOf(NftOutcomeUnknownError);
    expect(await nft.run("delete table netdev cw-c; list tables")).toBe("");
  });

  it("kills a process that takes too long", async () => {
    await using nft = new NftablesSpawn({ timeoutMs: 1 });
    await expect(nft.run(`# ${"x".repeat(20 << 20)}`)).rejects.toThrow(/SIGKILL after 1 ms/);
  });

  it("leaves no file behind", async () => {
    const folder = mkdtempSync(join(tmpdir(), "cw-spawn-"));
    const before = process.env.TMPDIR;
    process.env.TMPDIR = folder;
    try {
      await using nft = new NftablesSpawn();
      await nft.run("add table inet cw-r");
      await expect(nft.run("add foo")).rejects.toBeInstanceOf(NftSyntaxError);
      expect(readdirSync(folder)).toEqual([]);
    } finally {
      if (before === undefined) delete process.env.TMPDIR;
      else process.env.TMPDIR = before;
      rmSync(folder, { recursive: true });
    }
  });
});

describe("two writers and a reader", () => {
  it("lose nothing to each other", async () => {
    const open = () => new NftablesWorker();
    await using one = open();
    await using two = open();
    await using reader = open();
    await one.run("add table inet cw-r; add set inet cw-r s { type mark; }");
    const add = async (nft: NftablesRunner, from: number) => {
      for (let n = from; n < from + 150; n += 1) await nft.run(`add element inet cw-r s { ${n} }`);
    };
    const read = async () => {
      for (let n = 0; n < 150; n += 1) await reader.list({ set: { ...there, name: "s" } });
    };
    await Promise.all([add(one, 0), add(two, 1000), read()]);
    expect(await reader.list({ set: { ...there, name: "s" } })).toMatchObject([{ set: { elem: { length: 300 } } }]);
  });
});
