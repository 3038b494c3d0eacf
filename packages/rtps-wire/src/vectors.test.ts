import { expect, it } from "vitest";
import { vector, vectors } from "../test/vectors.ts";
import { buildMessage } from "./build-message.ts";
import { discoverySamples } from "./discovery.ts";
import { readEndpointData } from "./endpoint-data.ts";
import { formatGuid } from "./guid.ts";
import { keyGuid, statusInfo } from "./instance-state.ts";
import { fragmentNumbers, sequenceNumbers } from "./number-set.ts";
import { parseHeader, parseMessage } from "./parse-message.ts";
import { readParticipantData } from "./participant-data.ts";
import { domainOfPort } from "./ports.ts";
import { vendorName } from "./vendor.ts";

/*
 * Datagrams recorded from the vendors' own libraries (test/record). GUIDs and timestamps change with a new record, the
 * rest is what the recorded participants were told.
 */

const VENDOR_IDS = { cyclone: 0x0110, fast: 0x010f, connext: 0x0101 } as const;
const VENDORS = ["cyclone", "fast", "connext"] as const;
const recorded = VENDORS.flatMap((vendor) => (vectors[vendor] ?? []).map((each) => ({ vendor, ...each })));
const messages = recorded.filter(({ name }) => !/RTPX|ping/.test(name));

const samplesOf = (bytes: Uint8Array) => discoverySamples(parseMessage(bytes));

function participant(vendor: (typeof VENDORS)[number], scenario: string) {
  const [sample] = samplesOf(vector(vendor, `${scenario}: announcement`).bytes);
  if (sample?.topic !== "participant") throw new Error("it holds no announcement");
  return { sample, data: readParticipantData(sample.data.payload) };
}

it("records all three vendors", () => {
  expect(messages.length).toBeGreaterThanOrEqual(40);
});

it.each(messages)("$vendor, $name: is read to its end and built again octet for octet", ({ vendor, bytes }) => {
  const { header, submessages, fault } = parseMessage(bytes);
  expect(fault).toBeUndefined();
  expect(header.vendorId).toBe(VENDOR_IDS[vendor]);
  expect(submessages.at(-1)?.end).toBe(bytes.length);
  expect(Buffer.from(buildMessage(header, submessages))).toEqual(Buffer.from(bytes));
});

it.each(messages)("$vendor, $name: cut anywhere, it is a fault or a whole message, and never more", ({ bytes }) => {
  const ends = new Set([20, ...parseMessage(bytes).submessages.map(({ end }) => end)]);
  for (let length = 20; length < bytes.length; length++) {
    const { submessages, fault } = parseMessage(bytes.slice(0, length));
    expect(fault === undefined).toBe(ends.has(length));
    expect(submessages.every(({ end }) => ends.has(end))).toBe(true);
  }
});

it.each(VENDORS)("%s: announcement", (vendor) => {
  const { sample, data } = participant(vendor, "plain");
  const { to, from } = vector(vendor, "plain: announcement");
  expect(to).toBe("239.255.0.1:7400");
  expect(sample.timestamp?.seconds).toBeGreaterThan(1.7e9);
  expect(sample.destination).toBeUndefined();
  expect(data).toMatchObject({
    guid: { prefix: sample.writer.prefix, entityId: 0x1c1 },
    vendorId: VENDOR_IDS[vendor],
    protocolVersion: { major: 2 },
    entityName: "recorded",
    notUnderstood: [],
  });
  expect(data.domainId).toBe(vendor === "fast" ? undefined : 0);
  expect(data.domainTag ?? "").toBe("");
  const leases = { cyclone: 10, fast: 20, connext: 100 };
  expect(data.leaseDuration).toEqual({ seconds: leases[vendor], fraction: 0 });
  expect((data.builtinEndpoints ?? 0) & 0x3f).toBe(0x3f);
  const address = from.slice(0, from.indexOf(":"));
  expect(data.metatrafficUnicast).toContainEqual({ kind: "udpv4", address, port: expect.any(Number) });
  expect(data.defaultUnicast).toContainEqual({ kind: "udpv4", address, port: expect.any(Number) });
  expect(Buffer.from(data.userData ?? []).toString()).toBe(vendor === "connext" ? "abc" : "abcdefghijklmnop");
  expect(data.identityToken).toBeUndefined();
});

