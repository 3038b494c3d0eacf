import { cidr, type Ip, ip } from "#shared/net/ip.ts";
import type { ParticipantEvent } from "../domain/participant.ts";
import { Balancer } from "../groups/balancer.ts";
import { readDatagram } from "./announcement.ts";
import { Relay, type RelaySettings } from "./relay.ts";
import { announcementOf, disposeOf, prefixOf, type SaidOptions } from "./wire.fixture.ts";

/*
 * Relays and participants without multicast between them, in simulated time. Participants tell relays of themselves and
 * nobody else: whom they know, they know from a relay.
 */

export const SETTINGS: RelaySettings = {
  served: {
    domains: new Set([0, 1, 2]),
    tags: undefined,
    participants: 1_000,
    participantsPerAddress: 120,
    announcementOctets: 16_384,
  },
  rates: { datagramsPerSecond: 20_000, datagramsPerSecondPerSource: 1_000, participantsPerAddress: 120 },
  introductions: { resends: 2, refreshMs: 30_000 },
  networks: [{ network: "default/a", interface: "net1", prefixes: [cidr("10.0.0.0/8")] }],
  allowedSources: undefined,
  sisters: new Set(),
};

export interface SimulatedParticipant {
  readonly number: number;
  readonly address: string;
  readonly options: SaidOptions;
  /** Addresses of relays that it tells of itself. */
  readonly peers: readonly string[];
  /** GUID prefixes of those it believes to be there, with the last sequence number. */
  readonly knows: Map<string, bigint>;
  domainId: number;
  isRunning: boolean;
}

interface RelayNode {
  readonly address: string;
  relay: Relay;
  readonly groups: Balancer;
  /** How often it would have written of its groups at once. */
  urgent: number;
  nextMs: number;
  isRunning: boolean;
}

const ANNOUNCE_MS = 3_000;

export class SimulatedNetwork {
  nowMs = 0;
  readonly relays = new Map<string, RelayNode>();
  readonly participants = new Map<string, SimulatedParticipant>();
  readonly events: ParticipantEvent[] = [];
  /** Datagrams that relays have sent, by receiver. */
  readonly received = new Map<string, number>();
  readonly pods = new Map<string, string>();
  lossPercent = 0;
  #seed = 1;
  #sent = 0;

  /** Datagrams that relays have sent. */
  get sent(): number {
    return this.#sent;
  }

