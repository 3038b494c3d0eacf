import { parseMessage } from "rtps-wire";
import type { Observer, ObserverChange, ObserverStep } from "./observer.ts";
import type { SimulatedParticipant } from "./simulated-participant.fixture.ts";

export const OWN = { address: "10.71.100.2", port: 40_000 };
const STEP_MS = 5;

export interface Faults {
  /** Of a thousand datagrams each. */
  readonly lost: number;
  readonly doubled: number;
  /** Datagrams take from 0 to so long, each its own time. */
  readonly delayMs: number;
}

/** An observer, participants, and a network between them that loses, doubles and reorders; time is its own. */
export class SimulatedNetwork {
  readonly observer: Observer;
  readonly changes: ObserverChange[] = [];
  nowMs = 1_000_000;
  faults: Faults = { lost: 0, doubled: 0, delayMs: 0 };
  sent = 0;
  /** The most that the observer has held. */
  readonly most = { assemblyOctets: 0, graphOctets: 0, endpoints: 0, participants: 0 };
  readonly #participants = new Map<string, SimulatedParticipant>();
  readonly #random: () => number;
  #underWay: { readonly atMs: number; readonly arrive: () => void }[] = [];

  /** `random` gives numbers from 0 up to 1. */
  constructor(observer: Observer, random: () => number) {
    this.observer = observer;
    this.#random = random;
  }

  /** A relay tells the observer of a participant. */
  introduce(participant: SimulatedParticipant): void {
    this.#participants.set(`${participant.address}:${participant.port}`, participant);
    this.step(this.observer.introduce(participant.introduction(), OWN, this.nowMs));
  }

  /** Its process is gone. */
  kill(participant: SimulatedParticipant): void {
    this.#participants.delete(`${participant.address}:${participant.port}`);
  }

  toObserver(participant: SimulatedParticipant, datagrams: readonly Uint8Array[]): void {
    for (const datagram of datagrams) {
      this.#carry(() => this.step(this.observer.receive(datagram, participant.address, this.nowMs)));
    }
  }

  step({ sends, changes }: ObserverStep): void {
    this.changes.push(...changes);
    for (const { to, datagram } of sends) {
      this.sent += 1;
      this.#carry(() => {
        const participant = this.#participants.get(`${to.address}:${to.port}`);
        if (participant === undefined) return;
        this.toObserver(participant, participant.receive(parseMessage(datagram).submessages));
      });
    }
    const { most, observer } = this;
    most.assemblyOctets = Math.max(most.assemblyOctets, observer.used.assemblyOctets);
    most.graphOctets = Math.max(most.graphOctets, observer.used.graphOctets);
    most.endpoints = Math.max(most.endpoints, observer.used.endpoints);
    most.participants = Math.max(most.participants, observer.participants().size);
  }

  /** Lets time pass until `until` holds. @returns how long it took; undefined when it does not hold in time. */
  pass(limitMs: number, until: () => boolean = () => false): number | undefined {
    const beganMs = this.nowMs;
    while (this.nowMs - beganMs <= limitMs) {
      if (until()) return this.nowMs - beganMs;
      this.nowMs += STEP_MS;
      const arriving = this.#underWay.filter(({ atMs }) => atMs <= this.nowMs);
      this.#underWay = this.#underWay.filter(({ atMs }) => atMs > this.nowMs);
      for (const { arrive } of arriving.sort((a, b) => a.atMs - b.atMs)) arrive();
      for (const participant of this.#participants.values()) this.toObserver(participant, participant.tick(this.nowMs));
      if (this.observer.dueMs <= this.nowMs) this.step(this.observer.tick(this.nowMs));
    }
    return undefined;
  }

  /** What the observer knows. */
  get known(): string[] {
    return [...this.observer.endpoints()].map(({ guid }) => guid).sort();
  }

  #carry(arrive: () => void): void {
    const { lost, doubled, delayMs } = this.faults;
    const copies = this.#random() * 1000 < lost ? 0 : this.#random() * 1000 < doubled ? 2 : 1;
    for (let copy = 0; copy < copies; copy++) {
      this.#underWay.push({ atMs: this.nowMs + this.#random() * delayMs, arrive });
    }
  }
}
