/*
 * The relay of `causeway discovery` and N participants, each with an address and a socket of its own, in one process at the
 * other end of a veth pair. All announce themselves at once (500 octets). Printed: how long until everybody knows everybody
 * (median of the rounds, and the longest), the relay's CPU time for it and per datagram that it sent, and its memory per
 * participant. Each round has a relay of its own.
 *
 *   sh scripts/sandbox.sh node bench/discovery.ts [--rounds 5] [--json FILE]
 */
import { parseArgs } from "node:util";
import { Fleet } from "../test/discovery/support/fleet.ts";
import { FleetBed } from "../test/discovery/support/fleet-bed.ts";
import { median, printTable, reportJson } from "./support/figures.ts";

const SIZES = [2, 20, 100, 200];
const { values } = parseArgs({ options: { rounds: { type: "string", default: "5" } }, strict: false });

interface Round {
  readonly tookMs: number;
  readonly cpuMs: number;
  readonly sent: number;
  readonly residentKb: number;
}

async function round(size: number): Promise<Round> {
  const bed = new FleetBed(size);
  try {
    await bed.relay.start();
    const [cpuBefore, residentBefore] = [await bed.cpuMs(), await bed.residentKb()];
    using fleet = new Fleet(bed.relay.address);
    await fleet.open(size);
    const tookMs = await fleet.mesh(30_000);
    // The resends belong to it.
    await new Promise((resolve) => setTimeout(resolve, 2_500));
    const { sent } = await bed.relay.domain();
    const residentKb = (await bed.residentKb()) - residentBefore;
    return { tookMs, cpuMs: (await bed.cpuMs()) - cpuBefore, sent: sent.participants, residentKb };
  } finally {
    await bed.close();
  }
}

const rounds = new Map<number, Round[]>(SIZES.map((size) => [size, []]));
for (let at = 0; at < Number(values.rounds); at++) {
  for (const size of SIZES) rounds.get(size)?.push(await round(size));
}
const results = [...rounds].map(([participants, all]) => {
  const sent = median(all.map((one) => one.sent));
  const cpuMs = median(all.map((one) => one.cpuMs));
  return {
    participants,
    meshedMs: median(all.map(({ tookMs }) => tookMs)),
    longestMs: Math.max(...all.map(({ tookMs }) => tookMs)),
    cpuMs,
    datagramsSent: sent,
    microsecondsPerDatagram: (cpuMs * 1000) / sent,
    residentKbPerParticipant: median(all.map(({ residentKb }) => residentKb)) / participants,
  };
});
printTable(
  ["participants", "all know all ms", "longest", "relay CPU ms", "datagrams", "us/datagram", "kB/participant"],
  results.map((one) => Object.values(one).map((value) => (value < 100 ? value.toFixed(1) : value.toFixed(0)))),
);
reportJson(results);
