/*
 * What reading and building discovery datagrams costs, by packages/rtps-wire, on datagrams recorded from three vendors:
 *
 *   node bench/rtps.ts [--json FILE]
 *
 * Nanoseconds of CPU for one datagram, garbage collection included: medians of 21 interleaved rounds of 5,000 each. Nothing
 * is sent.
 */
import {
  buildMessage,
  buildParticipantData,
  buildParticipantDispose,
  discoverySamples,
  isRtps,
  parseMessage,
  RtpsParseError,
  readEndpointData,
  readParticipantData,
  withDestination,
} from "../packages/rtps-wire/src/index.ts";
import { type Vendor, vector } from "../packages/rtps-wire/test/vectors.ts";
import { median, printTable, reportJson } from "./support/figures.ts";

const ROUNDS = 21;
const BATCH = 5000;

type Operation = { readonly what: string; readonly octets: number; readonly run: () => unknown; readonly ns: number[] };

const operations: Operation[] = [];
const measure = (what: string, datagram: Uint8Array, run: () => unknown): void => {
  operations.push({ what, octets: datagram.length, run, ns: [] });
};

function samples(datagram: Uint8Array): Uint8Array[] {
  return discoverySamples(parseMessage(datagram)).map(({ data }) => data.payload);
}

const NAMES: Readonly<Record<Vendor, string>> = { cyclone: "Cyclone", fast: "Fast", connext: "Connext" };
const VENDORS = ["cyclone", "fast", "connext"] as const;
for (const vendor of VENDORS) {
  const { bytes } = vector(vendor, "plain: announcement");
  measure(`${NAMES[vendor]}: announcement, message only`, bytes, () => samples(bytes));
  measure(`${NAMES[vendor]}: announcement, all of it`, bytes, () => samples(bytes).map(readParticipantData));
}
for (const vendor of VENDORS) {
  const { bytes } = vector(vendor, "plain: publication");
  measure(`${NAMES[vendor]}: publication, all of it`, bytes, () => samples(bytes).map(readEndpointData));
}
const acknack = vector("cyclone", "plain: acknack").bytes;
measure("Cyclone: a message of acknacks", acknack, () => parseMessage(acknack));
const sample = vector("fast", "plain: sample").bytes;
measure("Fast: a sample of a user's topic", sample, () => parseMessage(sample));

const announcement = vector("cyclone", "plain: announcement").bytes;
const message = parseMessage(announcement);
const [payload = new Uint8Array()] = samples(announcement);
const participant = readParticipantData(payload);
const { header } = message;
measure("put an INFO_DST in front, no copy", announcement, () => withDestination(announcement, header.guidPrefix));
measure("build the participant's data", payload, () => buildParticipantData(participant));
measure("build the message around it", announcement, () => buildMessage(header, message.submessages));
measure("build a dispose", buildParticipantDispose(header, 2n), () => buildParticipantDispose(header, 2n));

const garbage = new Uint8Array(400).fill(0x52);
measure("garbage, asked by isRtps", garbage, () => isRtps(garbage));
const broken = announcement.slice(0, -8);
measure("broken in its last submessage", broken, () => {
  if (!(parseMessage(broken).fault instanceof RtpsParseError)) throw new Error("it is not broken");
});

for (let round = 0; round <= ROUNDS; round++) {
  for (const { run, ns } of operations) {
    const before = process.cpuUsage();
    for (let count = 0; count < BATCH; count++) run();
    const { user, system } = process.cpuUsage(before);
    const passed = ((user + system) * 1000) / BATCH;
    // The first round compiles.
    if (round > 0) ns.push(passed);
  }
}
const results = operations.map(({ what, octets, ns }) => ({ what, octets, ns: median(ns) }));
printTable(
  ["datagram", "octets", "ns", "a second"],
  results.map(({ what, octets, ns }) => [
    what,
    String(octets),
    ns.toFixed(0),
    Math.round(1e9 / ns).toLocaleString("en"),
  ]),
);
reportJson({ rounds: ROUNDS, batch: BATCH, results });
