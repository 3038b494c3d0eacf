import { ENCAPSULATION } from "./encapsulation.ts";
import { fieldWriter, writeFlag, writeText } from "./field-writer.ts";
import { writeGuid } from "./guid.ts";
import { type Locator, writeLocator } from "./locator.ts";
import { writeOctets } from "./octet-sequence.ts";
import { PARAMETER_ID } from "./parameter-ids.ts";
import { ParameterWriter } from "./parameter-list.ts";
import type { ParticipantData } from "./participant-data.ts";
import { writeProperties } from "./property.ts";
import { writeDuration } from "./time.ts";

/** The payload of a DATA from the SPDP writer. */
export function buildParticipantData(
  data: ParticipantData,
  { littleEndian = true }: { readonly littleEndian?: boolean } = {},
): Uint8Array<ArrayBuffer> {
  const list = new ParameterWriter(littleEndian, littleEndian ? ENCAPSULATION.plCdrLe : ENCAPSULATION.plCdrBe);
  const add = fieldWriter(list, data);
  const locators = (id: number, field: string, values: readonly Locator[]): void => {
    for (const locator of values) list.add(id, field, (writer) => writeLocator(writer, locator, field));
  };
  add(PARAMETER_ID.protocolVersion, "protocolVersion", (writer, { major, minor }, field) => {
    writer.u8(major, field);
    writer.u8(minor, field);
  });
  add(PARAMETER_ID.vendorId, "vendorId", (writer, vendorId, field) => {
    writer.u8(Math.floor(vendorId / 256), field);
    writer.u8(vendorId % 256, field);
  });
  add(PARAMETER_ID.participantGuid, "guid", writeGuid);
  add(PARAMETER_ID.domainId, "domainId", (writer, domainId, field) => writer.u32(domainId, field));
  add(PARAMETER_ID.domainTag, "domainTag", writeText);
  add(PARAMETER_ID.participantLeaseDuration, "leaseDuration", writeDuration);
  locators(PARAMETER_ID.metatrafficUnicastLocator, "metatrafficUnicast", data.metatrafficUnicast);
  locators(PARAMETER_ID.metatrafficMulticastLocator, "metatrafficMulticast", data.metatrafficMulticast);
  locators(PARAMETER_ID.defaultUnicastLocator, "defaultUnicast", data.defaultUnicast);
  locators(PARAMETER_ID.defaultMulticastLocator, "defaultMulticast", data.defaultMulticast);
  add(PARAMETER_ID.expectsInlineQos, "expectsInlineQos", writeFlag);
  add(PARAMETER_ID.builtinEndpoints, "builtinEndpoints", (writer, bits, field) => writer.u32(bits, field));
  add(PARAMETER_ID.entityName, "entityName", writeText);
  add(PARAMETER_ID.userData, "userData", writeOctets);
  if (data.properties.length > 0) add(PARAMETER_ID.propertyList, "properties", writeProperties);
  add(PARAMETER_ID.identityToken, "identityToken", (writer, token) => writer.octets(token));
  add(PARAMETER_ID.permissionsToken, "permissionsToken", (writer, token) => writer.octets(token));
  add(PARAMETER_ID.participantSecurityInfo, "securityInfo", (writer, info, field) => {
    writer.u32(info.attributes, field);
    writer.u32(info.pluginAttributes, field);
  });
  return list.finish();
}
