import type { MismatchReason } from "#shared/dds/graph.ts";
import type { EndpointQos, ObservedEndpoint } from "./endpoint.ts";
import { type PartitionRules, sharesPartition } from "./partition-match.ts";

/** Kinds in DDS's order: what offers a later one satisfies who asks for an earlier one. */
const ORDERS = {
  reliability: ["best-effort", "reliable"],
  durability: ["volatile", "transient-local", "transient", "persistent"],
  liveliness: ["automatic", "manual-by-participant", "manual-by-topic"],
  destinationOrder: ["by-reception-timestamp", "by-source-timestamp"],
  accessScope: ["instance", "topic", "group"],
} as const satisfies { readonly [Policy in keyof EndpointQos]?: readonly EndpointQos[Policy][] };

/** Policies as the specification names them. */
const NAMES = {
  reliability: "reliability",
  durability: "durability",
  liveliness: "liveliness",
  destinationOrder: "destination order",
  accessScope: "presentation",
} as const;

/** XTypes 7.6.3.1.1. */
const REPRESENTATIONS: ReadonlyMap<number, string> = new Map([
  [0, "XCDR1"],
  [1, "XML"],
  [2, "XCDR2"],
]);

/**
 * Why a writer and a reader of one topic do not match; nothing when they do. What is offered must be no less than what is
 * requested (DDS 1.4, 2.2.3), types and partitions must meet, and the writer's data representation must be one that the
 * reader takes (XTypes 7.6.3.1.2). `rules` are those of both sides: each looks at partitions itself, and both have to find one.
 */
export function mismatchReasons(
  writer: ObservedEndpoint,
  reader: ObservedEndpoint,
  rules: readonly PartitionRules[] = ["dds"],
): MismatchReason[] {
  const [offered, requested] = [writer.qos, reader.qos];
  return [
    ...typeReasons(writer, reader),
    ...partitionReasons(offered, requested, rules),
    ...kindReasons(offered, requested),
    ...presentationReasons(offered, requested),
    ...timeReasons(offered, requested),
    ...ownershipReasons(offered, requested),
    ...representationReasons(offered, requested),
  ];
}

function typeReasons(writer: ObservedEndpoint, reader: ObservedEndpoint): MismatchReason[] {
  if (writer.type === reader.type) return [];
  return [
    {
      policy: "type",
      offered: writer.type,
      requested: reader.type,
      problem: `type: the writer's is ${quoted(writer.type)}, the reader's ${quoted(reader.type)}`,
      fix: "use one type name on both sides, or another topic",
    },
  ];
}

function partitionReasons(
  { partitions: offered }: EndpointQos,
  { partitions: requested }: EndpointQos,
  rules: readonly PartitionRules[],
): MismatchReason[] {
  if (rules.every((each) => sharesPartition(offered, requested, each))) return [];
  return [
    {
      policy: "partition",
      offered: partitionText(offered),
      requested: partitionText(requested),
      problem: `partition: they share none, the writer is in ${partitionText(offered)}, the reader in ${partitionText(requested)}`,
      fix: "give the writer's publisher and the reader's subscriber one partition in common",
    },
  ];
}

function kindReasons(offered: EndpointQos, requested: EndpointQos): MismatchReason[] {
  const reason = (policy: keyof typeof ORDERS, order: readonly string[]): MismatchReason[] => {
    const [has, wants] = [offered[policy], requested[policy]];
    if (order.indexOf(has) >= order.indexOf(wants)) return [];
    return [
      {
        policy: NAMES[policy],
        offered: has,
        requested: wants,
        problem: `${NAMES[policy]}: the reader asks for ${wants}, the writer offers ${has}`,
        fix: `set ${NAMES[policy]} to ${wants} on the writer, or to ${has} on the reader`,
      },
    ];
  };
  return [
    ...reason("reliability", ORDERS.reliability),
    ...reason("durability", ORDERS.durability),
    ...reason("liveliness", ORDERS.liveliness),
    ...reason("destinationOrder", ORDERS.destinationOrder),
    ...reason("accessScope", ORDERS.accessScope),
  ];
}

function presentationReasons(offered: EndpointQos, requested: EndpointQos): MismatchReason[] {
  return (["coherent", "ordered"] as const).flatMap((access) => {
    if (offered[access] || !requested[access]) return [];
    return {
      policy: "presentation",
      offered: `not ${access}`,
      requested: access,
      problem: `presentation: the reader asks for ${access} access, the writer does not offer it`,
      fix: `set ${access} access on the writer's publisher, or clear it on the reader's subscriber`,
    };
  });
}

/** The writer's must be no longer than the reader's. */
const TIMES = [
  ["deadlineMs", "deadline"],
  ["latencyBudgetMs", "latency budget"],
  ["livelinessLeaseMs", "liveliness lease"],
] as const;

function timeReasons(offered: EndpointQos, requested: EndpointQos): MismatchReason[] {
  return TIMES.flatMap(([field, policy]) => {
    const [has, wants] = [timeText(offered[field]), timeText(requested[field])];
    if (offered[field] <= requested[field]) return [];
    return {
      policy,
      offered: has,
      requested: wants,
      problem: `${policy}: the reader asks for ${wants}, the writer offers ${has}`,
      fix: `set the writer's ${policy} to ${wants} or less, or the reader's to ${has} or more`,
    };
  });
}

function ownershipReasons(
  { ownership: offered }: EndpointQos,
  { ownership: requested }: EndpointQos,
): MismatchReason[] {
  if (offered === requested) return [];
  return [
    {
      policy: "ownership",
      offered,
      requested,
      problem: `ownership: the writer's is ${offered}, the reader's ${requested}`,
      fix: "set the same ownership on both",
    },
  ];
}

function representationReasons(
  { representations: offered }: EndpointQos,
  { representations: requested }: EndpointQos,
): MismatchReason[] {
  // A writer writes its first one only.
  const [first = 0] = offered;
  if (requested.includes(first)) return [];
  const [has, wants] = [representationText(first), requested.map(representationText).join(" or ")];
  return [
    {
      policy: "data representation",
      offered: has,
      requested: wants,
      problem: `data representation: the writer writes ${has}, the reader takes ${wants}`,
      fix: `add ${has} to the reader's data representations, or set ${wants} on the writer`,
    },
  ];
}

const representationText = (id: number): string => REPRESENTATIONS.get(id) ?? `representation ${id}`;

/** Names of topics, types and partitions come from anywhere: they are quoted, without control characters. */
const quoted = (text: string): string => JSON.stringify(text);

const MOST_PARTITIONS = 8;

function partitionText(names: readonly string[]): string {
  const shown = names.slice(0, MOST_PARTITIONS).map((name) => (name === "" ? "the default one" : quoted(name)));
  return names.length > MOST_PARTITIONS
    ? `${shown.join(", ")} and ${names.length - MOST_PARTITIONS} more`
    : shown.join(", ");
}

/** Milliseconds as people read them. */
function timeText(ms: number): string {
  if (ms === Number.POSITIVE_INFINITY) return "infinite";
  const rounded = Math.round(ms * 1000) / 1000;
  return rounded >= 1000 && rounded % 100 === 0 ? `${rounded / 1000} s` : `${rounded} ms`;
}
