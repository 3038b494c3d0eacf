import { buildEndpointData, type Data, ENTITY_ID, type Locator } from "rtps-wire";
import { expect, it } from "vitest";
import { decodeEndpoint } from "./endpoint.ts";

const PREFIX = "0110a1b2c3d4e5f607182930";

function subscription(multicastLocators: readonly Locator[]): Data {
  return {
    kind: "data",
    readerId: ENTITY_ID.unknown,
    writerId: ENTITY_ID.subscriptionsWriter,
    writerSn: 1n,
    payloadKind: "data",
    nonStandardPayload: false,
    payload: buildEndpointData({
      guid: { prefix: PREFIX, entityId: 0x0000_0107 },
      topicName: "Pose",
      typeName: "geometry::Pose",
      unicastLocators: [],
      multicastLocators,
    }),
  };
}
const GROUP = { kind: "udpv4", address: "239.255.3.3", port: 7420 } as const;
const MEMORY = { kind: "other", id: 16, port: 1, address: new Uint8Array(16) } as const;

it("tells where a reader hears multicast of its own, over UDP, of so many groups that it costs little", () => {
  const read = (locators: readonly Locator[]) => decodeEndpoint("reader", PREFIX, subscription(locators));
  expect(read([MEMORY, GROUP]).change).toMatchObject({ endpoint: { topic: "Pose", multicast: [GROUP] } });
  expect(read([MEMORY]).change).not.toHaveProperty("endpoint.multicast");
  const many = Array.from({ length: 100 }, (_, index) => ({ ...GROUP, port: 7402 + index }));
  expect(read(many).change).toHaveProperty("endpoint.multicast.length", 8);
  expect(read(many).octets).toBeGreaterThan(read([]).octets + 8 * 64);
});