it("reads properties of all vendors", () => {
  const named = (vendor: (typeof VENDORS)[number], name: string) =>
    participant(vendor, "plain").data.properties.find((property) => property.name === name)?.value;
  expect(named("cyclone", "__Hostname")).toBe("recorder");
  expect(named("fast", "plant.site")).toBe("north");
  expect(named("connext", "dds.sys_info.hostname")).toBe("recorder");
});

it("keeps locators of shared memory as they are", () => {
  const kinds = (vendor: (typeof VENDORS)[number]) =>
    participant(vendor, "plain").data.defaultUnicast.map((locator) =>
      locator.kind === "other" ? locator.id : locator.kind,
    );
  expect(kinds("cyclone")).toEqual(["udpv4"]);
  expect(kinds("fast")).toContain(16);
  expect(kinds("connext")).toContain(0x0100_0000);
});

it.each(["cyclone", "connext"] as const)("%s: domain and tag", (vendor) => {
  const { data } = participant(vendor, "domain 3, tag line-2");
  expect(data).toMatchObject({ domainId: 3, domainTag: "line-2", notUnderstood: [] });
  const { to } = vector(vendor, "domain 3, tag line-2: announcement");
  expect(domainOfPort(Number(to.slice(to.lastIndexOf(":") + 1)))).toBe(3);
});

it.each(["cyclone", "fast"] as const)("%s: IPv6", (vendor) => {
  const { data } = participant(vendor, "IPv6");
  expect(data.metatrafficUnicast).toContainEqual({ kind: "udpv6", address: "fd71::1", port: expect.any(Number) });
});

it("reads what a secured participant says in clear, and leaves the rest alone", () => {
  const { data } = participant("fast", "secured");
  expect(Buffer.from(data.identityToken ?? []).toString("latin1")).toContain("DDS:Auth:PKI-DH:1.0");
  expect(Buffer.from(data.permissionsToken ?? []).toString("latin1")).toContain("DDS:Access:Permissions:1.0");
  expect(data.securityInfo).toEqual({ attributes: 0x8000_0007, pluginAttributes: 0x8000_0007 });
  for (const name of ["secured: protected submessages", "secured: protected message"]) {
    const message = parseMessage(vector("fast", name).bytes);
    expect(message.submessages.filter(({ kind }) => kind === "unknown").length).toBeGreaterThanOrEqual(3);
    expect(discoverySamples(message)).toEqual([]);
  }
});

it.each(VENDORS.flatMap((vendor) => ["publication", "subscription"].map((topic) => ({ vendor, topic }))))(
  "$vendor: $topic",
  ({ vendor, topic }) => {
    const { bytes } = vector(vendor, `plain: ${topic}`);
    const sample = samplesOf(bytes).find((each) => each.topic === topic);
    if (sample === undefined) throw new Error(`it holds no ${topic}`);
    const data = readEndpointData(sample.data.payload);
    expect(data).toMatchObject({
      guid: { prefix: parseHeader(bytes).guidPrefix },
      topicName: "Reading",
      typeName: "plant::Reading",
      durability: "transient-local",
      ownership: "exclusive",
      liveliness: { kind: "manual-by-topic", leaseDuration: { seconds: 5, fraction: 0 } },
      deadline: { seconds: 2, fraction: 0 },
      partition: ["north"],
      notUnderstood: [],
    });
    if (topic === "publication") expect(data.ownershipStrength).toBe(7);
    // Connext leaves out what is the default, and so is "reliable" for a writer.
    const isDefault = vendor === "connext" && topic === "publication";
    expect(data.reliability?.kind).toBe(isDefault ? undefined : "reliable");
    if (vendor !== "connext") expect(Buffer.from(data.userData ?? []).toString()).toBe("abcdefghijklmnop");
  },
);

