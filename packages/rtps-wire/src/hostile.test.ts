import fc from "fast-check";
import { expect, it } from "vitest";
import { exercise } from "../test/exercise.ts";
import { mutate, randomNumbers } from "../test/mutate.ts";
import { vector, vectors } from "../test/vectors.ts";
import { readParameters } from "./encapsulation.ts";
import { readEndpointData } from "./endpoint-data.ts";
import { RtpsParseError } from "./errors.ts";
import { keyGuid } from "./instance-state.ts";
import { isRtps, parseMessage } from "./parse-message.ts";
import { readParticipantData } from "./participant-data.ts";

const HEADER = "525450530201011001020304050607080910111213".slice(0, 40);
const message = (...submessages: readonly string[]): Uint8Array =>
  new Uint8Array(Buffer.from(HEADER + submessages.join("").replaceAll(" ", ""), "hex"));
const list = (...parameters: readonly string[]): Uint8Array =>
  new Uint8Array(Buffer.from(`00030000${parameters.join("")}01000000`.replaceAll(" ", ""), "hex"));
const GUID = "5000 1000 0102030405060708 09101112 000001c1";

function failure(run: () => unknown): RtpsParseError {
  try {
    run();
  } catch (error) {
    if (error instanceof RtpsParseError) return error;
    throw error;
  }
  throw new Error("nothing was thrown");
}

it("reads 20,000 mutated datagrams with nothing thrown but its own error, most of them no longer whole", () => {
  const random = randomNumbers(20_000);
  const originals = Object.values(vectors).flatMap((recorded) => recorded.map(({ bytes }) => bytes));
  const pick = (): Uint8Array => originals[random(originals.length)] ?? new Uint8Array();
  const scratch = new Uint8Array(8192);
  let faults = 0;
  let whole = 0;
  for (let count = 0; count < 20_000; count++) {
    const { fault, participants, endpoints } = exercise(mutate(pick(), pick(), random, scratch));
    if (fault) faults++;
    whole += participants + endpoints;
  }
  // The mutations are neither harmless nor all alike.
  expect(faults).toBeGreaterThan(5000);
  expect(whole).toBeGreaterThan(500);
});

it("reads any octets at all, behind a header or without", () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 600 }), fc.boolean(), (octets, hasHeader) => {
      exercise(hasHeader ? Uint8Array.from([...message(), ...octets]) : octets);
    }),
    { numRuns: 2000 },
  );
});

it.each([
  ["", 0, "header of 20 octets"],
  [HEADER.slice(0, -2), 19, "header of 20 octets"],
  [HEADER.replace("52", "53"), 0, "begins with RTPS"],
  [HEADER.replace("0201", "0101"), 4, "version 1 is not 2"],
])("refuses %s as a header", (hex, offset, reason) => {
  const datagram = new Uint8Array(Buffer.from(hex, "hex"));
  expect(isRtps(datagram)).toBe(false);
  const error = failure(() => parseMessage(datagram));
  expect(error.offset).toBe(offset);
  expect(error.message).toContain(reason);
});

const ENTITIES = "000003c7 000003c2";

