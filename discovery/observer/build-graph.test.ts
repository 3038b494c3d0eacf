import { describe, expect, it } from "vitest";
import { type GraphParticipant, graphAnswerSchema } from "#shared/dds/graph.ts";
import { buildGraph } from "./build-graph.ts";
import { endpoint } from "./endpoint.fixture.ts";

const A = "0110aaaaaaaaaaaaaaaaaaaa";
const B = "010fbbbbbbbbbbbbbbbbbbbb";

const participant = (prefix: string, more: Partial<GraphParticipant> = {}): GraphParticipant => ({
  prefix,
  domainId: 0,
  domainTag: "",
  vendor: "Eclipse Cyclone DDS",
  address: "10.71.0.2",
  secured: false,
  complete: true,
  writers: 0,
  readers: 0,
  refused: 0,
  ...more,
});
const both = [participant(A), participant(B)];
const bestEffort = { kind: "best-effort", maxBlockingTime: { seconds: 0, fraction: 0 } } as const;
const reliable = { kind: "reliable", maxBlockingTime: { seconds: 0, fraction: 0 } } as const;

describe("the graph", () => {
  it("pairs writers and readers of one topic, and says why others do not", () => {
    const { topics } = buildGraph({
      participants: both,
      endpoints: [
        endpoint("writer", { reliability: bestEffort }, 0x102, A),
        endpoint("reader", {}, 0x107, B),
        endpoint("reader", { reliability: reliable, entityName: "control" }, 0x207, B),
        endpoint("writer", { topicName: "Other" }, 0x202, A),
      ],
    });
    expect(topics.map(({ name }) => name)).toEqual(["Other", "Reading"]);
    const reading = topics[1];
    expect(reading?.matches).toEqual([{ writer: `${A}:00000102`, reader: `${B}:00000107` }]);
    expect(reading).toMatchObject({ matchCount: 1, mismatchCount: 1, separatedCount: 0 });
    expect(reading?.mismatches[0]).toMatchObject({ reader: `${B}:00000207`, reasons: [{ policy: "reliability" }] });
    expect(reading?.readers.map(({ name, matched }) => [name, matched])).toEqual([
      [undefined, 1],
      ["control", 0],
    ]);
  });

  it("domains and tags are worlds of their own", () => {
    const { topics } = buildGraph({
      participants: [participant(A), participant(B, { domainTag: "line-2" })],
      endpoints: [endpoint("writer", {}, 0x102, A), endpoint("reader", {}, 0x107, B)],
    });
    expect(topics.map(({ domainTag, matchCount, mismatchCount }) => [domainTag, matchCount, mismatchCount])).toEqual([
      ["", 0, 0],
      ["line-2", 0, 0],
    ]);
  });

  it("partitions separate by intent where both have somebody to talk to, and are a problem where one has nobody", () => {
    const writers = ["a", "b"].map((name, index) => endpoint("writer", { partition: [name] }, 0x102 + index * 256, A));
    const readers = ["a", "b"].map((name, index) => endpoint("reader", { partition: [name] }, 0x107 + index * 256, B));
    const [apart] = buildGraph({ participants: both, endpoints: [...writers, ...readers] }).topics;
    expect(apart).toMatchObject({ matchCount: 2, mismatchCount: 0, separatedCount: 2 });
    const lost = endpoint("reader", { partition: ["c"] }, 0x907, B);
    const [topic] = buildGraph({ participants: both, endpoints: [...writers, ...readers, lost] }).topics;
    expect(topic?.mismatches.map(({ reader }) => reader)).toEqual([lost.guid, lost.guid]);
  });

  it("patterns match each other where both sides are Fast DDS, and nowhere else", () => {
    const endpoints = [
      endpoint("writer", { partition: ["*"] }, 0x102, A),
      endpoint("reader", { partition: ["*"] }, 0x107, B),
    ];
    const counts = [
      ["fast", "fast"],
      ["fast", "cyclone"],
      ["other", "fast"],
    ].map((vendors) => {
      const names = vendors.map((each) =>
        each === "fast" ? "eProsima Fast DDS" : each === "other" ? "RTI Connext" : "Eclipse Cyclone DDS",
      );
      const participants = [participant(A, { vendor: names[0] ?? "" }), participant(B, { vendor: names[1] ?? "" })];
      return buildGraph({ participants, endpoints }).topics[0]?.matchCount;
    });
    expect(counts).toEqual([1, 0, 0]);
  });

  it("many alike are compared once, counted all, and named as far as there is room", () => {
    const many = Array.from({ length: 400 }, (_, index) => [
      endpoint("writer", {}, 0x1000 + index, A),
      endpoint("reader", {}, 0x9000 + index, B),
    ]).flat();
    const { topics, notes } = buildGraph({ participants: both, endpoints: many }, { comparisons: 10, pairs: 100 });
    expect(topics[0]).toMatchObject({ matchCount: 160_000 });
    expect(topics[0]?.matches).toHaveLength(100);
    expect(topics[0]?.writers.every(({ matched }) => matched === 400)).toBe(true);
    expect(notes).toEqual(["159900 pairs are counted and not named"]);
  });

  it("all different ones are compared for so long only", () => {
    const many = Array.from({ length: 200 }, (_, index) => [
      endpoint("writer", { partition: [`${index}`] }, 0x1000 + index, A),
      endpoint("reader", { partition: [`${index}*`] }, 0x9000 + index, B),
    ]).flat();
    const { notes } = buildGraph({ participants: both, endpoints: many }, { comparisons: 500, pairs: 100 });
    expect(notes.some((note) => note.startsWith("there are too many different QoS settings"))).toBe(true);
  });

  it("patterns that take long are not tried", () => {
    const slow = endpoint("writer", { topicName: "A", partition: [`${"*a".repeat(20_000)}c`] }, 0x102, A);
    const long = endpoint("reader", { topicName: "A", partition: ["a".repeat(40_000)] }, 0x107, B);
    const others = [endpoint("writer", {}, 0x202, A), endpoint("reader", {}, 0x207, B)];
    const began = performance.now();
    const { notes, topics } = buildGraph({ participants: both, endpoints: [slow, long, ...others] });
    expect(performance.now() - began).toBeLessThan(1_000);
    expect(topics.map(({ matchCount }) => matchCount)).toEqual([0, 1]);
    expect(notes).toHaveLength(1);
  });

  it("survives JSON", () => {
    const graph = buildGraph({ participants: both, endpoints: [endpoint("writer"), endpoint("reader", {}, 0x107, B)] });
    const answer = { domains: [{ discoveryDomain: "default/cell", observer: A, ...graph }] };
    expect(graphAnswerSchema.parse(JSON.parse(JSON.stringify(answer)))).toEqual(answer);
  });
});
