import { ENCAPSULATION } from "./encapsulation.ts";
import type { EndpointData } from "./endpoint-data.ts";
import { fieldWriter, writeFlag, writeText } from "./field-writer.ts";
import { writeGuid } from "./guid.ts";
import { writeLocator } from "./locator.ts";
import { writeOctets } from "./octet-sequence.ts";
import { PARAMETER_ID } from "./parameter-ids.ts";
import { ParameterWriter } from "./parameter-list.ts";
import {
  DESTINATION_ORDERS,
  DURABILITY_KINDS,
  OWNERSHIP_KINDS,
  writeKind,
  writeLiveliness,
  writePartition,
  writePresentation,
  writeReliability,
  writeRepresentations,
} from "./qos.ts";
import { writeDuration } from "./time.ts";

/** The payload of a DATA from the publications or subscriptions writer. */
export function buildEndpointData(
  data: EndpointData,
  { littleEndian = true }: { readonly littleEndian?: boolean } = {},
): Uint8Array<ArrayBuffer> {
  const list = new ParameterWriter(littleEndian, littleEndian ? ENCAPSULATION.plCdrLe : ENCAPSULATION.plCdrBe);
  const add = fieldWriter(list, data);
  const locators = (id: number, field: "unicastLocators" | "multicastLocators"): void => {
    for (const locator of data[field]) list.add(id, field, (writer) => writeLocator(writer, locator, field));
  };
  add(PARAMETER_ID.endpointGuid, "guid", writeGuid);
  add(PARAMETER_ID.participantGuid, "participantGuid", writeGuid);
  add(PARAMETER_ID.topicName, "topicName", writeText);
  add(PARAMETER_ID.typeName, "typeName", writeText);
  add(PARAMETER_ID.reliability, "reliability", writeReliability);
  add(PARAMETER_ID.durability, "durability", (writer, kind, field) => writeKind(writer, DURABILITY_KINDS, kind, field));
  add(PARAMETER_ID.ownership, "ownership", (writer, kind, field) => writeKind(writer, OWNERSHIP_KINDS, kind, field));
  add(PARAMETER_ID.ownershipStrength, "ownershipStrength", (writer, value, field) => writer.i32(value, field));
  add(PARAMETER_ID.liveliness, "liveliness", writeLiveliness);
  add(PARAMETER_ID.deadline, "deadline", writeDuration);
  add(PARAMETER_ID.latencyBudget, "latencyBudget", writeDuration);
  add(PARAMETER_ID.lifespan, "lifespan", writeDuration);
  add(PARAMETER_ID.timeBasedFilter, "timeBasedFilter", writeDuration);
  add(PARAMETER_ID.destinationOrder, "destinationOrder", (writer, kind, field) =>
    writeKind(writer, DESTINATION_ORDERS, kind, field),
  );
  add(PARAMETER_ID.presentation, "presentation", writePresentation);
  add(PARAMETER_ID.partition, "partition", writePartition);
  add(PARAMETER_ID.userData, "userData", writeOctets);
  add(PARAMETER_ID.topicData, "topicData", writeOctets);
  add(PARAMETER_ID.groupData, "groupData", writeOctets);
  add(PARAMETER_ID.entityName, "entityName", writeText);
  add(PARAMETER_ID.expectsInlineQos, "expectsInlineQos", writeFlag);
  add(PARAMETER_ID.dataRepresentation, "dataRepresentation", writeRepresentations);
  add(PARAMETER_ID.typeInformation, "typeInformation", (writer, value) => writer.octets(value));
  locators(PARAMETER_ID.unicastLocator, "unicastLocators");
  locators(PARAMETER_ID.multicastLocator, "multicastLocators");
  return list.finish();
}
