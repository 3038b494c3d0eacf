/*
 * What 4, 8 and 12 reliable subscribers on another network cost a publisher, by unicast and by multicast that a gateway copies.
 *
 *   sh scripts/sandbox.sh node bench/fan-out.ts [--json FILE] [--subscribers 4,8,12] [--octets 64,1024,16384] [--rate HZ]
 *       [--window SECONDS] [--rounds N]
 *
 * Cyclone DDS's ddsperf on both sides, each in a namespace of its own, a gateway between two switches: it forwards the unicast,
 * and its fan-out copies the multicast. The publisher is told who the subscribers are and offers so many samples a second (2,000
 * unless told otherwise, and no more than 4 MB), which ddsperf puts together into packets when it is late. Unicast is the publisher's own setting
 * (AllowMulticast spdp), multicast its default. Measured in a window after all have heard something, unicast and multicast
 * by turns: samples a second at a subscriber (mean of all), packets that the publisher has sent and its CPU time, both for a
 * thousand samples that it was to write.
 */
import { setTimeout } from "node:timers/promises";
import { parseArgs } from "node:util";
import { DdsPerf, packetsSent } from "../test/discovery/cyclone-fleet.ts";
import { FanOutBed, until } from "../test/discovery/fan-out-bed.ts";
import { median, printTable, reportJson } from "./support/figures.ts";

const { values: args } = parseArgs({
  options: {
    json: { type: "string" },
    subscribers: { type: "string", default: "4,8,12" },
    octets: { type: "string", default: "64,1024,16384" },
    rate: { type: "string", default: "2000" },
    window: { type: "string", default: "3" },
    rounds: { type: "string", default: "1" },
  },
});
const numbers = (text: string): number[] => text.split(",").map(Number);
const counts = numbers(args.subscribers);
const MOST_OCTETS_PER_SECOND = 4_000_000;
const rateOf = (octets: number): number => Math.round(Math.min(Number(args.rate), MOST_OCTETS_PER_SECOND / octets));
const windowSeconds = Number(args.window);
const MODES = ["unicast", "fan-out"] as const;
const MATCH_MS = 30_000;

const most = Math.max(...counts);
const bed = new FanOutBed("cwb", 2);
for (let number = 3; number <= most; number++) bed.pod(2, number);
bed.gateway(1, [1, 2]);
const gateway = bed.start(1);
gateway.want({
  networks: [1, 2],
  participants: [{ network: 1 }, { network: 2 }],
  policy: { packetsPerSecondPerPublisher: 1_000_000, octetsPerSecond: 1_000_000_000 },
});
await until("it copies", async () => (await gateway.status()).copies.length === 2);

interface Figures {
  readonly samplesPerSubscriber: number;
  readonly packetsPer1000: number;
  readonly cpuMsPer1000: number;
}

async function measure(mode: (typeof MODES)[number], count: number, octets: number): Promise<Figures> {
  const auto = "<ParticipantIndex>auto</ParticipantIndex>";
  const pods = Array.from({ length: count }, (_, at) => at + 1);
  const peers = pods.map((number) => `<Peer address="10.71.2.${10 + number}"/>`).join("");
  const general = mode === "unicast" ? "<General><AllowMulticast>spdp</AllowMulticast></General>" : "";
  const subscribers = pods.map(
    (number) => new DdsPerf(bed.name(`p2${number}`), `<Discovery>${auto}</Discovery>`, "sub"),
  );
  const settings = `${general}<Discovery>${auto}<Peers>${peers}</Peers></Discovery>`;
  const publisher = new DdsPerf(bed.name("p11"), settings, "pub", `${rateOf(octets)}Hz`, "size", `${octets}`);
  try {
    await until(
      `${count} hear ${octets} octets by ${mode}`,
      () => subscribers.every(({ kiloSamples }) => kiloSamples > 0),
      MATCH_MS,
    );
    await setTimeout(1_000);
    const [packets, cpu, totals] = [packetsSent(publisher.namespace), publisher.cpuSeconds(), sum(subscribers)];
    const startMs = performance.now();
    await setTimeout(windowSeconds * 1_000);
    const seconds = (performance.now() - startMs) / 1_000;
    const thousands = (rateOf(octets) * seconds) / 1_000;
    return {
      samplesPerSubscriber: (sum(subscribers) - totals) / count / seconds,
      packetsPer1000: (packetsSent(publisher.namespace) - packets) / thousands,
      cpuMsPer1000: ((publisher.cpuSeconds() - cpu) * 1_000) / thousands,
    };
  } finally {
    for (const one of [publisher, ...subscribers]) await one.end();
  }
}

const sum = (subscribers: readonly DdsPerf[]): number => subscribers.reduce((total, one) => total + one.total, 0);

const results = [];
for (const octets of numbers(args.octets)) {
  for (const count of counts) {
    const rounds: Record<(typeof MODES)[number], Figures[]> = { unicast: [], "fan-out": [] };
    for (let round = 0; round < Number(args.rounds); round++) {
      for (const mode of MODES) rounds[mode].push(await measure(mode, count, octets));
    }
    const of = (mode: (typeof MODES)[number], value: keyof Figures): number =>
      median(rounds[mode].map((figures) => figures[value]));
    const each = (value: keyof Figures) => ({ unicast: of("unicast", value), fanOut: of("fan-out", value) });
    results.push({
      octets,
      subscribers: count,
      offered: rateOf(octets),
      samplesPerSubscriber: each("samplesPerSubscriber"),
      packetsPer1000: each("packetsPer1000"),
      cpuMsPer1000: each("cpuMsPer1000"),
    });
  }
}
await gateway.end("SIGTERM");
bed.close();

const pair = ({ unicast, fanOut }: { unicast: number; fanOut: number }): string[] => [
  unicast.toFixed(0),
  fanOut.toFixed(0),
];
printTable(
  [
    "octets",
    "subscribers",
    "samples/s unicast",
    "fan-out",
    "packets/1000 unicast",
    "fan-out",
    "CPU ms/1000 unicast",
    "fan-out",
  ],
  results.map(({ octets, subscribers, offered, samplesPerSubscriber, packetsPer1000, cpuMsPer1000 }) => [
    `${octets}`,
    `${subscribers}`,
    `${offered}`,
    ...pair(samplesPerSubscriber),
    ...pair(packetsPer1000),
    ...pair(cpuMsPer1000),
  ]),
);
reportJson({ windowSeconds, results });
