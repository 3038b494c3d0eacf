/** RTPS 9.6.3, DDS Security 7.4.1.4, DDS XTypes 7.6.3: ids of parameters in discovery data and inline QoS. */
export const PARAMETER_ID = {
  pad: 0x0000,
  sentinel: 0x0001,
  participantLeaseDuration: 0x0002,
  timeBasedFilter: 0x0004,
  topicName: 0x0005,
  ownershipStrength: 0x0006,
  typeName: 0x0007,
  domainId: 0x000f,
  protocolVersion: 0x0015,
  vendorId: 0x0016,
  reliability: 0x001a,
  liveliness: 0x001b,
  durability: 0x001d,
  ownership: 0x001f,
  presentation: 0x0021,
  deadline: 0x0023,
  destinationOrder: 0x0025,
  latencyBudget: 0x0027,
  partition: 0x0029,
  lifespan: 0x002b,
  userData: 0x002c,
  groupData: 0x002d,
  topicData: 0x002e,
  unicastLocator: 0x002f,
  multicastLocator: 0x0030,
  defaultUnicastLocator: 0x0031,
  metatrafficUnicastLocator: 0x0032,
  metatrafficMulticastLocator: 0x0033,
  expectsInlineQos: 0x0043,
  defaultMulticastLocator: 0x0048,
  participantGuid: 0x0050,
  builtinEndpoints: 0x0058,
  propertyList: 0x0059,
  endpointGuid: 0x005a,
  entityName: 0x0062,
  keyHash: 0x0070,
  statusInfo: 0x0071,
  dataRepresentation: 0x0073,
  typeInformation: 0x0075,
  identityToken: 0x1001,
  permissionsToken: 0x1002,
  endpointSecurityInfo: 0x1004,
  participantSecurityInfo: 0x1005,
  domainTag: 0x4014,
} as const;

const MUST_UNDERSTAND = 0x4000;
const VENDOR_SPECIFIC = 0x8000;

/**
 * The id to look a parameter up by. A parameter that its sender marks as one that must be understood is the same
 * parameter; the domain tag is defined with the mark.
 */
export function knownAs(id: number): number {
  return id === PARAMETER_ID.domainTag ? id : id & ~MUST_UNDERSTAND;
}

/** Whether a receiver that does not know the parameter must drop the whole sample. */
export function mustBeUnderstood(id: number): boolean {
  return (id & (MUST_UNDERSTAND | VENDOR_SPECIFIC)) === MUST_UNDERSTAND;
}
