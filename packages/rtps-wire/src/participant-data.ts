import { ByteReader } from "./byte-reader.ts";
import { readParameters } from "./encapsulation.ts";
import { RtpsParseError } from "./errors.ts";
import { type Guid, readGuid } from "./guid.ts";
import { type Locator, readLocator } from "./locator.ts";
import { readOctets } from "./octet-sequence.ts";
import { knownAs, mustBeUnderstood, PARAMETER_ID } from "./parameter-ids.ts";
import { type Property, readProperties } from "./property.ts";
import type { ProtocolVersion } from "./submessage.ts";
import { type Duration, readDuration } from "./time.ts";

/**
 * What a participant announces of itself (RTPS 8.5.3.2, 9.6.3). A field that is absent was not announced; lists are
 * empty then. Octets are views.
 */
export type ParticipantData = {
  readonly guid: Guid;
  readonly protocolVersion?: ProtocolVersion;
  readonly vendorId?: number;
  /** Not announced by all vendors: see `domainOfPort` for where it came. */
  readonly domainId?: number;
  /** Absent and empty mean the same: no tag. */
  readonly domainTag?: string;
  /** Absent: 100 s. */
  readonly leaseDuration?: Duration;
  readonly metatrafficUnicast: readonly Locator[];
  readonly metatrafficMulticast: readonly Locator[];
  readonly defaultUnicast: readonly Locator[];
  readonly defaultMulticast: readonly Locator[];
  readonly expectsInlineQos?: boolean;
  /** Bits of `BUILTIN_ENDPOINT`. */
  readonly builtinEndpoints?: number;
  readonly entityName?: string;
  readonly userData?: Uint8Array;
  readonly properties: readonly Property[];
  /** DDS Security: tokens as they are, in the list's byte order. Their presence tells a secured participant. */
  readonly identityToken?: Uint8Array;
  readonly permissionsToken?: Uint8Array;
  readonly securityInfo?: { readonly attributes: number; readonly pluginAttributes: number };
};

export type ReadParticipantData = ParticipantData & {
  /** Ids of parameters that must be understood and are not: receivers that hold to the rule ignore the sample. */
  readonly notUnderstood: readonly number[];
};

/** The data of a DATA from the SPDP writer. Throws an `RtpsParseError`; unknown parameters are passed over. */
export function readParticipantData(payload: Uint8Array): ReadParticipantData {
  const list = readParameters(payload);
  const scalars: { -readonly [Field in keyof ParticipantData]?: ParticipantData[Field] } = {};
  const metatrafficUnicast: Locator[] = [];
  const metatrafficMulticast: Locator[] = [];
  const defaultUnicast: Locator[] = [];
  const defaultMulticast: Locator[] = [];
  const notUnderstood: number[] = [];
  for (const cursor = list.cursor(); cursor.next(); ) {
    const value = new ByteReader(payload, cursor.start, cursor.end, list.littleEndian);
    switch (knownAs(cursor.id)) {
      case PARAMETER_ID.participantGuid:
        scalars.guid = readGuid(value, "participantGuid");
        break;
      case PARAMETER_ID.protocolVersion:
        scalars.protocolVersion = { major: value.u8("protocolVersion"), minor: value.u8("protocolVersion") };
        break;
      case PARAMETER_ID.vendorId:
        scalars.vendorId = value.u8("vendorId") * 256 + value.u8("vendorId");
        break;
      case PARAMETER_ID.domainId:
        scalars.domainId = value.u32("domainId");
        break;
      case PARAMETER_ID.domainTag:
        scalars.domainTag = value.text("domainTag");
        break;
      case PARAMETER_ID.participantLeaseDuration:
        scalars.leaseDuration = readDuration(value, "leaseDuration");
        break;
      case PARAMETER_ID.metatrafficUnicastLocator:
        metatrafficUnicast.push(readLocator(value, "metatrafficUnicast"));
        break;
      case PARAMETER_ID.metatrafficMulticastLocator:
        metatrafficMulticast.push(readLocator(value, "metatrafficMulticast"));
        break;
      case PARAMETER_ID.defaultUnicastLocator:
        defaultUnicast.push(readLocator(value, "defaultUnicast"));
        break;
      case PARAMETER_ID.defaultMulticastLocator:
        defaultMulticast.push(readLocator(value, "defaultMulticast"));
        break;
      case PARAMETER_ID.expectsInlineQos:
        scalars.expectsInlineQos = value.u8("expectsInlineQos") !== 0;
        break;
      case PARAMETER_ID.builtinEndpoints:
        scalars.builtinEndpoints = value.u32("builtinEndpoints");
        break;
      case PARAMETER_ID.entityName:
        scalars.entityName = value.text("entityName");
        break;
      case PARAMETER_ID.userData:
        scalars.userData = readOctets(value, "userData");
        break;
      case PARAMETER_ID.propertyList:
        scalars.properties = readProperties(value, "properties");
        break;
      case PARAMETER_ID.identityToken:
        scalars.identityToken = value.view(value.remaining, "identityToken");
        break;
      case PARAMETER_ID.permissionsToken:
        scalars.permissionsToken = value.view(value.remaining, "permissionsToken");
        break;
      case PARAMETER_ID.participantSecurityInfo:
        scalars.securityInfo = {
          attributes: value.u32("securityInfo"),
          pluginAttributes: value.u32("securityInfo"),
        };
        break;
      default:
        if (mustBeUnderstood(cursor.id)) notUnderstood.push(cursor.id);
    }
  }
  const { guid, properties = [], ...others } = scalars;
  if (guid === undefined) throw new RtpsParseError(list.end, "the participant's GUID is missing");
  const locators = { metatrafficUnicast, metatrafficMulticast, defaultUnicast, defaultMulticast };
  return { guid, ...others, ...locators, properties, notUnderstood };
}