it.each([
  ["a cut submessage header", "0e01", 20, "header of 4 octets"],
  ["a length beyond the end", "0e01 1000 00112233", 20, "16 octets has 4"],
  ["INFO_DST too short", "0e01 0800 0011223344556677", 24, "guidPrefix: 12 octets are needed, 8 are left"],
  ["INFO_TS of nothing", "0901 0000", 24, "timestamp"],
  ["HEARTBEAT too short", `0701 0800 ${ENTITIES}`, 32, "firstSN"],
  ["257 bits", `0601 1800 ${ENTITIES} 00000000 01000000 01010000 00000000`, 40, "257 bits are more than 256"],
  ["4 billion bits", `0601 1800 ${ENTITIES} 00000000 01000000 ffffffff 00000000`, 40, "bits are more than 256"],
  ["256 bits without words", `0601 1800 ${ENTITIES} 00000000 01000000 00010000 00000000`, 48, "4 octets are needed, 0"],
  ["sequence number 0", `1501 1400 0000 1000 ${ENTITIES} 00000000 00000000`, 36, "0 is not positive"],
  ["a negative sequence number", `1501 1400 0000 1000 ${ENTITIES} ffffffff 00000000`, 36, "is not positive"],
  ["sample and key", `150d 1400 0000 1000 ${ENTITIES} 00000000 01000000`, 24, "not both"],
  ["QoS inside of the fixed fields", `1503 1400 0000 0c00 ${ENTITIES} 00000000 01000000`, 40, "into the fixed fields"],
  ["QoS behind the end", `1503 1400 0000 1400 ${ENTITIES} 00000000 01000000`, 44, "4 octets are needed, 0"],
  ["QoS without a sentinel", `1503 1800 0000 1000 ${ENTITIES} 00000000 01000000 70000000`, 48, "without a sentinel"],
  [
    "QoS that is too long",
    `1503 1c00 0000 1000 ${ENTITIES} 00000000 01000000 70001000 01000000`,
    44,
    "16 octets has 4",
  ],
  ["an odd parameter", `1503 1c00 0000 1000 ${ENTITIES} 00000000 01000000 70000300 00000001`, 44, "no multiple of 4"],
  ["fragment 0", `1601 2000 0000 1c00 ${ENTITIES} 00000000 01000000 00000000 01000100 01000000`, 44, "count from 1"],
  [
    "a fragment too many",
    `1601 2000 0000 1c00 ${ENTITIES} 00000000 01000000 03000000 01000100 02000000`,
    44,
    "no fragment 3",
  ],
])("says where and why: %s", (_, submessage, offset, reason) => {
  const whole = "0100 0000 0e01 0c00 010203040506070809101112".replaceAll(" ", "");
  const { submessages, fault } = parseMessage(message(submessage));
  expect(submessages).toEqual([]);
  expect(fault?.offset).toBe(offset);
  expect(fault?.message).toContain(reason);
  // What came before an invalid submessage holds.
  const behind = parseMessage(message(whole, submessage));
  expect(behind.submessages.map(({ kind }) => kind)).toEqual(["pad", "info-dst"]);
  expect(behind.fault?.offset).toBe(offset + whole.length / 2);
});

it("reads no more than 1,024 submessages", () => {
  const pads = (count: number) => parseMessage(message("01000000".repeat(count)));
  expect(pads(1024).fault).toBeUndefined();
  expect(pads(1025)).toMatchObject({ submessages: { length: 1024 }, fault: { offset: 20 + 4 * 1024 } });
});

it.each([
  ["no encapsulation", new Uint8Array(2), 2, "4 octets of encapsulation"],
  ["plain CDR", list(GUID).fill(1, 1, 2), 0, "encapsulation 1 is no parameter list"],
  ["no GUID", list(), 8, "GUID is missing"],
  ["a short GUID", list("5000 0400 01020304"), 8, "12 octets are needed, 4 are left"],
  ["a short locator", list(GUID, "3200 1000 01000000 e81c0000 0000000000000000"), 36, "16 octets are needed, 8"],
  ["a name of 4 billion octets", list(GUID, "6200 0800 ffffffff 61626300"), 28, "4294967295 elements do not fit"],
  ["a name without its NUL", list(GUID, "6200 0800 04000000 61626364"), 32, "ends with its only NUL"],
  ["a NUL within a name", list(GUID, "6200 0800 04000000 61006300"), 32, "ends with its only NUL"],
  ["4 billion properties", list(GUID, "5900 0400 ffffffff"), 28, "4294967295 elements do not fit"],
  ["200 million properties", list(GUID, "5900 0c00 0000000c 00000000 00000000"), 28, "201326592 elements do not fit"],
])("refuses a participant's data with %s", (_, payload, offset, reason) => {
  const error = failure(() => readParticipantData(payload));
  expect(error.message).toContain(reason);
  expect(error.offset).toBe(offset);
});

const ENDPOINT = [
  "5a00 1000 0102030405060708 09101112 00000102",
  "0500 0800 02000000 54000000",
  "0700 0800 02000000 54000000",
];

