import fc from "fast-check";
import type {
  Duration,
  EndpointData,
  Guid,
  Header,
  Locator,
  Parameter,
  ParticipantData,
  SubmessageContent,
} from "../src/index.ts";
import { ParameterList, sequenceNumberSet } from "../src/index.ts";

/*
 * Values of all that can be built, as reading gives them back.
 */

const u16 = fc.integer({ min: 0, max: 0xffff });
const u32 = fc.integer({ min: 0, max: 0xffff_ffff });
const i32 = fc.integer({ min: -0x8000_0000, max: 0x7fff_ffff });
const i64 = fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n });
const changeNumber = fc.bigInt({ min: 1n, max: 2n ** 63n - 1n });
/** Submessages and parameters are padded to a multiple of 4, so only such a length comes back as it was. */
const words = fc.uint8Array({ maxLength: 16 }).map((part) => Uint8Array.from([...part, ...part, ...part, ...part]));
const octets = fc.uint8Array({ maxLength: 40 });
const text = fc.string({ unit: "grapheme", maxLength: 30 }).map((some) => some.replaceAll("\0", "-"));

export const guidPrefix = fc
  .uint8Array({ minLength: 12, maxLength: 12 })
  .map((prefix) => Buffer.from(prefix).toString("hex"));
export const guid: fc.Arbitrary<Guid> = fc.record({ prefix: guidPrefix, entityId: u32 });
const duration: fc.Arbitrary<Duration> = fc.record({ seconds: i32, fraction: u32 });
const timestamp = fc.record({ seconds: u32, fraction: u32 });
const version = fc.record({ major: fc.constant(2), minor: fc.integer({ min: 0, max: 255 }) });
export const header: fc.Arbitrary<Header> = fc.record({ version, vendorId: u16, guidPrefix });

/** IPv6 addresses in their one canonical form, which is what reading gives. */
const ipv6 = fc
  .array(fc.oneof(fc.constant(0), u16), { minLength: 8, maxLength: 8 })
  .map((groups) => new URL(`http://[${groups.map((group) => group.toString(16)).join(":")}]`).hostname.slice(1, -1));
export const locator: fc.Arbitrary<Locator> = fc.oneof(
  fc.record({ kind: fc.constant("udpv4" as const), address: fc.ipV4(), port: u32 }),
  fc.record({ kind: fc.constant("udpv6" as const), address: ipv6, port: u32 }),
  fc.record({
    kind: fc.constant("other" as const),
    id: i32.filter((id) => id !== 1 && id !== 2),
    port: u32,
    address: fc.uint8Array({ minLength: 16, maxLength: 16 }),
  }),
);

export const parameter: fc.Arbitrary<Parameter> = fc.record({ id: u16.filter((id) => id > 1), value: words });

export const numberSet = fc
  .tuple(fc.bigInt({ min: 0n, max: 2n ** 62n }), fc.uniqueArray(fc.integer({ min: 0, max: 255 }), { maxLength: 20 }))
  .map(([base, offsets]) =>
    sequenceNumberSet(
      base,
      offsets.map((offset) => base + BigInt(offset)),
    ),
  );
const fragmentSet = numberSet.map(({ numBits, bitmap, base }) => ({ base: Number(base & 0xffffn), numBits, bitmap }));

const inlineQos = fc.array(parameter, { maxLength: 4 });
const ends = { readerId: u32, writerId: u32 };

