import { expect, it } from "vitest";
import { buildEndpointData } from "./build-endpoint-data.ts";
import { buildMessage, type SubmessageInput } from "./build-message.ts";
import { buildParticipantData } from "./build-participant-data.ts";
import { readParameters } from "./encapsulation.ts";
import { RtpsBuildError } from "./errors.ts";
import { sequenceNumberSet } from "./number-set.ts";
import { ParameterList } from "./parameter-list.ts";
import { parseMessage } from "./parse-message.ts";
import type { ParticipantData } from "./participant-data.ts";

const HEADER = { version: { major: 2, minor: 5 }, vendorId: 0x0110, guidPrefix: "0102030405060708090a0b0c" } as const;
const GUID = { prefix: HEADER.guidPrefix, entityId: 0x1c1 };
const NONE = {
  metatrafficUnicast: [],
  metatrafficMulticast: [],
  defaultUnicast: [],
  defaultMulticast: [],
  properties: [],
};
const PARTICIPANT: ParticipantData = { guid: GUID, ...NONE };
const ENDPOINT = { guid: GUID, topicName: "T", typeName: "T", unicastLocators: [], multicastLocators: [] };
const DATA = {
  kind: "data",
  readerId: 0,
  writerId: 0x3c2,
  writerSn: 1n,
  payloadKind: "data",
  payload: new Uint8Array(4),
  nonStandardPayload: false,
} as const;
const FRAGMENT = { fragmentStart: 2, fragmentCount: 1, fragmentSize: 4, sampleSize: 8 };

function failure(run: () => unknown): RtpsBuildError {
  try {
    run();
  } catch (error) {
    if (error instanceof RtpsBuildError) return error;
    throw error;
  }
  throw new Error("nothing was thrown");
}

const bytes = (hex: string): Uint8Array => new Uint8Array(Buffer.from(hex.replaceAll(" ", ""), "hex"));

it("lays a message out as the specification draws it, in both byte orders", () => {
  const gap = { kind: "gap", readerId: 0x3c7, writerId: 0x3c2, gapStart: 2n, gapList: sequenceNumberSet(3n, [4n, 5n]) };
  const head = "52545053 0205 0110 0102030405060708090a0b0c";
  expect(buildMessage(HEADER, [{ ...gap, kind: "gap" }])).toEqual(
    bytes(`${head} 0801 2000 000003c7 000003c2 00000000 02000000 00000000 03000000 03000000 00000060`),
  );
  expect(buildMessage(HEADER, [{ ...gap, kind: "gap", littleEndian: false }])).toEqual(
    bytes(`${head} 0800 0020 000003c7 000003c2 00000000 00000002 00000000 00000003 00000003 60000000`),
  );
});

it.each<[string, SubmessageInput, string]>([
  ["an entity id of 33 bits", { ...DATA, writerId: 2 ** 32 }, "writerId"],
  ["sequence number 0", { ...DATA, writerSn: 0n }, "writerSn"],
  ["a sequence number of 65 bits", { ...DATA, writerSn: 2n ** 63n }, "writerSn"],
  ["a payload of kind none", { ...DATA, payloadKind: "none" }, "payload"],
  [
    "inline QoS of the other byte order",
    { ...DATA, inlineQos: ParameterList.of([], { littleEndian: false }) },
    "inlineQos",
  ],
  ["a prefix that is none", { kind: "info-dst", guidPrefix: "0102" }, "guidPrefix"],
  ["an upper-case prefix", { kind: "info-dst", guidPrefix: "0102030405060708090A0B0C" }, "guidPrefix"],
  ["a vendor of 17 bits", { kind: "info-src", ...HEADER, vendorId: 0x1_0000 }, "vendorId"],
  ["half a second", { kind: "info-ts", timestamp: { seconds: 0.5, fraction: 0 } }, "timestamp"],
  ["fragment 0", { ...DATA, ...FRAGMENT, kind: "data-frag", fragmentStart: 0 }, "fragmentStart"],
  ["a fragment too many", { ...DATA, ...FRAGMENT, kind: "data-frag", fragmentCount: 2 }, "sampleSize"],
  [
    "words that are too few for the bits",
    {
      kind: "acknack",
      readerId: 0,
      writerId: 0,
      count: 1,
      final: true,
      missing: { base: 1n, numBits: 33, bitmap: [0] },
    },
    "missing",
  ],
  [
    "257 bits",
    {
      kind: "acknack",
      readerId: 0,
      writerId: 0,
      count: 1,
      final: true,
      missing: { base: 1n, numBits: 257, bitmap: [] },
    },
    "missing",
  ],
])("refuses %s", (_, submessage, field) => {
  expect(failure(() => buildMessage(HEADER, [submessage])).field).toBe(field);
});

