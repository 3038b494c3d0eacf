import { once } from "node:events";
import { connect, type Socket } from "node:net";
import { Duplex } from "node:stream";
import { pino } from "pino";
import { afterEach, describe, expect, it, vi } from "vitest";
import { MemoryAdapter } from "../adapter/memory-adapter.fixture.ts";
import { topicSettings } from "../adapter/topic-settings.fixture.ts";
import { MAX_REFUSED } from "./publisher.ts";
import { TopicBridge } from "./topic-bridge.ts";
import { TopicListener } from "./topic-listener.ts";

const log = pino({ level: "silent" });
const cleanups: (() => Promise<void> | void)[] = [];
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
});

function bridgeOf(more: Readonly<Record<string, unknown>> = {}) {
  const settings = topicSettings(more);
  const { spec } = settings;
  const adapter = new MemoryAdapter(settings);
  const bridge = new TopicBridge({ spec, adapter, nowMs: () => performance.now(), log });
  cleanups.push(() => bridge.close("the test is over"));
  return { adapter, bridge, spec };
}

/** A peer in memory, which takes what is written to it only when it is told to. */
class Peer extends Duplex {
  readonly #waiting: (() => void)[] = [];
  isReading: boolean;
  text = "";

  constructor(isReading: boolean) {
    super({ allowHalfOpen: true, highWaterMark: 16_384 });
    this.isReading = isReading;
  }

  override _read(): void {}

  override _write(chunk: Buffer, _: BufferEncoding, done: () => void): void {
    const take = (): void => {
      this.text += chunk.toString("utf8");
      done();
    };
    if (this.isReading) take();
    else this.#waiting.push(take);
  }