/** Submessages for a message of that byte order; its inline QoS follows it. */
export function submessages(littleEndian: boolean): fc.Arbitrary<(SubmessageContent & { littleEndian: boolean })[]> {
  const qos = fc
    .option(inlineQos, { nil: undefined })
    .map((parameters) =>
      parameters === undefined ? {} : { inlineQos: ParameterList.of(parameters, { littleEndian }) },
    );
  const data = fc
    .tuple(
      fc.record({
        kind: fc.constant("data" as const),
        ...ends,
        writerSn: changeNumber,
        payloadKind: fc.constantFrom("none" as const, "data" as const, "key" as const),
        payload: words,
        nonStandardPayload: fc.boolean(),
      }),
      qos,
    )
    .map(([fields, parameters]) => ({
      ...fields,
      ...parameters,
      payload: fields.payloadKind === "none" ? new Uint8Array() : fields.payload,
    }));
  const dataFrag = fc
    .tuple(
      fc.record({
        kind: fc.constant("data-frag" as const),
        ...ends,
        writerSn: changeNumber,
        fragmentStart: fc.integer({ min: 1, max: 1000 }),
        fragmentCount: fc.integer({ min: 1, max: 100 }),
        fragmentSize: fc.integer({ min: 1, max: 0xffff }),
        payloadKind: fc.constantFrom("data" as const, "key" as const),
        payload: words,
        nonStandardPayload: fc.boolean(),
      }),
      qos,
    )
    .map(([fields, parameters]) => {
      const sampleSize = (fields.fragmentStart + fields.fragmentCount - 1) * fields.fragmentSize;
      return { ...fields, ...parameters, sampleSize };
    });
  const count = u32;
  const one: fc.Arbitrary<SubmessageContent> = fc.oneof(
    data,
    dataFrag,
    fc.record({
      kind: fc.constant("heartbeat" as const),
      ...ends,
      firstSn: i64,
      lastSn: i64,
      count,
      final: fc.boolean(),
      liveliness: fc.boolean(),
    }),
    fc.record({ kind: fc.constant("heartbeat-frag" as const), ...ends, writerSn: i64, lastFragment: u32, count }),
    fc.record({ kind: fc.constant("acknack" as const), ...ends, missing: numberSet, count, final: fc.boolean() }),
    fc.record({ kind: fc.constant("nack-frag" as const), ...ends, writerSn: i64, missing: fragmentSet, count }),
    fc.record({ kind: fc.constant("gap" as const), ...ends, gapStart: i64, gapList: numberSet }),
    fc.record({ kind: fc.constant("info-ts" as const), timestamp }),
    fc.constant({ kind: "info-ts" as const }),
    fc.record({ kind: fc.constant("info-dst" as const), guidPrefix }),
    header.map((fields) => ({ kind: "info-src" as const, ...fields })),
    fc.constant({ kind: "pad" as const }),
    fc.record({
      kind: fc.constant("unknown" as const),
      id: fc.integer({ min: 0x30, max: 0xff }),
      otherFlags: fc.integer({ min: 0, max: 0x7f }).map((flags) => flags << 1),
      content: words.filter((content) => content.length > 0),
    }),
  );
  return fc.array(
    one.map((submessage) => ({ ...submessage, littleEndian })),
    { maxLength: 8 },
  );
}

const locators = fc.array(locator, { maxLength: 3 });

/** Optional fields are there or not, never undefined: so they are read. */
const some = <Fields extends object>(fields: { [Field in keyof Fields]: fc.Arbitrary<Fields[Field]> }) =>
  fc.record(fields, { requiredKeys: [] });

export const participantData: fc.Arbitrary<ParticipantData> = fc
  .tuple(
    fc.record({
      guid,
      metatrafficUnicast: locators,
      metatrafficMulticast: locators,
      defaultUnicast: locators,
      defaultMulticast: locators,
      properties: fc.array(fc.record({ name: text, value: text }), { maxLength: 4 }),
    }),
    some({
      protocolVersion: fc.record({ major: fc.integer({ min: 0, max: 255 }), minor: fc.integer({ min: 0, max: 255 }) }),
      vendorId: u16,
      domainId: u32,
      domainTag: text,
      leaseDuration: duration,
      expectsInlineQos: fc.boolean(),
      builtinEndpoints: u32,
      entityName: text,
      userData: octets,
      identityToken: words,
      permissionsToken: words,
      securityInfo: fc.record({ attributes: u32, pluginAttributes: u32 }),
    }),
  )
  .map(([required, optional]) => ({ ...required, ...optional }));

export const endpointData: fc.Arbitrary<EndpointData> = fc
  .tuple(
    fc.record({ guid, topicName: text, typeName: text, unicastLocators: locators, multicastLocators: locators }),
    some({
      participantGuid: guid,
      reliability: fc.record({ kind: fc.constantFrom("best-effort", "reliable"), maxBlockingTime: duration }),
      durability: fc.constantFrom("volatile", "transient-local", "transient", "persistent"),
      ownership: fc.constantFrom("shared", "exclusive"),
      ownershipStrength: i32,
      liveliness: fc.record({
        kind: fc.constantFrom("automatic", "manual-by-participant", "manual-by-topic"),
        leaseDuration: duration,
      }),
      deadline: duration,
      latencyBudget: duration,
      lifespan: duration,
      timeBasedFilter: duration,
      destinationOrder: fc.constantFrom("by-reception-timestamp", "by-source-timestamp"),
      presentation: fc.record({
        accessScope: fc.constantFrom("instance", "topic", "group"),
        coherent: fc.boolean(),
        ordered: fc.boolean(),
      }),
      partition: fc.array(text, { maxLength: 4 }),
      userData: octets,
      topicData: octets,
      groupData: octets,
      entityName: text,
      expectsInlineQos: fc.boolean(),
      dataRepresentation: fc.array(fc.integer({ min: -0x8000, max: 0x7fff }), { maxLength: 4 }),
      typeInformation: words,
    }),
  )
  .map(([required, optional]) => ({ ...required, ...optional }));
