import { ByteReader } from "./byte-reader.ts";
import { readParameters } from "./encapsulation.ts";
import { RtpsParseError } from "./errors.ts";
import { type Guid, readGuid } from "./guid.ts";
import { type Locator, readLocator } from "./locator.ts";
import { readOctets } from "./octet-sequence.ts";
import { knownAs, mustBeUnderstood, PARAMETER_ID } from "./parameter-ids.ts";
import {
  DESTINATION_ORDERS,
  type DestinationOrder,
  DURABILITY_KINDS,
  type Durability,
  type Liveliness,
  OWNERSHIP_KINDS,
  type Ownership,
  type Presentation,
  type Reliability,
  readKind,
  readLiveliness,
  readPartition,
  readPresentation,
  readReliability,
  readRepresentations,
} from "./qos.ts";
import { type Duration, readDuration } from "./time.ts";

/**
 * What a writer or reader announces of itself (RTPS 8.5.4.4, 9.6.3). A field that is absent was not announced, and DDS's
 * default holds: see `QOS_DEFAULTS`. Octets are views.
 */
export type EndpointData = {
  readonly guid: Guid;
  readonly participantGuid?: Guid;
  readonly topicName: string;
  readonly typeName: string;
  readonly reliability?: Reliability;
  readonly durability?: Durability;
  readonly ownership?: Ownership;
  readonly ownershipStrength?: number;
  readonly liveliness?: Liveliness;
  readonly deadline?: Duration;
  readonly latencyBudget?: Duration;
  readonly lifespan?: Duration;
  readonly timeBasedFilter?: Duration;
  readonly destinationOrder?: DestinationOrder;
  readonly presentation?: Presentation;
  readonly partition?: readonly string[];
  readonly userData?: Uint8Array;
  readonly topicData?: Uint8Array;
  readonly groupData?: Uint8Array;
  readonly entityName?: string;
  readonly expectsInlineQos?: boolean;
  /** Signed identifiers of XTypes' data representations, in order of preference. */
  readonly dataRepresentation?: readonly number[];
  /** XTypes' TypeInformation as it is. */
  readonly typeInformation?: Uint8Array;
  /** Empty: the participant's default ones. */
  readonly unicastLocators: readonly Locator[];
  readonly multicastLocators: readonly Locator[];
};

export type ReadEndpointData = EndpointData & {
  /** Ids of parameters that must be understood and are not: receivers that hold to the rule ignore the sample. */
  readonly notUnderstood: readonly number[];
};

/**
 * What holds where nothing is announced (DDS 2.2.3). Latency budget and time-based filter are 0 then, deadline, lifespan
 * and the lease of liveliness infinite.
 */
export const QOS_DEFAULTS = {
  writerReliability: "reliable",
  readerReliability: "best-effort",
  durability: "volatile",
  ownership: "shared",
  ownershipStrength: 0,
  liveliness: "automatic",
  destinationOrder: "by-reception-timestamp",
  partition: [""],
} as const;

/** The data of a DATA from the publications or subscriptions writer. Throws an `RtpsParseError`. */
export function readEndpointData(payload: Uint8Array): ReadEndpointData {
  const list = readParameters(payload);
  const scalars: { -readonly [Field in keyof EndpointData]?: EndpointData[Field] } = {};
  const unicastLocators: Locator[] = [];
  const multicastLocators: Locator[] = [];
  const notUnderstood: number[] = [];
  for (const cursor = list.cursor(); cursor.next(); ) {
    const value = new ByteReader(payload, cursor.start, cursor.end, list.littleEndian);
    switch (knownAs(cursor.id)) {
      case PARAMETER_ID.endpointGuid:
        scalars.guid = readGuid(value, "endpointGuid");
        break;
      case PARAMETER_ID.participantGuid:
        scalars.participantGuid = readGuid(value, "participantGuid");
        break;
      case PARAMETER_ID.topicName:
        scalars.topicName = value.text("topicName");
        break;
      case PARAMETER_ID.typeName:
        scalars.typeName = value.text("typeName");
        break;
      case PARAMETER_ID.reliability:
        scalars.reliability = readReliability(value, "reliability");
        break;
      case PARAMETER_ID.durability:
        scalars.durability = readKind(value, DURABILITY_KINDS, "durability");
        break;
      case PARAMETER_ID.ownership:
        scalars.ownership = readKind(value, OWNERSHIP_KINDS, "ownership");
        break;
      case PARAMETER_ID.ownershipStrength:
        scalars.ownershipStrength = value.i32("ownershipStrength");
        break;
      case PARAMETER_ID.liveliness:
        scalars.liveliness = readLiveliness(value, "liveliness");
        break;
      case PARAMETER_ID.deadline:
        scalars.deadline = readDuration(value, "deadline");
        break;
      case PARAMETER_ID.latencyBudget:
        scalars.latencyBudget = readDuration(value, "latencyBudget");
        break;
      case PARAMETER_ID.lifespan:
        scalars.lifespan = readDuration(value, "lifespan");
        break;
      case PARAMETER_ID.timeBasedFilter:
        scalars.timeBasedFilter = readDuration(value, "timeBasedFilter");
        break;
      case PARAMETER_ID.destinationOrder:
        scalars.destinationOrder = readKind(value, DESTINATION_ORDERS, "destinationOrder");
        break;
      case PARAMETER_ID.presentation:
        scalars.presentation = readPresentation(value, "presentation");
        break;
      case PARAMETER_ID.partition:
        scalars.partition = readPartition(value, "partition");
        break;
      case PARAMETER_ID.userData:
        scalars.userData = readOctets(value, "userData");
        break;
      case PARAMETER_ID.topicData:
        scalars.topicData = readOctets(value, "topicData");
        break;
      case PARAMETER_ID.groupData:
        scalars.groupData = readOctets(value, "groupData");
        break;
      case PARAMETER_ID.entityName:
        scalars.entityName = value.text("entityName");
        break;
      case PARAMETER_ID.expectsInlineQos:
        scalars.expectsInlineQos = value.u8("expectsInlineQos") !== 0;
        break;
      case PARAMETER_ID.dataRepresentation:
        scalars.dataRepresentation = readRepresentations(value, "dataRepresentation");
        break;
      case PARAMETER_ID.typeInformation:
        scalars.typeInformation = value.view(value.remaining, "typeInformation");
        break;
      case PARAMETER_ID.unicastLocator:
        unicastLocators.push(readLocator(value, "unicastLocator"));
        break;
      case PARAMETER_ID.multicastLocator:
        multicastLocators.push(readLocator(value, "multicastLocator"));
        break;
      default:
        if (mustBeUnderstood(cursor.id)) notUnderstood.push(cursor.id);
    }
  }
  const { guid, topicName, typeName, ...others } = scalars;
  if (guid === undefined) throw new RtpsParseError(list.end, "the endpoint's GUID is missing");
  if (topicName === undefined) throw new RtpsParseError(list.end, "the topic's name is missing");
  if (typeName === undefined) throw new RtpsParseError(list.end, "the type's name is missing");
  return { guid, topicName, typeName, ...others, unicastLocators, multicastLocators, notUnderstood };
}