  /** Evenly from [0, 1), the same in every run. */
  random(): number {
    // Mulberry32.
    this.#seed = (this.#seed + 0x6d2b79f5) | 0;
    let mixed = Math.imul(this.#seed ^ (this.#seed >>> 15), 1 | this.#seed);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  }

  addRelay(address: string, settings: Partial<RelaySettings> = {}): RelayNode {
    const all = { ...SETTINGS, ...settings };
    const sisters = new Set([...all.sisters].filter((sister) => sister !== address));
    const edge = {
      send: (message: Uint8Array, to: { readonly address: string }, domainId: number) =>
        this.#deliver(message, address, to.address, domainId),
      sendToSister: (message: Uint8Array, to: Ip, domainId: number) => this.#deliver(message, address, to, domainId),
      onEvent: (event: ParticipantEvent) => {
        groups.see(event, this.nowMs);
        this.events.push(event);
      },
      owners: { ownerOf: (of: Ip) => this.pods.get(of) },
      random: () => this.random(),
    };
    const relay = new Relay({ ...all, sisters }, edge, this.nowMs);
    const onChange = (isUrgent: boolean): void => {
      if (isUrgent) node.urgent++;
    };
    const groups = new Balancer({ name: address, relay, onChange });
    relay.restrict((announced, hearer) => groups.allows(announced, hearer));
    const node: RelayNode = { address, relay, groups, urgent: 0, nextMs: 0, isRunning: true };
    this.relays.set(address, node);
    return node;
  }

  addParticipant(number: number, peers: readonly string[], options: SaidOptions = {}): SimulatedParticipant {
    const address = options.address ?? `10.1.${Math.floor(number / 256)}.${number % 256}`;
    const participant = {
      number,
      address,
      options: { ...options, address },
      peers,
      knows: new Map(),
      domainId: options.domainId ?? 0,
      isRunning: true,
    };
    this.participants.set(address, participant);
    this.announce(participant);
    return participant;
  }

  announce({ address, domainId, number, options, peers }: SimulatedParticipant): void {
    for (const peer of peers) this.#deliver(announcementOf(number, options), address, peer, domainId);
  }

  leave(participant: SimulatedParticipant): void {
    participant.isRunning = false;
    const { address, domainId, number, peers } = participant;
    for (const peer of peers) this.#deliver(disposeOf(number), address, peer, domainId);
  }

  /** Sends anything from anywhere. */
  forge(datagram: Uint8Array, from: string, to: string, domainId = 0): void {
    this.relays.get(to)?.relay.hear(datagram, from, domainId, this.nowMs);
  }

  /** Lets time pass in steps of a millisecond where something is due, of 50 at the most. */
  run(ms: number): void {
    const endMs = this.nowMs + ms;
    while (this.nowMs < endMs) {
      const before = this.nowMs;
      let waitMs = 50;
      for (const node of this.relays.values()) {
        if (!node.isRunning) continue;
        if (Math.floor(before / 1000) !== Math.floor((before - 50) / 1000)) node.relay.expire(before);
        waitMs = Math.min(waitMs, node.groups.advance(before) ?? waitMs, node.relay.advance(before));
      }
      this.nowMs = Math.min(endMs, before + Math.max(1, Math.ceil(waitMs)));
      for (const participant of this.participants.values()) {
        const at = (participant.number * 7) % ANNOUNCE_MS;
        const turns = (time: number) => Math.floor((time - at) / ANNOUNCE_MS);
        if (participant.isRunning && turns(this.nowMs) !== turns(before)) this.announce(participant);
      }
    }
  }

  /** Whom a participant should know: those that run in its domain and with its tag. */
  expected({ address, options, domainId }: SimulatedParticipant): string[] {
    return [...this.participants.values()]
      .filter((other) => other.isRunning && other.address !== address && other.domainId === domainId)
      .filter((other) => (other.options.domainTag ?? "") === (options.domainTag ?? ""))
      .map(({ number }) => prefixOf(number))
      .sort();
  }

  /** Whether all that run know exactly those that they should. */
  get isMeshed(): boolean {
    return [...this.participants.values()].every(
      (participant) =>
        !participant.isRunning || [...participant.knows.keys()].sort().join() === this.expected(participant).join(),
    );
  }

  #deliver(message: Uint8Array, from: string, to: string, domainId: number): void {
    if (this.relays.has(from)) {
      this.#sent++;
      this.received.set(to, (this.received.get(to) ?? 0) + 1);
    }
    if (this.random() * 100 < this.lossPercent) return;
    const node = this.relays.get(to);
    if (node !== undefined) {
      if (node.isRunning) node.relay.hear(message.slice(), from, domainId, this.nowMs);
      return;
    }
    const participant = this.participants.get(to);
    if (participant?.isRunning) hear(participant, message);
  }
}

/** As Fast DDS does: a dispose counts when it is above the last announcement. */
function hear({ knows, number }: SimulatedParticipant, message: Uint8Array): void {
  const read = readDatagram(message);
  if (read.kind === "disregarded" || read.guidPrefix === prefixOf(number)) return;
  const last = knows.get(read.guidPrefix);
  if (read.kind === "announcement") {
    knows.set(read.guidPrefix, last === undefined || read.writerSn > last ? read.writerSn : last);
  } else if (last !== undefined && read.writerSn > last) knows.delete(read.guidPrefix);
}

export const RELAY = "10.0.0.1";
export const SISTER = "10.0.0.2";
export const SISTERS: ReadonlySet<Ip> = new Set([ip(RELAY), ip(SISTER)]);
