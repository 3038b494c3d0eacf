import fc from "fast-check";
import { durationFromMs, type EndpointData } from "rtps-wire";
import { describe, expect, it } from "vitest";
import { mismatchReasons } from "./compatibility.ts";
import { endpoint } from "./endpoint.fixture.ts";

const blocking = durationFromMs(100);
const reliable = { kind: "reliable", maxBlockingTime: blocking } as const;
const bestEffort = { kind: "best-effort", maxBlockingTime: blocking } as const;
const lease = (kind: "automatic" | "manual-by-topic", ms: number) => ({ kind, leaseDuration: durationFromMs(ms) });
const access = (accessScope: "instance" | "topic" | "group", coherent = false, ordered = false) => ({
  accessScope,
  coherent,
  ordered,
});

const policies = (offered: Partial<EndpointData>, requested: Partial<EndpointData>): string[] =>
  mismatchReasons(endpoint("writer", offered), endpoint("reader", requested)).map(({ policy }) => policy);

describe("what is offered and what is requested", () => {
  it.each<[string, Partial<EndpointData>, Partial<EndpointData>]>([
    ["all defaults", {}, {}],
    ["a writer is reliable where nothing is said", {}, { reliability: reliable }],
    ["a reader is best-effort where nothing is said", { reliability: bestEffort }, {}],
    ["more durable than asked", { durability: "transient" }, { durability: "transient-local" }],
    ["an earlier deadline", { deadline: durationFromMs(100) }, { deadline: durationFromMs(200) }],
    ["a deadline that nobody asks for", { deadline: durationFromMs(100) }, {}],
    ["a stricter liveliness", { liveliness: lease("manual-by-topic", 50) }, { liveliness: lease("automatic", 60) }],
    [
      "more presentation",
      { presentation: access("group", true, true) },
      { presentation: access("topic", false, true) },
    ],
    ["source timestamps", { destinationOrder: "by-source-timestamp" }, {}],
    ["XCDR2 to who takes both", { dataRepresentation: [2] }, { dataRepresentation: [0, 2] }],
    ["no representation is XCDR1", {}, { dataRepresentation: [0] }],
    ["a pattern", { partition: ["line-1"] }, { partition: ["line-*"] }],
  ])("match: %s", (_name, offered, requested) => {
    expect(policies(offered, requested)).toEqual([]);
  });

  it.each<[string, Partial<EndpointData>, Partial<EndpointData>]>([
    ["reliability", { reliability: bestEffort }, { reliability: reliable }],
    ["durability", {}, { durability: "transient-local" }],
    ["durability", { durability: "transient" }, { durability: "persistent" }],
    ["deadline", {}, { deadline: durationFromMs(100) }],
    ["deadline", { deadline: durationFromMs(200) }, { deadline: durationFromMs(100) }],
    ["latency budget", { latencyBudget: durationFromMs(5) }, {}],
    ["ownership", { ownership: "exclusive" }, {}],
    ["ownership", {}, { ownership: "exclusive" }],
    ["liveliness", {}, { liveliness: lease("manual-by-topic", Number.POSITIVE_INFINITY) }],
    ["liveliness lease", {}, { liveliness: lease("automatic", 1000) }],
    ["destination order", {}, { destinationOrder: "by-source-timestamp" }],
    ["presentation", {}, { presentation: access("topic") }],
    ["presentation", { presentation: access("topic") }, { presentation: access("topic", true) }],
    ["presentation", { presentation: access("group", true) }, { presentation: access("topic", false, true) }],
    ["data representation", { dataRepresentation: [2] }, {}],
    ["data representation", { dataRepresentation: [2, 0] }, { dataRepresentation: [0] }],
    ["partition", { partition: ["line-1"] }, {}],
    ["partition", { partition: ["line-1"] }, { partition: ["line-2", "line-3"] }],
    ["type", { typeName: "plant::Reading_" }, {}],
  ])("do not match: %s", (policy, offered, requested) => {
    expect(policies(offered, requested)).toEqual([policy]);
  });

  it("says what is wrong and what would be right", () => {
    const [reason] = mismatchReasons(
      endpoint("writer", { reliability: bestEffort }),
      endpoint("reader", { reliability: reliable }),
    );
    expect(reason).toEqual({
      policy: "reliability",
      offered: "best-effort",
      requested: "reliable",
      problem: "reliability: the reader asks for reliable, the writer offers best-effort",
      fix: "set reliability to reliable on the writer, or to best-effort on the reader",
    });
  });

  it("the same QoS on both sides is a match, whatever it is", () => {
    const some = fc.record(
      {
        reliability: fc.constantFrom(reliable, bestEffort),
        durability: fc.constantFrom("volatile", "transient-local", "transient", "persistent"),
        ownership: fc.constantFrom("shared", "exclusive"),
        deadline: fc.nat({ max: 5_000 }).map(durationFromMs),
        latencyBudget: fc.nat({ max: 5_000 }).map(durationFromMs),
        liveliness: fc.nat({ max: 5_000 }).map((ms) => lease("manual-by-topic", ms)),
        presentation: fc.record({
          accessScope: fc.constantFrom("instance", "topic", "group"),
          coherent: fc.boolean(),
          ordered: fc.boolean(),
        }),
        partition: fc.array(fc.constantFrom("a", "b", "c"), { minLength: 1, maxLength: 3 }),
        dataRepresentation: fc.constantFrom([0], [2], [2, 0]),
      },
      { requiredKeys: ["reliability"] },
    );
    fc.assert(
      fc.property(some, (qos) => {
        expect(policies(qos, qos)).toEqual([]);
      }),
    );
  });
});
