import { readFileSync } from "node:fs";
import fc from "fast-check";
import {
  buildMessage,
  buildParticipantData,
  ENTITY_ID,
  goneInlineQos,
  PARAMETER_ID,
  ParameterList,
  parseMessage,
  type SubmessageInput,
} from "rtps-wire";
import { describe, expect, it } from "vitest";
import { z } from "zod";
import { readDatagram } from "./announcement.ts";
import { announcementOf, disposeOf, headerOf, prefixOf, said } from "./wire.fixture.ts";

const vectorSchema = z.looseObject({
  datagrams: z.array(z.looseObject({ name: z.string(), hex: z.string() })),
});

function recorded(vendor: string) {
  const file = new URL(`../../packages/rtps-wire/test/vectors/${vendor}.json`, import.meta.url);
  return vectorSchema.parse(JSON.parse(readFileSync(file, "utf8"))).datagrams;
}

const octets = (hex: string): Uint8Array => new Uint8Array(Buffer.from(hex, "hex"));
const nothing = new Uint8Array();

const guid = { prefix: prefixOf(1), entityId: ENTITY_ID.participant };
const data = {
  guid,
  metatrafficUnicast: [],
  metatrafficMulticast: [],
  defaultUnicast: [],
  defaultMulticast: [],
  properties: [],
};
const spdp = (over: Partial<Extract<SubmessageInput, { kind: "data" }>> = {}): SubmessageInput => ({
  kind: "data",
  readerId: ENTITY_ID.unknown,
  writerId: ENTITY_ID.spdpWriter,
  writerSn: 1n,
  payloadKind: "data",
  nonStandardPayload: false,
  payload: buildParticipantData(data),
  ...over,
});
const message = (...submessages: SubmessageInput[]) => readDatagram(buildMessage(headerOf(1), submessages));

describe("what a datagram says of a participant", () => {
  it.each(["cyclone", "fast", "connext"])("recorded of %s", (vendor) => {
    const kinds = recorded(vendor).map(({ hex }) => readDatagram(octets(hex)).kind);
    expect(kinds).toContain("announcement");
    expect(kinds).toContain("departure");
  });

  it("the copy holds header, timestamp and DATA as they came, and reads the same", () => {
    for (const { hex } of ["cyclone", "fast", "connext"].flatMap(recorded)) {
      const datagram = octets(hex);
      const read = readDatagram(datagram);
      if (read.kind === "disregarded") continue;
      const copy = read.copy();
      const again = readDatagram(copy);
      expect({ ...again, copy: 0, read: 0 }).toEqual({ ...read, copy: 0, read: 0 });
      if (read.kind === "announcement" && again.kind === "announcement") {
        expect(again.read()).toEqual(read.read());
        const kept = parseMessage(copy).submessages;
        expect(kept.map(({ kind }) => kind).filter((kind) => kind !== "info-ts")).toEqual(["data"]);
        for (const { offset, end } of kept)
          expect(Buffer.from(datagram).includes(copy.subarray(offset, end))).toBe(true);
      }
    }
  });

  it("what else is in the datagram is not in the copy", () => {
    const other = spdp({ writerId: ENTITY_ID.publicationsWriter });
    const read = message(spdp(), other, { kind: "pad" });
    if (read.kind !== "announcement") throw new Error(read.kind);
    expect(parseMessage(read.copy()).submessages.map(({ kind }) => kind)).toEqual(["data"]);
  });

  it.each<[string, SubmessageInput[]]>([
    ["two announcements", [spdp(), spdp()]],
    [
      "one in another's name",
      [
        { kind: "info-src", version: { major: 2, minor: 3 }, vendorId: 0x0110, guidPrefix: prefixOf(2) },
        spdp({ payload: buildParticipantData({ ...data, guid: { ...guid, prefix: prefixOf(2) } }) }),
      ],
    ],
    ["for another reader", [spdp({ readerId: ENTITY_ID.publicationsReader })]],
    [
      "another's key",
      [spdp({ inlineQos: goneInlineQos({ ...guid, prefix: prefixOf(2) }), payloadKind: "none", payload: nothing })],
    ],
    ["gone, and there", [spdp({ inlineQos: goneInlineQos(guid) })]],
    [
      "a status that one vendor may read and another not",
      [
        spdp({
          inlineQos: ParameterList.of([{ id: PARAMETER_ID.statusInfo, value: Uint8Array.of(3, 0, 0, 0) }]),
        }),
      ],
    ],
    [
      "two keys",
      [
        spdp({
          payloadKind: "none",
          payload: nothing,
          inlineQos: ParameterList.of([...goneInlineQos(guid), ...goneInlineQos({ ...guid, prefix: prefixOf(2) })]),
        }),
      ],
    ],
    [
      "two tags",
      [
        spdp({
          payload: Buffer.concat([
            buildParticipantData({ ...data, domainTag: "a" }).subarray(0, -4),
            buildParticipantData({ ...data, domainTag: "b" }).subarray(4),
          ]),
        }),
      ],
    ],
  ])("%s: contradictory", (_, submessages) => {
    expect(message(...submessages)).toEqual({ kind: "disregarded", reason: "contradictory" });
  });

  it("other traffic is no fault", () => {
    expect(message({ kind: "pad" })).toEqual({ kind: "disregarded", reason: "other-traffic" });
    expect(readDatagram(Buffer.from("RTPSaaaaNDDSPING"))).toEqual({ kind: "disregarded", reason: "other-traffic" });
  });

  it("never throws, whatever is changed", () => {
    const valid = [announcementOf(1), disposeOf(1)];
    fc.assert(
      fc.property(
        fc.constantFrom(...valid),
        fc.array(fc.tuple(fc.nat(300), fc.nat(255)), { maxLength: 8 }),
        fc.nat(400),
        (datagram, changes, length) => {
          const changed = datagram.slice();
          for (const [at, octet] of changes) if (at < changed.length) changed[at] = octet;
          readDatagram(changed.subarray(0, length));
        },
      ),
      { numRuns: 3000 },
    );
  });

  it("reads what the participant announces", () => {
    expect(said(announcementOf(1, { domainTag: "x" })).read()).toMatchObject({ guid, domainTag: "x" });
  });
});
