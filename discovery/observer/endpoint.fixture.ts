import { buildEndpointData, type Data, ENTITY_ID, type EndpointData } from "rtps-wire";
import { decodeEndpoint, type EndpointRole, type ObservedEndpoint } from "./endpoint.ts";

const PREFIX = "0110aaaaaaaaaaaaaaaaaaaa";

/** An endpoint that announced `said` and nothing else, as an observer reads it. */
export function endpoint(
  role: EndpointRole,
  said: Partial<EndpointData> = {},
  entityId = role === "writer" ? 0x102 : 0x107,
  prefix = PREFIX,
): ObservedEndpoint {
  const data: Data = {
    kind: "data",
    readerId: ENTITY_ID.unknown,
    writerId: role === "writer" ? ENTITY_ID.publicationsWriter : ENTITY_ID.subscriptionsWriter,
    writerSn: 1n,
    payloadKind: "data",
    nonStandardPayload: false,
    payload: buildEndpointData({
      guid: { prefix, entityId },
      topicName: "Reading",
      typeName: "plant::Reading",
      unicastLocators: [],
      multicastLocators: [],
      ...said,
    }),
  };
  const { change } = decodeEndpoint(role, prefix, data);
  if (change.kind !== "endpoint") throw new Error(`read as ${JSON.stringify(change)}`);
  return change.endpoint;
}
