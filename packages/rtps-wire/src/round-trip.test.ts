import fc from "fast-check";
import { describe, expect, it } from "vitest";
import {
  endpointData,
  guid,
  header,
  locator,
  numberSet,
  parameter,
  participantData,
  submessages,
} from "../test/arbitraries.ts";
import { buildEndpointData } from "./build-endpoint-data.ts";
import { buildMessage } from "./build-message.ts";
import { buildParticipantData } from "./build-participant-data.ts";
import { ByteReader } from "./byte-reader.ts";
import { buildParticipantDispose, discoverySamples } from "./discovery.ts";
import { readEndpointData } from "./endpoint-data.ts";
import { formatGuid, parseGuid } from "./guid.ts";
import { keyGuid, statusInfo } from "./instance-state.ts";
import { locatorBytes, readLocator } from "./locator.ts";
import { sequenceNumberSet, sequenceNumbers } from "./number-set.ts";
import { ParameterList } from "./parameter-list.ts";
import { parseMessage } from "./parse-message.ts";
import { readParticipantData } from "./participant-data.ts";
import type { Submessage, SubmessageContent } from "./submessage.ts";

/** What was said, without where it lay: lists as their parameters. */
function said({ offset, end, ...submessage }: Submessage): object {
  return comparable(submessage);
}

function comparable(submessage: SubmessageContent & { littleEndian: boolean }): object {
  if (submessage.kind !== "data" && submessage.kind !== "data-frag") return submessage;
  const { inlineQos, ...others } = submessage;
  return { ...others, ...(inlineQos && { inlineQos: [...inlineQos] }) };
}

describe.each([true, false])("little-endian %s", (littleEndian) => {
  it("a message that was built is read as what it was built of, and built again as the same", () => {
    fc.assert(
      fc.property(header, submessages(littleEndian), (head, input) => {
        const datagram = buildMessage(head, input);
        const message = parseMessage(datagram);
        expect(message.fault).toBeUndefined();
        expect(message.header).toEqual(head);
        expect(message.submessages.map(said)).toEqual(input.map(comparable));
        expect(buildMessage(message.header, message.submessages)).toEqual(datagram);
      }),
      { numRuns: 500 },
    );
  });

  it("so is a participant's data", () => {
    fc.assert(
      fc.property(participantData, (data) => {
        const payload = buildParticipantData(data, { littleEndian });
        expect(payload.length % 4).toBe(0);
        expect(readParticipantData(payload)).toEqual({ ...data, notUnderstood: [] });
      }),
      { numRuns: 500 },
    );
  });

  it("so is an endpoint's data", () => {
    fc.assert(
      fc.property(endpointData, (data) => {
        const payload = buildEndpointData(data, { littleEndian });
        expect(readEndpointData(payload)).toEqual({ ...data, notUnderstood: [] });
      }),
      { numRuns: 500 },
    );
  });

  it("so is a parameter list", () => {
    fc.assert(
      fc.property(fc.array(parameter), (parameters) => {
        const list = ParameterList.of(parameters, { littleEndian });
        expect([...list]).toEqual(parameters);
        const copy = ParameterList.at(list.bytes, 0, list.bytes.length, littleEndian);
        expect([...copy]).toEqual(parameters);
      }),
    );
  });

  it("so is a locator", () => {
    fc.assert(
      fc.property(locator, (value) => {
        const bytes = locatorBytes(value, littleEndian);
        expect(bytes.length).toBe(24);
        expect(readLocator(new ByteReader(bytes, 0, 24, littleEndian), "locator")).toEqual(value);
      }),
    );
  });
});

it("a dispose names the participant", () => {
  fc.assert(
    fc.property(header, fc.bigInt({ min: 1n, max: 2n ** 63n - 1n }), (head, writerSn) => {
      const datagram = buildParticipantDispose(head, writerSn);
      expect(datagram.length).toBe(76);
      const [sample, ...others] = discoverySamples(parseMessage(datagram));
      expect(others).toEqual([]);
      expect(sample?.topic).toBe("participant");
      expect(sample?.data.writerSn).toBe(writerSn);
      expect(sample && statusInfo(sample.data)).toEqual({ disposed: true, unregistered: true });
      expect(sample && keyGuid(sample.data)).toEqual({ prefix: head.guidPrefix, entityId: 0x1c1 });
    }),
  );
});

it("a set has the numbers that were put in", () => {
  fc.assert(
    fc.property(numberSet, (set) => {
      const numbers = sequenceNumbers(set);
      expect(sequenceNumberSet(set.base, numbers.toReversed())).toEqual(set);
      expect(numbers).toEqual(numbers.toSorted((a, b) => (a < b ? -1 : 1)));
    }),
  );
});

it("a GUID's text is that GUID's alone", () => {
  fc.assert(
    fc.property(guid, (value) => {
      expect(parseGuid(formatGuid(value))).toEqual(value);
    }),
  );
  for (const text of ["", "00", `${"0".repeat(24)}:1`, `${"0".repeat(24)}:000001C1`, `${"g".repeat(24)}:000001c1`]) {
    expect(parseGuid(text)).toBeUndefined();
  }
});
