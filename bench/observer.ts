/*
 * What the observer costs: CPU to learn all endpoints of many participants at once, CPU while nothing changes, and the graph:
 *
 *   node bench/observer.ts [--participants 200] [--endpoints 20] [--quiet-s 40] [--json FILE]
 *
 * The observer and its sockets are this process; the participants, simulated, are another one, on the loopback interface.
 * CPU is this process's own, user and system, garbage collection included.
 */
import { fork } from "node:child_process";
import { createSocket } from "node:dgram";
import { once } from "node:events";
import { setTimeout as sleep } from "node:timers/promises";
import { parseArgs } from "node:util";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { buildGraph } from "../discovery/observer/build-graph.ts";
import { OBSERVER_LIMITS } from "../discovery/observer/limits.ts";
import { Observer, type ObserverStep } from "../discovery/observer/observer.ts";
import { ObserverSockets } from "../discovery/observer/observer-sockets.ts";
import { SimulatedParticipant } from "../discovery/observer/simulated-participant.fixture.ts";
import { parseMessage } from "../packages/rtps-wire/src/index.ts";
import { printTable, reportJson } from "./support/figures.ts";

const { values } = parseArgs({
  options: {
    participants: { type: "string", default: "200" },
    endpoints: { type: "string", default: "20" },
    "quiet-s": { type: "string", default: "40" },
    json: { type: "string" },
    simulate: { type: "boolean", default: false },
  },
});
const count = Number(values.participants);
const each = Number(values.endpoints);
const ADDRESS = "127.0.0.1";

const prefixOf = (index: number): string => `0110${index.toString(16).padStart(20, "0")}`;

/** The other process: participants that answer whoever speaks to them. */
async function simulate(): Promise<void> {
  const ports = await Promise.all(
    Array.from({ length: count }, async (_, index) => {
      const socket = createSocket("udp4").bind(0, ADDRESS);
      await once(socket, "listening");
      const { port } = socket.address();
      const participant = new SimulatedParticipant(prefixOf(index), ADDRESS, port);
      // Half write, half read, on topics that four participants share.
      for (let id = 0; id < each; id++) {
        const topic = id % 2 === 0 ? "publication" : "subscription";
        participant.offer({ topic, entityId: id + 1, topicName: `cell-${index >> 2}/${id >> 1}` });
      }
      let observer: { readonly address: string; readonly port: number } | undefined;
      const say = (datagrams: readonly Uint8Array[]): void => {
        for (const datagram of datagrams) if (observer) socket.send(datagram, observer.port, observer.address);
      };
      socket.on("message", (datagram, from) => {
        observer = from;
        say(participant.receive(parseMessage(datagram).submessages));
      });
      setInterval(() => say(participant.tick(performance.now())), 100);
      return port;
    }),
  );
  process.send?.(ports);
  process.on("disconnect", () => process.exit());
}

function cpuMs(since?: NodeJS.CpuUsage): number {
  const { user, system } = process.cpuUsage(since);
  return (user + system) / 1000;
}

function heapOctets(): number {
  setFlagsFromString("--expose-gc");
  runInNewContext("gc")();
  return process.memoryUsage().heapUsed;
}

async function measure(): Promise<void> {
  const limits = { ...OBSERVER_LIMITS, participants: count, endpoints: count * each, graphOctets: 1024 ** 3 };
  const observer = new Observer({ guidPrefix: "0000ca05e0a1ca05e0a1ca05", limits });
  let [received, sent] = [0, 0];
  let timerMs = Number.POSITIVE_INFINITY;
  let timer: NodeJS.Timeout | undefined;
  const take = ({ sends }: ObserverStep): void => {
    sent += sends.length;
    for (const send of sends) sockets.send(send);
    if (observer.dueMs >= timerMs) return;
    timerMs = observer.dueMs;
    clearTimeout(timer);
    timer = setTimeout(tick, Math.max(0, timerMs - performance.now()));
  };
  const tick = (): void => {
    timerMs = Number.POSITIVE_INFINITY;
    take(observer.tick(performance.now()));
  };
  const sockets = await ObserverSockets.open({
    onDatagram: (datagram, source) => {
      received += 1;
      take(observer.receive(datagram, source, performance.now()));
    },
  });
  const child = fork(import.meta.filename, [...process.argv.slice(2), "--simulate"]);
  const [ports] = await once(child, "message");
  const people = Array.from(ports, (port, index) => new SimulatedParticipant(prefixOf(index), ADDRESS, Number(port)));
  const own = await sockets.ownAddress({ address: ADDRESS, port: 9 });
  if (own === undefined) throw new Error("there is no way to the loopback interface");
  const emptyOctets = heapOctets();

  const began = { cpu: process.cpuUsage(), ms: performance.now() };
  for (const person of people) take(observer.introduce(person.introduction(), own, performance.now()));
  while (observer.used.endpoints < count * each) {
    await sleep(5);
    if (performance.now() - began.ms > 60_000) throw new Error(`${observer.used.endpoints} endpoints after a minute`);
  }
  const learnMs = performance.now() - began.ms;
  const learnCpuMs = cpuMs(began.cpu);
  const learnDatagrams = received + sent;
  const octets = heapOctets() - emptyOctets;

  await sleep(3_000);
  [received, sent] = [0, 0];
  const quiet = { cpu: process.cpuUsage(), ms: performance.now() };
  await sleep(Number(values["quiet-s"]) * 1000);
  const quietCpuMs = cpuMs(quiet.cpu);
  const quietMs = performance.now() - quiet.ms;
  const quietDatagrams = received + sent;

  const building = process.cpuUsage();
  const participants = [...observer.participants().values()].map(({ info }) => ({
    ...info,
    complete: true,
    writers: 0,
    readers: 0,
    refused: 0,
  }));
  const graph = buildGraph({ participants, endpoints: observer.endpoints() });
  const graphCpuMs = cpuMs(building);
  const matches = graph.topics.reduce((sum, { matchCount }) => sum + matchCount, 0);

  clearTimeout(timer);
  child.disconnect();
  await once(child, "exit");
  await sockets.close();

  const rows = [
    ["all learned after", `${learnMs.toFixed(0)} ms`],
    ["CPU of it, for one endpoint", `${((learnCpuMs * 1000) / (count * each)).toFixed(1)} us`],
    ["datagrams of it, both ways", `${learnDatagrams}`],
    ["heap, for one endpoint", `${(octets / (count * each)).toFixed(0)} octets`],
    ["CPU while nothing changes", `${((100 * quietCpuMs) / quietMs).toFixed(2)} % of a core`],
    ["datagrams a second then, both ways", (quietDatagrams / (quietMs / 1000)).toFixed(1)],
    ["CPU of one graph", `${graphCpuMs.toFixed(1)} ms, ${graph.topics.length} topics, ${matches} matches`],
  ];
  printTable([`${count} participants, ${each} endpoints each`, ""], rows);
  if (values.json !== undefined) {
    reportJson({
      count,
      each,
      learnMs,
      learnCpuMs,
      learnDatagrams,
      octets,
      quietCpuMs,
      quietMs,
      quietDatagrams,
      graphCpuMs,
    });
  }
}

await (values.simulate ? simulate() : measure());
