import fc from "fast-check";
import { expect, it } from "vitest";
import { guidPrefix, header, locator } from "../test/arbitraries.ts";
import { vector } from "../test/vectors.ts";
import { buildMessage } from "./build-message.ts";
import { discoverySamples } from "./discovery.ts";
import { readEndpointData } from "./endpoint-data.ts";
import { RtpsBuildError, RtpsParseError } from "./errors.ts";
import { parseMessage } from "./parse-message.ts";
import { readParticipantData } from "./participant-data.ts";
import { locatorPlaces, patchLocator, withDestination } from "./splice.ts";

const VENDORS = ["cyclone", "fast", "connext"] as const;
const PREFIX = "0102030405060708090a0b0c";

it.each(VENDORS)("%s: puts a destination in front without touching the rest", (vendor) => {
  const { bytes } = vector(vendor, "plain: announcement");
  const parts = withDestination(bytes, PREFIX);
  const [head, destination, rest] = parts;
  expect(parts).toHaveLength(3);
  expect([head?.buffer, rest?.buffer]).toEqual([bytes.buffer, bytes.buffer]);
  expect(destination?.length).toBe(16);
  const message = parseMessage(Buffer.concat(parts));
  expect(message.fault).toBeUndefined();
  expect(message.submessages[0]).toMatchObject({ kind: "info-dst", guidPrefix: PREFIX });
  expect(message.submessages.length).toBe(parseMessage(bytes).submessages.length + 1);
  expect(discoverySamples(message)[0]).toMatchObject({ topic: "participant", destination: PREFIX });
});

it("refuses what is no message, and one that holds its own length", () => {
  expect(() => withDestination(new Uint8Array(30), PREFIX)).toThrow(RtpsParseError);
  const extended = buildMessage({ version: { major: 2, minor: 5 }, vendorId: 0x0101, guidPrefix: PREFIX }, [
    { kind: "unknown", id: 0, otherFlags: 2, content: new Uint8Array(4) },
  ]);
  expect(() => withDestination(extended, PREFIX)).toThrow(RtpsBuildError);
  expect(() => withDestination(vector("fast", "plain: announcement").bytes, "nobody")).toThrow(RtpsBuildError);
});

it.each(VENDORS)("%s: finds every locator of an announcement, in the order in which they lie there", (vendor) => {
  const [sample] = discoverySamples(parseMessage(vector(vendor, "plain: announcement").bytes));
  if (sample === undefined) throw new Error("it holds no sample");
  const data = readParticipantData(sample.data.payload);
  const places = locatorPlaces(sample.data);
  const of = (parameterId: number) => places.filter((place) => place.parameterId === parameterId).map((p) => p.locator);
  expect(of(0x32)).toEqual(data.metatrafficUnicast);
  expect(of(0x33)).toEqual(data.metatrafficMulticast);
  expect(of(0x31)).toEqual(data.defaultUnicast);
  expect(of(0x48)).toEqual(data.defaultMulticast);
  expect(places.map(({ offset }) => offset)).toEqual(places.map(({ offset }) => offset).toSorted((a, b) => a - b));
});

it("a patched locator is read, and every other octet is as it was", () => {
  fc.assert(
    fc.property(fc.constantFrom(...VENDORS), locator, fc.nat(), (vendor, replacement, choice) => {
      const { bytes } = vector(vendor, "plain: announcement");
      const copy = bytes.slice();
      const [sample] = discoverySamples(parseMessage(copy));
      if (sample === undefined) throw new Error("it holds no sample");
      const places = locatorPlaces(sample.data);
      const place = places[choice % places.length];
      if (place === undefined) throw new Error("it holds no locator");
      patchLocator(copy, place, replacement);
      // The sample is a view: it has changed along.
      expect(locatorPlaces(sample.data).find(({ offset }) => offset === place.offset)?.locator).toEqual(replacement);
      copy.set(bytes.subarray(place.offset, place.offset + 24), place.offset);
      expect(copy).toEqual(bytes);
    }),
  );
});

it("writes no locator outside of the datagram or over its header", () => {
  const datagram = new Uint8Array(100);
  for (const offset of [-24, 0, 19, 77, 100, Number.NaN]) {
    const place = {
      parameterId: 0x32,
      offset,
      littleEndian: true,
      locator: { kind: "udpv4", address: "192.0.2.1", port: 1 },
    } as const;
    expect(() => patchLocator(datagram, place, place.locator)).toThrow(RtpsBuildError);
  }
  expect(datagram).toEqual(new Uint8Array(100));
});

it("a sample belongs to whom the submessages before it say", () => {
  const sample = vector("cyclone", "plain: publication").bytes;
  const data = parseMessage(sample).submessages.find(({ kind }) => kind === "data");
  if (data === undefined) throw new Error("it holds no DATA");
  fc.assert(
    fc.property(header, header, guidPrefix, (head, source, destination) => {
      const timestamp = { seconds: 1, fraction: 2 };
      const message = parseMessage(
        buildMessage(head, [
          data,
          { kind: "info-ts", timestamp },
          { kind: "info-dst", guidPrefix: destination },
          data,
          { kind: "info-src", ...source },
          data,
          { kind: "info-dst", guidPrefix: "0".repeat(24) },
          data,
        ]),
      );
      const samples = discoverySamples(message);
      expect(samples.map(({ writer }) => writer.prefix)).toEqual([
        head.guidPrefix,
        head.guidPrefix,
        source.guidPrefix,
        source.guidPrefix,
      ]);
      const known = destination === "0".repeat(24) ? undefined : destination;
      expect(samples.map((each) => each.destination)).toEqual([undefined, known, known, undefined]);
      expect(samples.map((each) => each.timestamp)).toEqual([undefined, timestamp, undefined, undefined]);
      expect(samples.map((each) => readEndpointData(each.data.payload).topicName)).toEqual(
        new Array(4).fill("Reading"),
      );
    }),
  );
});
