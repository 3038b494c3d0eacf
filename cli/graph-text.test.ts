import { describe, expect, it } from "vitest";
import type { DiscoveryGraph, GraphEndpoint, GraphTopic } from "#shared/dds/graph.ts";
import { graphDot } from "./graph-dot.ts";
import { graphText } from "./graph-text.ts";

const A = "0110aaaaaaaaaaaaaaaaaaaa";
const B = "010fbbbbbbbbbbbbbbbbbbbb";

const endpoint = (guid: string, more: Partial<GraphEndpoint> = {}): GraphEndpoint => ({
  guid,
  participant: guid.split(":")[0] ?? "",
  type: "plant::Reading",
  qos: {
    reliability: "best-effort",
    durability: "volatile",
    ownership: "shared",
    liveliness: "automatic",
    latencyBudgetMs: 0,
    destinationOrder: "by-reception-timestamp",
    accessScope: "instance",
    coherent: false,
    ordered: false,
    partitions: [""],
    representations: [0],
  },
  matched: 0,
  ...more,
});

const topic = (more: Partial<GraphTopic> = {}): GraphTopic => ({
  domainId: 0,
  domainTag: "",
  name: "Reading",
  types: ["plant::Reading"],
  writers: [endpoint(`${A}:00000102`)],
  readers: [endpoint(`${B}:00000107`, { name: "control" })],
  matches: [],
  matchCount: 0,
  mismatches: [
    {
      writer: `${A}:00000102`,
      reader: `${B}:00000107`,
      reasons: [{ policy: "type", offered: "a", requested: "b", problem: "type: a and b", fix: "one of them" }],
    },
  ],
  mismatchCount: 1,
  separatedCount: 0,
  ...more,
});

const graph = (more: Partial<DiscoveryGraph> = {}, name = "robot"): DiscoveryGraph => ({
  discoveryDomain: "default/cell",
  observer: A,
  participants: [A, B].map((prefix) => ({
    prefix,
    domainId: 0,
    domainTag: "",
    vendor: "Eclipse Cyclone DDS",
    name,
    address: "192.0.2.1",
    secured: false,
    complete: true,
    writers: prefix === A ? 1 : 0,
    readers: prefix === A ? 0 : 1,
    refused: 0,
  })),
  topics: [topic()],
  notes: [],
  ...more,
});

describe("the graph as text", () => {
  it("says who, why and what would be right", () => {
    expect(
      graphText([{ instance: "relay-a", domains: [graph({ notes: ["something is left out"] })] }]).split("\n"),
    ).toEqual([
      "DiscoveryDomain default/cell: 2 participants, 1 topic",
      '  participant "robot" (192.0.2.1), Eclipse Cyclone DDS, domain 0: 1 writer, 0 readers',
      '  participant "robot" (192.0.2.1), Eclipse Cyclone DDS, domain 0: 0 writers, 1 reader',
      '  topic "Reading" ("plant::Reading"), domain 0: 0 matches, 1 pair that should match and does not',
      `    writer ${A}:00000102 of "robot" (192.0.2.1): best-effort, volatile; reaches 0 readers`,
      `    reader "control" ${B}:00000107 of "robot" (192.0.2.1): best-effort, volatile; hears 0 writers`,
      `  ! topic "Reading": reader "control" ${B}:00000107 of "robot" (192.0.2.1)`,
      `    gets nothing from writer ${A}:00000102 of "robot" (192.0.2.1)`,
      "      type: a and b",
      "      fix: one of them",
      "  note: something is left out",
      "",
    ]);
  });

  it("counts what there are too many of", () => {
    const writers = Array.from({ length: 60 }, (_, index) =>
      endpoint(`${A}:${(0x1000 + index).toString(16).padStart(8, "0")}`),
    );
    const text = graphText([
      { instance: "relay-a", domains: [graph({ topics: [topic({ writers, mismatchCount: 70 })] })] },
    ]);
    expect(text).toContain("    and 10 more writers\n");
    expect(text).toContain("  ! and 69 more\n");
  });

  it("names relays when there are several", () => {
    const domains = [graph()];
    const text = graphText([
      { instance: "relay-a", domains },
      { instance: "relay-b", domains: [] },
    ]);
    expect(text).toMatch(/^relay relay-a\nDiscoveryDomain[\s\S]*\nrelay relay-b\nnothing is observed/);
  });
});

describe("names that come from anywhere", () => {
  const evil = 'x"; } \u001b[2J\u202e\\" -> y [label="\n'.repeat(20);
  const domains = [graph({ topics: [topic({ name: evil, types: [evil] })] }, evil)];

  it("do not reach the terminal as they are", () => {
    const text = graphText([{ instance: "relay-a", domains }]);
    // biome-ignore lint/suspicious/noControlCharactersInRegex: these are what must not be there
    expect(text).not.toMatch(/[\u0000-\u0009\u000b-\u001f\u007f-\u009f\u202e]/);
    expect(Math.max(...text.split("\n").map((line) => line.length))).toBeLessThan(700);
  });

  it("stay inside of DOT's strings", () => {
    const dot = graphDot([{ instance: "relay-a", domains }]);
    const outside = dot.replaceAll(/"(?:[^"\\]|\\.)*"/gs, "S");
    expect(outside.split("\n").filter((line) => !/^[ }]*$/.test(line))).toEqual([
      "digraph dds {",
      "  rankdir=LR;",
      "  node [shape=box];",
      "  subgraph S {",
      "    label=S;",
      "    S [label=S];",
      "  subgraph S {",
      "    label=S;",
      "    S [label=S];",
      "  S [shape=ellipse, label=S];",
      "  S -> S;",
      "  S -> S;",
      "  S -> S [color=red, style=dashed, label=S];",
    ]);
  });
});
