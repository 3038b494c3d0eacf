import { z } from "zod";

/*
 * What a discovery process answers to GET /graph: who writes and reads what, and who does not hear whom and why.
 */

const participantSchema = z.object({
  /** GUID prefix, 24 hexadecimal digits. */
  prefix: z.string(),
  domainId: z.int(),
  domainTag: z.string(),
  vendor: z.string(),
  name: z.string().optional(),
  address: z.string(),
  /** `namespace/name`. */
  pod: z.string().optional(),
  /** DDS Security hides its endpoints. */
  secured: z.boolean(),
  /** Whether all that it says it has is known. */
  complete: z.boolean(),
  writers: z.int(),
  readers: z.int(),
  /** Endpoints beyond the observer's limits. */
  refused: z.int(),
});
export type GraphParticipant = z.infer<typeof participantSchema>;

/** Times are milliseconds; an infinite one is left out. */
const qosSchema = z.object({
  reliability: z.enum(["best-effort", "reliable"]),
  durability: z.enum(["volatile", "transient-local", "transient", "persistent"]),
  ownership: z.enum(["shared", "exclusive"]),
  liveliness: z.enum(["automatic", "manual-by-participant", "manual-by-topic"]),
  livelinessLeaseMs: z.number().optional(),
  deadlineMs: z.number().optional(),
  latencyBudgetMs: z.number().optional(),
  destinationOrder: z.enum(["by-reception-timestamp", "by-source-timestamp"]),
  accessScope: z.enum(["instance", "topic", "group"]),
  coherent: z.boolean(),
  ordered: z.boolean(),
  partitions: z.array(z.string()),
  representations: z.array(z.int()),
});

const endpointSchema = z.object({
  /** `PREFIX:ENTITYID`. */
  guid: z.string(),
  participant: z.string(),
  name: z.string().optional(),
  type: z.string(),
  qos: qosSchema,
  /** Endpoints of the other side that it exchanges data with. */
  matched: z.int(),
});
export type GraphEndpoint = z.infer<typeof endpointSchema>;

const reasonSchema = z.object({
  /** The QoS policy, or `type`, or `partition`. */
  policy: z.string(),
  offered: z.string(),
  requested: z.string(),
  /** The same in a sentence. */
  problem: z.string(),
  fix: z.string(),
});
export type MismatchReason = z.infer<typeof reasonSchema>;

const topicSchema = z.object({
  domainId: z.int(),
  domainTag: z.string(),
  name: z.string(),
  types: z.array(z.string()),
  writers: z.array(endpointSchema),
  readers: z.array(endpointSchema),
  /** Pairs that exchange data: the first of them, by GUID. */
  matches: z.array(z.object({ writer: z.string(), reader: z.string() })),
  matchCount: z.int(),
  /** Pairs that do not and should: the first of them. */
  mismatches: z.array(z.object({ writer: z.string(), reader: z.string(), reasons: z.array(reasonSchema) })),
  mismatchCount: z.int(),
  /** Pairs that partitions keep apart, where both have others to talk to. */
  separatedCount: z.int(),
});
export type GraphTopic = z.infer<typeof topicSchema>;

const graphSchema = z.object({
  /** `namespace/name` of the DiscoveryDomain. */
  discoveryDomain: z.string(),
  /** GUID prefix of the observer. */
  observer: z.string(),
  participants: z.array(participantSchema),
  topics: z.array(topicSchema),
  /** What is left out, in words. */
  notes: z.array(z.string()),
});
export type DiscoveryGraph = z.infer<typeof graphSchema>;

export const graphAnswerSchema = z.object({ domains: z.array(graphSchema) });
export type GraphAnswer = z.infer<typeof graphAnswerSchema>;