it("only the last submessage may be longer than 65,535 octets, or unknown and empty", () => {
  const long = { ...DATA, payload: new Uint8Array(70_000) };
  const [, last] = parseMessage(buildMessage(HEADER, [DATA, long])).submessages;
  expect(last?.kind === "data" && last.payload.length).toBe(70_000);
  expect(failure(() => buildMessage(HEADER, [long, DATA])).problem).toContain("can only be the last");
  const empty = { kind: "unknown", id: 0x80, otherFlags: 0, content: new Uint8Array() } as const;
  expect(parseMessage(buildMessage(HEADER, [DATA, empty])).submessages).toHaveLength(2);
  expect(failure(() => buildMessage(HEADER, [empty, DATA])).problem).toContain("can only be the last");
});

it("pads what is not a multiple of 4, but not at the end", () => {
  const odd = { ...DATA, payload: Uint8Array.of(1, 2, 3, 4, 5) };
  const [first, last] = parseMessage(buildMessage(HEADER, [odd, odd])).submessages;
  expect(first?.kind === "data" && first.payload).toEqual(Uint8Array.of(1, 2, 3, 4, 5, 0, 0, 0));
  expect(last?.kind === "data" && last.payload).toEqual(odd.payload);
});

it.each<[string, Partial<ParticipantData>, string]>([
  ["a tag with a NUL", { domainTag: "a\0b" }, "domainTag"],
  ["half of a surrogate pair", { entityName: "a\ud800b" }, "entityName"],
  [
    "an address that is none",
    { defaultUnicast: [{ kind: "udpv4", address: "10.0.0.256", port: 1 }] },
    "defaultUnicast",
  ],
  ["an IPv6 address for IPv4", { defaultUnicast: [{ kind: "udpv4", address: "::1", port: 1 }] }, "defaultUnicast"],
  ["a zone", { defaultUnicast: [{ kind: "udpv6", address: "fe80::1%eth0", port: 1 }] }, "defaultUnicast"],
  ["a negative port", { defaultUnicast: [{ kind: "udpv4", address: "10.0.0.1", port: -1 }] }, "defaultUnicast"],
  [
    "a locator of 15 octets",
    { defaultUnicast: [{ kind: "other", id: 16, port: 1, address: new Uint8Array(15) }] },
    "defaultUnicast",
  ],
  ["64 KiB of user data", { userData: new Uint8Array(65_530) }, "userData"],
])("refuses %s", (_, change, field) => {
  expect(failure(() => buildParticipantData({ ...PARTICIPANT, ...change })).field).toBe(field);
});

it("takes user data up to what a parameter can hold", () => {
  expect(buildParticipantData({ ...PARTICIPANT, userData: new Uint8Array(65_528) }).length).toBe(
    65_528 + 4 + 4 + 20 + 8,
  );
});

it("refuses a set that is wider than 256, and parameters that a list cannot hold", () => {
  expect(failure(() => sequenceNumberSet(1n, [257n])).problem).toContain("is not from 1 to 256");
  expect(failure(() => sequenceNumberSet(2n, [1n])).problem).toContain("is not from 2");
  expect(failure(() => ParameterList.of([{ id: 1, value: new Uint8Array() }])).problem).toContain("sentinel");
  expect(failure(() => ParameterList.of([{ id: 0x1_0000, value: new Uint8Array() }])).problem).toContain("65535");
});

it("writes an endpoint's data that a plain reader of parameters finds", () => {
  const list = readParameters(buildEndpointData({ ...ENDPOINT, durability: "persistent" }));
  expect([...list].map(({ id }) => id)).toEqual([0x5a, 0x05, 0x07, 0x1d]);
  expect(list.find(0x1d)?.value).toEqual(Uint8Array.of(3, 0, 0, 0));
  expect(list.find(0x2b)).toBeUndefined();
});