const DISPOSED = recorded.filter(({ name }) => name.includes("dispose"));

it.each(DISPOSED)("$vendor, $name: says who is gone", ({ name, bytes }) => {
  const [sample] = samplesOf(bytes);
  if (sample === undefined) throw new Error("it holds no sample");
  expect(sample.topic).toBe(name.endsWith("publication") ? "publication" : "participant");
  expect(sample.data.payloadKind).not.toBe("data");
  expect(sample.data.writerSn).toBeGreaterThan(1n);
  expect(statusInfo(sample.data)).toEqual({ disposed: true, unregistered: true });
  const guid = keyGuid(sample.data);
  expect(guid?.prefix).toBe(parseHeader(bytes).guidPrefix);
  if (sample.topic === "participant") expect(guid && formatGuid(guid)).toMatch(/:000001c1$/);
});

it.each(VENDORS)("%s: heartbeat and acknack of SEDP's writers", (vendor) => {
  const beat = parseMessage(vector(vendor, "plain: heartbeat").bytes).submessages.find(
    ({ kind }) => kind === "heartbeat",
  );
  expect(beat).toMatchObject({ writerId: 0x3c2, firstSn: 1n });
  const answer = parseMessage(vector(vendor, "plain: acknack").bytes).submessages.find(
    ({ kind }) => kind === "acknack",
  );
  expect(answer).toMatchObject({ readerId: 0x3c7, writerId: 0x3c2 });
  if (answer?.kind === "acknack") expect(sequenceNumbers(answer.missing).length).toBeLessThanOrEqual(1);
});

it("reads fragments, and which of them are asked for", () => {
  const submessagesOf = (vendor: "cyclone" | "fast", what: string) =>
    parseMessage(vector(vendor, `large: ${what}`).bytes).submessages;
  const [first] = submessagesOf("cyclone", "first fragment of the publication").flatMap((each) =>
    each.kind === "data-frag" ? [each] : [],
  );
  expect(first).toMatchObject({
    writerId: 0x3c2,
    writerSn: 1n,
    fragmentStart: 1,
    fragmentCount: 1,
    fragmentSize: 1344,
  });
  expect(first?.payload.length).toBe(1344);
  const [last] = submessagesOf("cyclone", "last fragment of the publication").flatMap((each) =>
    each.kind === "data-frag" ? [each] : [],
  );
  expect(last?.fragmentStart).toBe(Math.ceil((last?.sampleSize ?? 0) / 1344));
  expect(last?.payload.length).toBe((last?.sampleSize ?? 0) % 1344);
  const nack = submessagesOf("cyclone", "nack-frag").find(({ kind }) => kind === "nack-frag");
  if (nack?.kind !== "nack-frag") throw new Error("it holds no nack-frag");
  expect(fragmentNumbers(nack.missing)).toEqual([2, 3, 4]);
  expect(submessagesOf("cyclone", "heartbeat-frag").find(({ kind }) => kind === "heartbeat-frag")).toMatchObject({
    lastFragment: expect.any(Number),
  });
  expect(
    submessagesOf("fast", "first fragment of the publication").find(({ kind }) => kind === "data-frag"),
  ).toMatchObject({
    writerId: 0x3c2,
    fragmentStart: 1,
    fragmentCount: 1,
  });
});

it("refuses what Connext sends that is no RTPS message", () => {
  expect(() => parseMessage(vector("connext", "plain: ping").bytes)).toThrow(/header of 20 octets/);
  expect(() => parseMessage(vector("connext", "plain: RTPX announcement").bytes)).toThrow("begins with RTPS");
});

it("knows the vendors by name", () => {
  expect(Object.values(VENDOR_IDS).map(vendorName)).toEqual([
    "Eclipse Cyclone DDS",
    "eProsima Fast DDS",
    "RTI Connext",
  ]);
  expect(vendorName(0xfefe)).toBeUndefined();
});