it.each([
  ["no GUID", list(...ENDPOINT.slice(1)), "GUID is missing"],
  ["no topic", list(...ENDPOINT.toSpliced(1, 1)), "topic's name is missing"],
  ["no type", list(...ENDPOINT.toSpliced(2, 1)), "type's name is missing"],
  ["reliability 0", list(...ENDPOINT, "1a00 0c00 00000000 00000000 00000000"), "there is no kind 0"],
  ["durability 9", list(...ENDPOINT, "1d00 0400 09000000"), "there is no kind 9"],
  ["a short deadline", list(...ENDPOINT, "2300 0400 09000000"), "deadline: 4 octets are needed"],
  ["too many partitions", list(...ENDPOINT, "2900 0800 02000000 01000000"), "2 elements do not fit"],
])("refuses an endpoint's data with %s", (_, payload, reason) => {
  expect(readEndpointData(list(...ENDPOINT))).toMatchObject({ topicName: "T", typeName: "T" });
  expect(failure(() => readEndpointData(payload)).message).toContain(reason);
});

it("lists parameters that are not known and must be understood, and passes over all others", () => {
  const data = readParticipantData(
    list(GUID, "0340 0000", "0380 0400 01020304", "03c0 0000", "0030 0000", "0240 0800 0700000000000000"),
  );
  expect(data.notUnderstood).toEqual([0x4003]);
  // The same parameter as without the mark.
  expect(data.leaseDuration).toEqual({ seconds: 7, fraction: 0 });
  expect(readEndpointData(list(...ENDPOINT, "0340 0000", "0380 0000")).notUnderstood).toEqual([0x4003]);
});

it("takes padding for what it is, and text that is no UTF-8 with a mark in its place", () => {
  expect([...readParameters(list("0000 0400 ffffffff", "2c00 0000", "0000 0000"))]).toEqual([
    { id: 0x2c, value: new Uint8Array() },
  ]);
  expect(readParticipantData(list(GUID, "6200 0800 04000000 61ff6200")).entityName).toBe("a\uFFFDb");
  expect(readParticipantData(list(GUID, "6200 0400 00000000")).entityName).toBe("");
});

it("finds no GUID where none is, and refuses a key hash that is too short", () => {
  const data = {
    kind: "data",
    readerId: 0,
    writerId: 0x100c2,
    writerSn: 2n,
    payloadKind: "none",
    payload: new Uint8Array(),
    nonStandardPayload: false,
  } as const;
  expect(keyGuid(data)).toBeUndefined();
  expect(keyGuid({ ...data, payloadKind: "key", payload: list("2c00 0000") })).toBeUndefined();
  const inlineQos = readParameters(list("7000 0400 01020304"));
  expect(failure(() => keyGuid({ ...data, inlineQos })).message).toContain("16 octets");
});

it("takes time in proportion to the datagram, whatever it is full of", () => {
  // 64 KiB each. Were one quadratic, it would take minutes.
  const parameters = (one: string) => list(GUID, ...new Array<string>(Math.floor(65_000 / (one.length / 2))).fill(one));
  readParticipantData(parameters("3200180001000000e81c00000000000000000000000000000a000001"));
  readParticipantData(parameters("62000800020000006100ffff"));
  readParticipantData(parameters("03400000"));
  readParticipantData(parameters("00000000"));
  const properties = "01000000000000000100000000000000";
  readParticipantData(list(GUID, "5900f4ff", "ff0f0000", properties.repeat(4095)));
  const { fault } = parseMessage(
    message(`1503 0000 0000 1000 ${ENTITIES} 00000000 01000000`, "70000000".repeat(16_000)),
  );
  expect(fault?.reason).toContain("without a sentinel");
});

it("reads the datagram, not what lies around it in the same buffer", () => {
  const { bytes } = vector("fast", "plain: announcement");
  const around = new Uint8Array(bytes.length + 200).fill(0xff);
  around.set(bytes, 100);
  const inside = around.subarray(100, 100 + bytes.length);
  expect(parseMessage(inside).submessages.map(({ end }) => end)).toEqual(
    parseMessage(bytes).submessages.map(({ end }) => end),
  );
  // Cut so that the last submessage would reach into what lies behind.
  expect(parseMessage(around.subarray(100, 100 + bytes.length - 4)).fault).toBeInstanceOf(RtpsParseError);
});
