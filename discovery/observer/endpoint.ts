import {
  type Data,
  type Duration,
  durationToMs,
  type EndpointData,
  formatGuid,
  type Guid,
  type GuidPrefix,
  keyGuid,
  type Locator,
  QOS_DEFAULTS,
  RtpsParseError,
  readEndpointData,
  statusInfo,
} from "rtps-wire";
import type { Decoded } from "./sedp-writer.ts";

/**
 * The QoS that counts for a match (DDS 1.4, 2.2.3; XTypes 7.6.3.1), with DDS's defaults where nothing was announced. Times
 * are milliseconds or `Infinity`.
 */
export interface EndpointQos {
  readonly reliability: "best-effort" | "reliable";
  readonly durability: "volatile" | "transient-local" | "transient" | "persistent";
  readonly ownership: "shared" | "exclusive";
  readonly liveliness: "automatic" | "manual-by-participant" | "manual-by-topic";
  readonly livelinessLeaseMs: number;
  readonly deadlineMs: number;
  readonly latencyBudgetMs: number;
  readonly destinationOrder: "by-reception-timestamp" | "by-source-timestamp";
  readonly accessScope: "instance" | "topic" | "group";
  readonly coherent: boolean;
  readonly ordered: boolean;
  /** Never empty: no partition is the one with the empty name. */
  readonly partitions: readonly string[];
  /** XTypes' numbers, in order of preference; never empty. */
  readonly representations: readonly number[];
}

export type EndpointRole = "writer" | "reader";

/** A writer or reader of an application. */
export interface ObservedEndpoint {
  /** `PREFIX:ENTITYID`. */
  readonly guid: string;
  readonly participant: GuidPrefix;
  readonly role: EndpointRole;
  readonly topic: string;
  readonly type: string;
  readonly name?: string;
  readonly qos: EndpointQos;
  /** Of a reader that hears multicast of its own: where. */
  readonly multicast?: readonly MulticastLocator[];
}

/** Where a reader hears by multicast over UDP. */
type MulticastLocator = Exclude<Locator, { readonly kind: "other" }>;

/** What a sample of SEDP says. */
export type EndpointChange =
  | { readonly kind: "endpoint"; readonly endpoint: ObservedEndpoint; readonly octets: number }
  | { readonly kind: "endpoint-gone"; readonly guid: string }
  | { readonly kind: "unreadable"; readonly reason: string };

/** Octets that an endpoint takes besides its texts. */
const FIXED_OCTETS = 512;
/** Of one endpoint that are kept. */
const MOST_LOCATORS = 8;
const LOCATOR_OCTETS = 128;
/** XTypes 7.6.3.1.1: XCDR version 1. */
const XCDR1 = 0;

/**
 * Reads a sample of the publications' or subscriptions' writer of participant `prefix`, who speaks for its own endpoints
 * only. Nothing of the datagram is kept.
 */
export function decodeEndpoint(role: EndpointRole, prefix: GuidPrefix, data: Data): Decoded<EndpointChange> {
  const change = endpointChange(role, prefix, data);
  return { change, octets: change.kind === "endpoint" ? change.octets : FIXED_OCTETS };
}

function endpointChange(role: EndpointRole, prefix: GuidPrefix, data: Data): EndpointChange {
  if (data.nonStandardPayload) return { kind: "unreadable", reason: "the payload is transformed" };
  try {
    const { disposed, unregistered } = statusInfo(data);
    if (disposed || unregistered || data.payloadKind === "key") {
      const guid = keyGuid(data);
      if (guid === undefined) return { kind: "unreadable", reason: "it does not say which endpoint is gone" };
      return foreign(guid, prefix) ?? { kind: "endpoint-gone", guid: formatGuid(guid) };
    }
    if (data.payloadKind === "none") return { kind: "unreadable", reason: "the payload is missing" };
    const read = readEndpointData(data.payload);
    return foreign(read.guid, prefix) ?? { kind: "endpoint", ...observed(role, read) };
  } catch (error) {
    if (!(error instanceof RtpsParseError)) throw error;
    return { kind: "unreadable", reason: error.message };
  }
}

function foreign(guid: Guid, prefix: GuidPrefix): EndpointChange | undefined {
  if (guid.prefix === prefix) return undefined;
  return { kind: "unreadable", reason: `${formatGuid(guid)} is not the participant's own` };
}

const ms = (duration: Duration | undefined, otherwise: number): number =>
  duration === undefined ? otherwise : durationToMs(duration);

function observed(role: EndpointRole, data: EndpointData): { endpoint: ObservedEndpoint; octets: number } {
  const { guid, topicName: topic, typeName: type, entityName: name, partition = [], dataRepresentation = [] } = data;
  const partitions = partition.length === 0 ? QOS_DEFAULTS.partition : partition;
  const { presentation, liveliness } = data;
  const qos: EndpointQos = {
    reliability:
      data.reliability?.kind ?? (role === "writer" ? QOS_DEFAULTS.writerReliability : QOS_DEFAULTS.readerReliability),
    durability: data.durability ?? QOS_DEFAULTS.durability,
    ownership: data.ownership ?? QOS_DEFAULTS.ownership,
    liveliness: liveliness?.kind ?? QOS_DEFAULTS.liveliness,
    livelinessLeaseMs: ms(liveliness?.leaseDuration, Number.POSITIVE_INFINITY),
    deadlineMs: ms(data.deadline, Number.POSITIVE_INFINITY),
    latencyBudgetMs: ms(data.latencyBudget, 0),
    destinationOrder: data.destinationOrder ?? QOS_DEFAULTS.destinationOrder,
    accessScope: presentation?.accessScope ?? "instance",
    coherent: presentation?.coherent ?? false,
    ordered: presentation?.ordered ?? false,
    partitions,
    representations: dataRepresentation.length === 0 ? [XCDR1] : dataRepresentation,
  };
  const texts = [topic, type, name ?? "", ...partitions];
  // Two octets for a character, and a string's own overhead.
  const multicast = data.multicastLocators
    .flatMap((locator): MulticastLocator[] => (locator.kind === "other" ? [] : [locator]))
    .slice(0, MOST_LOCATORS);
  const fixed = FIXED_OCTETS + 8 * qos.representations.length + LOCATOR_OCTETS * multicast.length;
  const octets = texts.reduce((sum, text) => sum + 2 * text.length + 32, fixed);
  const endpoint = {
    guid: formatGuid(guid),
    participant: guid.prefix,
    role,
    topic,
    type,
    qos,
    ...(name === undefined ? {} : { name }),
    ...(multicast.length === 0 ? {} : { multicast }),
  };
  return { endpoint, octets };
}