  /** It reads again. */
  resumeReading(): void {
    this.isReading = true;
    for (const take of this.#waiting.splice(0)) take();
  }

  says(text: string): void {
    this.push(Buffer.from(text));
  }

  get lines(): readonly string[] {
    return this.text.split("\n").slice(0, -1);
  }

  /** Numbers of the samples that it has got. */
  get numbers(): readonly number[] {
    return this.lines.flatMap((line) => {
      const sample: unknown = JSON.parse(line);
      return typeof sample === "object" && sample !== null && "n" in sample ? [Number(sample.n)] : [];
    });
  }

  get lastError(): string | undefined {
    return this.lines.findLast((line) => line.includes("causeway.dev/error"));
  }
}

const until = (check: () => void): Promise<void> => vi.waitFor(check, { timeout: 15_000, interval: 5 });
const samples = (from: number, to: number, more: object = {}): readonly unknown[] =>
  Array.from({ length: to - from }, (_, index) => ({ n: from + index, ...more }));
const range = (from: number, to: number): readonly number[] => Array.from({ length: to - from }, (_, i) => from + i);

describe("subscribing", () => {
  it("every client gets every sample that comes after it, one JSON object a line, in order", async () => {
    const { adapter, bridge } = bridgeOf();
    const [a, b, late] = [new Peer(true), new Peer(true), new Peer(true)];
    bridge.add(a);
    bridge.add(b);
    adapter.arrive(samples(0, 500));
    await until(() => expect(b.numbers).toHaveLength(500));
    bridge.add(late);
    adapter.arrive(samples(500, 510));
    await until(() => expect(late.numbers).toEqual(range(500, 510)));
    expect(a.numbers).toEqual(range(0, 510));
    expect(b.numbers).toEqual(range(0, 510));
    expect(bridge.counters).toMatchObject({ read: 510, missed: { slow: 0, long: 0 }, held: 0 });
  });

  it("of a TransientLocal topic who comes late gets the last ones first", async () => {
    const { adapter, bridge } = bridgeOf({ qos: { durability: "TransientLocal", historyDepth: 3 } });
    adapter.arrive(samples(0, 10));
    await until(() => expect(bridge.counters.read).toBe(10));
    const late = new Peer(true);
    bridge.add(late);
    expect(late.numbers).toEqual([7, 8, 9]);
  });

  it("a sample that is longer than any queue is left out and counted", async () => {
    const { adapter, bridge } = bridgeOf({ limits: { queueOctets: 1_024 } });
    const peer = new Peer(true);
    bridge.add(peer);
    adapter.arrive([{ n: 1 }, { n: 2, text: "x".repeat(2_000) }, { n: 3 }]);
    await until(() => expect(peer.numbers).toEqual([1, 3]));
    expect(bridge.counters.missed.long).toBe(1);
  });
});

describe("a client that does not read", () => {
  // What a stream takes before it says that it is full is not in the queue.
  const wide = { pad: "x".repeat(20_000) };
  const limits = { queueLines: 20, queueOctets: 8_388_608, slowClientSeconds: 60 };

  it("BestEffort: misses the oldest, which are counted, and holds back nobody", async () => {
    const { adapter, bridge } = bridgeOf({ qos: { reliability: "BestEffort" }, limits });
    const [slow, quick] = [new Peer(false), new Peer(true)];
    bridge.add(slow);
    bridge.add(quick);
    adapter.arrive(samples(0, 200, wide));
    await until(() => expect(quick.numbers).toEqual(range(0, 200)));
    slow.resumeReading();
    await until(() => expect(slow.numbers.at(-1)).toBe(199));
    expect(slow.numbers.slice(-20)).toEqual(range(180, 200));
    expect(bridge.counters.missed.slow).toBe(200 - slow.numbers.length);
    expect(bridge.counters.missed.slow).toBeGreaterThan(150);
    expect(bridge.counters).toMatchObject({ held: 0, cut: { slow: 0 } });
  });

  it("Reliable: nothing more is taken from DDS until it has caught up, and nobody misses anything", async () => {
    const { adapter, bridge } = bridgeOf({ limits });
    const [slow, quick] = [new Peer(false), new Peer(true)];
    bridge.add(slow);
    bridge.add(quick);
    adapter.arrive(samples(0, 200, wide));
    await until(() => expect(bridge.counters.held).toBe(1));
    const taken = bridge.counters.read;
    expect(taken).toBeLessThan(30);
    // The writer in DDS has to wait for these.
    expect(adapter.waiting).toBeGreaterThan(100);
    expect(quick.numbers.length).toBeLessThanOrEqual(taken);
    slow.resumeReading();
    await until(() => expect(slow.numbers).toEqual(range(0, 200)));
    expect(quick.numbers).toEqual(range(0, 200));
    expect(bridge.counters).toMatchObject({ missed: { slow: 0 }, cut: { slow: 0 } });
  });

  it("Reliable: its time over it is cut, with the reason, and the others get everything", async () => {
    const { adapter, bridge } = bridgeOf({ limits: { ...limits, slowClientSeconds: 1 } });
    const [slow, quick] = [new Peer(false), new Peer(true)];
    bridge.add(slow);
    bridge.add(quick);
    adapter.arrive(samples(0, 200, wide));
    await until(() => expect(quick.numbers).toEqual(range(0, 200)));
    expect(bridge.counters.cut.slow).toBe(1);
    slow.resumeReading();
    await until(() => expect(slow.lastError).toMatch(/too slow: 1 s \(spec.limits.slowClientSeconds\)/));
    expect(slow.numbers).toEqual(range(0, slow.numbers.length));
  });

  it("Reliable: one that goes away holds back nobody", async () => {
    const { adapter, bridge } = bridgeOf({ limits });
    const [slow, quick] = [new Peer(false), new Peer(true)];
    bridge.add(slow);
    bridge.add(quick);
    adapter.arrive(samples(0, 200, wide));
    await until(() => expect(bridge.counters.held).toBe(1));
    slow.destroy();
    await until(() => expect(quick.numbers).toEqual(range(0, 200)));
    expect(bridge.clients).toBe(1);
  });

  it("memory is that of one queue, however many there are", async () => {
    const { adapter, bridge } = bridgeOf({ qos: { reliability: "BestEffort" }, limits: { ...limits, queueLines: 10 } });
    const peers = Array.from({ length: 50 }, () => new Peer(false));
    for (const peer of peers) bridge.add(peer);
    adapter.arrive(samples(0, 2_000, wide));
    await until(() => expect(bridge.counters.read).toBe(2_000));
    // One line is on its way to each, the rest lies in the queue that all share.
    for (const peer of peers) expect(peer.writableLength).toBeLessThan(45_000);
  });
});

describe("publishing", () => {
  it("each line is a sample, in order, whatever pieces it comes in; blank ones are none", async () => {
    const { adapter, bridge } = bridgeOf({ direction: "Publish" });
    const peer = new Peer(true);
    bridge.add(peer);
    peer.says('{"n":1}\r\n\n{"n"');
    peer.says(':2}\n  {"n":3}  \n{"n":4}');
    await until(() => expect(adapter.published).toEqual(['{"n":1}', '{"n":2}', '{"n":3}']));
    // Who only publishes has no more to do here when it has said all, the last line without an end included.
    peer.push(null);
    await until(() => expect(peer.writableEnded).toBe(true));
    expect(adapter.published).toHaveLength(4);
    expect(peer.text).toBe("");
    expect(bridge.counters.written).toBe(4);
  });

  it("who reads, too, goes on reading when it has nothing more to say", async () => {
    const { adapter, bridge } = bridgeOf({ direction: "Both" });
    const peer = new Peer(true);
    bridge.add(peer);
    peer.says('{"n":1}\n');
    peer.push(null);
    await until(() => expect(adapter.published).toHaveLength(1));
    adapter.arrive(samples(5, 6));
    await until(() => expect(peer.numbers).toEqual([5]));
  });

  it("readers in DDS that have to catch up hold back the client, and nothing is lost", async () => {
    const { adapter, bridge } = bridgeOf({ direction: "Publish" });
    adapter.room = 2;
    const peer = new Peer(true);
    bridge.add(peer);
    peer.says(
      range(0, 100)
        .map((n) => `{"n":${n}}\n`)
        .join(""),
    );
    await until(() => expect(adapter.published).toHaveLength(2));
    await until(() => expect(peer.isPaused()).toBe(true));
    adapter.room = Number.POSITIVE_INFINITY;
    await until(() => expect(adapter.published).toEqual(range(0, 100).map((n) => `{"n":${n}}`)));
    await until(() => expect(peer.isPaused()).toBe(false));
  });

  it("no more lines a second than are allowed, and none is lost", async () => {
    const { adapter, bridge } = bridgeOf({ direction: "Publish", limits: { linesPerSecondPerClient: 20 } });
    const peer = new Peer(true);
    bridge.add(peer);
    const began = performance.now();
    peer.says(
      range(0, 40)
        .map((n) => `{"n":${n}}\n`)
        .join(""),
    );
    await until(() => expect(adapter.published).toHaveLength(40));
    expect(performance.now() - began).toBeGreaterThan(900);
  });

  it.each([
    ["hello", "line 1: it is no JSON object"],
    ["[1]", "line 1: it is no JSON object"],
    ['{"n":', "line 1: it is no JSON object"],
    ['{"nope":1}', 'line 1: plant::Reading has no member \\"nope\\"'],
  ])("%s is answered by what is wrong, and what follows is published", async (line, message) => {
    const { adapter, bridge } = bridgeOf({ direction: "Publish" });
    const peer = new Peer(true);
    bridge.add(peer);
    peer.says(`${line}\n{"n":2}\n`);
    await until(() => expect(adapter.published).toEqual(['{"n":2}']));
    expect(peer.lines).toEqual([`{"causeway.dev/error":"${message}"}`]);
  });

  it("nothing is published where clients only subscribe", async () => {
    const { adapter, bridge } = bridgeOf();
    const peer = new Peer(true);
    bridge.add(peer);
    peer.says('{"n":1}\n');
    await until(() => expect(peer.lastError).toMatch(/spec.direction is Subscribe/));
    expect(adapter.published).toEqual([]);
    expect(bridge.counters.refused).toEqual({ invalid: 0, unexpected: 1 });
  });
});

describe("hostile clients", () => {
  it("garbage ends the connection after some lines, others are undisturbed", async () => {
    const { adapter, bridge } = bridgeOf({ direction: "Both" });
    const [hostile, good] = [new Peer(true), new Peer(true)];
    bridge.add(hostile);
    bridge.add(good);
    hostile.says(`${"\u0000\ufffdgarbage\n".repeat(1_000)}`);
    await until(() => expect(hostile.lastError).toMatch(/too many lines that are no samples/));
    expect(hostile.lines).toHaveLength(MAX_REFUSED + 1);
    expect(bridge.counters).toMatchObject({ refused: { invalid: MAX_REFUSED }, cut: { invalid: 1 } });
    good.says('{"n":1}\n');
    adapter.arrive(samples(7, 8));
    await until(() => expect(good.numbers).toEqual([7]));
    expect(adapter.published).toEqual(['{"n":1}']);
  });

  it("a line without an end ends the connection", async () => {
    const { bridge } = bridgeOf({ direction: "Publish", limits: { lineOctets: 1_000 } });
    const peer = new Peer(true);
    bridge.add(peer);
    for (let n = 0; n < 50; n += 1) peer.says("x".repeat(100));
    await until(() => expect(peer.lastError).toMatch(/longer than 1000 octets \(spec.limits.lineOctets\)/));
    expect(bridge.counters.cut.line).toBe(1);
  });
});

describe("over TCP", () => {
  async function listen(more: Readonly<Record<string, unknown>> = {}) {
    const made = bridgeOf(more);
    const { bridge, spec } = made;
    const listener = await TopicListener.open({ port: 0, limits: spec.limits, bridge, onError: () => undefined });
    cleanups.push(() => listener.close());
    return { ...made, listener };
  }

  /** A client, and all that it was sent. */
  async function client(
    port: number,
  ): Promise<{ readonly socket: Socket; text: string; readonly closed: Promise<unknown> }> {
    const socket = connect(port, "127.0.0.1");
    const state = { socket, text: "", closed: once(socket, "close").catch(() => undefined) };
    socket.setEncoding("utf8").on("data", (chunk: string) => {
      state.text += chunk;
    });
    socket.on("error", () => socket.destroy());
    cleanups.push(() => void socket.destroy());
    await once(socket, "connect");
    return state;
  }

  it("a client sees what others publish", async () => {
    const { adapter, bridge, listener } = await listen({ direction: "Both" });
    const one = await client(listener.port);
    one.socket.write('{"n":1}\n');
    await until(() => expect(adapter.published).toEqual(['{"n":1}']));
    adapter.arrive(samples(2, 3));
    await until(() => expect(one.text).toBe('{"n":2}\n'));
    await bridge.close("that is all");
    await one.closed;
    expect(one.text).toBe('{"n":2}\n{"causeway.dev/error":"that is all"}\n');
    expect(adapter.isClosed).toBe(true);
  });

  it("more clients than there may be are told so, and those that are there stay", async () => {
    const { adapter, bridge, listener } = await listen({ limits: { clients: 3 } });
    const three = [await client(listener.port), await client(listener.port), await client(listener.port)];
    await until(() => expect(bridge.clients).toBe(3));
    const fourth = await client(listener.port);
    await fourth.closed;
    expect(fourth.text).toMatch(/there are 3 clients already \(spec.limits.clients\)/);
    adapter.arrive(samples(1, 2));
    for (const one of three) await until(() => expect(one.text).toBe('{"n":1}\n'));
    three[0]?.socket.resetAndDestroy();
    await until(() => expect(bridge.clients).toBe(2));
    const fifth = await client(listener.port);
    adapter.arrive(samples(2, 3));
    await until(() => expect(fifth.text).toBe('{"n":2}\n'));
    expect(bridge.counters.connections).toEqual({ accepted: 4, full: 1, address: 0 });
  });

  it("one address does not take the places of all", async () => {
    const { bridge, listener } = await listen({ limits: { clients: 10, clientsPerAddress: 2 } });
    await client(listener.port);
    await client(listener.port);
    const third = await client(listener.port);
    await third.closed;
    expect(third.text).toMatch(/2 clients of your address already/);
    expect(bridge.clients).toBe(2);
  });

  it("thousands of connections leave those that are there in peace", async () => {
    const { adapter, bridge, listener } = await listen({ limits: { clients: 5, clientsPerAddress: 5 } });
    const good = await client(listener.port);
    await until(() => expect(bridge.clients).toBe(1));
    for (let round = 0; round < 20; round += 1) {
      const flood = Array.from({ length: 100 }, () => connect(listener.port, "127.0.0.1").on("error", () => undefined));
      await Promise.all(flood.map((socket) => once(socket, "connect")));
      for (const socket of flood) socket.resetAndDestroy();
    }
    adapter.arrive(samples(1, 4));
    await until(() => expect(good.text).toBe('{"n":1}\n{"n":2}\n{"n":3}\n'));
    await until(() => expect(bridge.clients).toBe(1));
    const { accepted, address, full } = bridge.counters.connections;
    expect(accepted + address + full).toBe(2_001);
  }, 60_000);
});
