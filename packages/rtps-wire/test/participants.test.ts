import { execFileSync } from "node:child_process";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import {
  buildEndpointData,
  buildParticipantDispose,
  ENTITY_ID,
  type EndpointData,
  parseMessage,
  withDestination,
} from "../src/index.ts";
import { TestParticipant } from "./test-participant.ts";
import { VendorProgram, vendorPrograms } from "./vendor-program.ts";

/*
 * Real participants of Cyclone DDS and Fast DDS in a namespace of their own believe what this package builds. The lease
 * that is announced is 100 s: what is lost sooner is lost by a dispose.
 */

const PREFIX = "fefe01020304050607080910";
const NOBODY = "0a0b0c0d0e0f000102030405";
const OURS = "10.71.0.1";
let programs = { cyclone: "", fast: "" };

const ip = (command: string): string => execFileSync("ip", command.split(" "), { encoding: "utf8" });

beforeAll(() => {
  programs = vendorPrograms();
  ip("netns add rtps-peer");
  ip("link add rtps0 type veth peer name rtps1 netns rtps-peer");
  ip(`address add ${OURS}/24 dev rtps0`);
  ip("link set rtps0 up");
  for (const command of ["address add 10.71.0.2/24 dev rtps1", "link set rtps1 up", "link set lo up"]) {
    ip(`-n rtps-peer ${command}`);
  }
  ip("-n rtps-peer route add 239.0.0.0/8 dev rtps1");
});
afterAll(() => {
  ip("link del rtps0");
  ip("netns del rtps-peer");
});

type Vendor = "cyclone" | "fast";

function run(vendor: Vendor, { domainId = 0, role = "sub", tag = "" } = {}): VendorProgram {
  const options = [String(domainId), role, "100", "16", "16", ...(vendor === "fast" ? ["0"] : [])];
  const settings = `<Discovery><Tag>${tag}</Tag></Discovery>`;
  const environment = tag === "" ? {} : { CYCLONEDDS_URI: `<CycloneDDS><Domain>${settings}</Domain></CycloneDDS>` };
  return new VendorProgram("rtps-peer", [programs[vendor], ...options], environment);
}

describe.each(["cyclone", "fast"] as const)("%s", (vendor) => {
  it.each([true, false])(
    "finds a participant by its announcement, little-endian %s, and loses it by its dispose",
    async (littleEndian) => {
      await using peer = run(vendor);
      await peer.printed("ready");
      await using own = await TestParticipant.open(PREFIX, OURS, 0);
      own.sendToAll(own.announcement(own.data, { littleEndian }));
      const found = await peer.printed(`found ${PREFIX}`);
      // It greets the newcomer at the locator that was announced, and names it.
      await own.until("a message for us", () =>
        own.messages.some(({ submessages }) =>
          submessages.some((each) => each.kind === "info-dst" && each.guidPrefix === PREFIX),
        ),
      );
      own.sendToAll(buildParticipantDispose(own.header, 2n));
      await peer.printed(`lost ${PREFIX}`, { from: found });
      own.sendToAll(own.announcement(own.data, { littleEndian, writerSn: 3n }));
      await peer.printed(`found ${PREFIX}`, { from: found });
    },
  );

  it("takes an announcement with its own destination put in front, and none for others", async () => {
    await using peer = run(vendor);
    await using own = await TestParticipant.open(PREFIX, OURS, 0);
    const theirs = await own.until("its announcement", () => [...own.participants.keys()].at(0));
    const announcement = own.announcement();
    const forOthers = announcement.slice();
    forOthers.set(Buffer.from(NOBODY, "hex"), 8);
    using _others = own.announce(withDestination(forOthers, "ffffffffffffffffffffffff"));
    using _theirs = own.announce(withDestination(announcement, theirs));
    await peer.printed(`found ${PREFIX}`);
    expect(peer.lines).not.toContain(`found ${NOBODY}`);
  });

  it("is read: its announcement, its topic and its QoS; and it believes a writer that was built", async () => {
    await using peer = run(vendor);
    await using own = await TestParticipant.open(PREFIX, OURS, 0);
    await own.until("its announcement", () => own.participants.size > 0);
    const announcement = own.announce();
    const subscription = await own.until("its subscription", () =>
      own.subscriptions.find(({ topicName }) => topicName === "Reading"),
    );
    expect(subscription).toMatchObject({
      typeName: "plant::Reading",
      reliability: { kind: "reliable" },
      durability: "transient-local",
      partition: ["north"],
    });
    const publication: EndpointData = {
      ...subscription,
      guid: { prefix: PREFIX, entityId: 0x0000_0102 },
      participantGuid: own.data.guid,
      ownershipStrength: 3,
    };
    own.sendTo(subscription.guid.prefix, [
      {
        kind: "data",
        readerId: ENTITY_ID.publicationsReader,
        writerId: ENTITY_ID.publicationsWriter,
        writerSn: 1n,
        payloadKind: "data",
        payload: buildEndpointData(publication),
        nonStandardPayload: false,
      },
      {
        kind: "heartbeat",
        readerId: ENTITY_ID.publicationsReader,
        writerId: ENTITY_ID.publicationsWriter,
        firstSn: 1n,
        lastSn: 1n,
        count: 1,
        final: false,
        liveliness: false,
      },
    ]);
    await peer.printed(`writer ${PREFIX} Reading`);
    await peer.printed("matched 1");
    const acknowledged = await own.until("its acknowledgement", () =>
      own.messages
        .flatMap(({ submessages }) => submessages)
        .find(
          (each) =>
            each.kind === "acknack" && each.writerId === ENTITY_ID.publicationsWriter && each.missing.base === 2n,
        ),
    );
    expect(acknowledged).toMatchObject({ readerId: ENTITY_ID.publicationsReader, missing: { numBits: 0 } });
    announcement[Symbol.dispose]();
    own.sendToAll(buildParticipantDispose(own.header, 2n));
    await peer.printed("matched 0");
  });
});

it("a domain tag keeps participants apart: Cyclone finds who has its own only", async () => {
  await using peer = run("cyclone", { domainId: 3, tag: "line-2" });
  await peer.printed("ready");
  await using own = await TestParticipant.open(PREFIX, OURS, 3);
  using _otherTag = own.announce(own.announcement({ ...own.data, domainTag: "line-1" }));
  using _noTag = own.announce();
  const tagged = own.announcement({ ...own.data, guid: { prefix: NOBODY, entityId: 0x1c1 }, domainTag: "line-2" });
  tagged.set(Buffer.from(NOBODY, "hex"), 8);
  expect(parseMessage(tagged).header.guidPrefix).toBe(NOBODY);
  using _sameTag = own.announce(tagged);
  await peer.printed(`found ${NOBODY}`);
  expect(peer.lines).not.toContain(`found ${PREFIX}`);
  expect([...own.participants.values()].map(({ domainTag }) => domainTag)).toEqual(["line-2"]);
});
