export { buildEndpointData } from "./build-endpoint-data.ts";
export { buildMessage, type SubmessageInput } from "./build-message.ts";
export { buildParticipantData } from "./build-participant-data.ts";
export {
  buildParticipantDispose,
  type DiscoverySample,
  type DiscoveryTopic,
  discoverySamples,
} from "./discovery.ts";
export { ENCAPSULATION, encapsulationOf, readParameters } from "./encapsulation.ts";
export { type EndpointData, QOS_DEFAULTS, type ReadEndpointData, readEndpointData } from "./endpoint-data.ts";
export { BUILTIN_ENDPOINT, ENTITY_ID } from "./entity-ids.ts";
export { RtpsBuildError, RtpsError, RtpsParseError } from "./errors.ts";
export {
  type EntityId,
  formatEntityId,
  formatGuid,
  GUID_PREFIX_UNKNOWN,
  type Guid,
  type GuidPrefix,
  parseGuid,
} from "./guid.ts";
export { goneInlineQos, keyGuid, type StatusInfo, statusInfo } from "./instance-state.ts";
export type { Locator } from "./locator.ts";
export {
  type FragmentNumberSet,
  fragmentNumbers,
  type SequenceNumberSet,
  sequenceNumberSet,
  sequenceNumbers,
} from "./number-set.ts";
export { PARAMETER_ID } from "./parameter-ids.ts";
export { type Parameter, type ParameterCursor, ParameterList } from "./parameter-list.ts";
export { isRtps, type Message, parseHeader, parseMessage } from "./parse-message.ts";
export { type ParticipantData, type ReadParticipantData, readParticipantData } from "./participant-data.ts";
export { domainOfPort, MAX_DOMAIN_ID, type Ports, portsOf, SPDP_MULTICAST_IPV4 } from "./ports.ts";
export type { Property } from "./property.ts";
export type { DestinationOrder, Durability, Liveliness, Ownership, Presentation, Reliability } from "./qos.ts";
export { infoDestinationBytes, type LocatorPlace, locatorPlaces, patchLocator, withDestination } from "./splice.ts";
export type {
  AckNack,
  Data,
  DataFrag,
  Gap,
  Header,
  Heartbeat,
  HeartbeatFrag,
  InfoDestination,
  InfoSource,
  InfoTimestamp,
  NackFrag,
  Pad,
  Placed,
  ProtocolVersion,
  Submessage,
  SubmessageContent,
  UnknownSubmessage,
} from "./submessage.ts";
export { DURATION_INFINITE, type Duration, durationFromMs, durationToMs, type Timestamp } from "./time.ts";
export { vendorName } from "./vendor.ts";
