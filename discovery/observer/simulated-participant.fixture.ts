import {
  type AckNack,
  buildEndpointData,
  buildMessage,
  ENTITY_ID,
  type EndpointData,
  fragmentNumbers,
  type Guid,
  type GuidPrefix,
  goneInlineQos,
  type Header,
  type NackFrag,
  type Submessage,
  type SubmessageInput,
  sequenceNumberSet,
  sequenceNumbers,
} from "rtps-wire";
import type { IntroducedParticipant, SedpTopic } from "./observed-participant.ts";

/** As Cyclone DDS cuts samples. */
const FRAGMENT_OCTETS = 1_344;
const HEARTBEAT_MS = 100;

interface Sample {
  readonly guid: Guid;
  /** Undefined: the endpoint is gone. */
  readonly payload: Uint8Array | undefined;
}

const ENDS = {
  publication: { writerId: ENTITY_ID.publicationsWriter, readerId: ENTITY_ID.publicationsReader },
  subscription: { writerId: ENTITY_ID.subscriptionsWriter, readerId: ENTITY_ID.subscriptionsReader },
} as const;

/** A reliable, transient-local, keep-last-1 writer of SEDP and its one reader (RTPS 8.4.9). */
class SimulatedWriter {
  readonly #topic: SedpTopic;
  /** The last sample of each endpoint, and what the reader has not acknowledged. */
  readonly history = new Map<bigint, Sample>();
  #lastSn = 0n;
  /** All below is acknowledged. */
  #acknowledged = 1n;
  #heartbeats = 0;
  #heartbeatDueMs = 0;
  #answerCount = -1;

  constructor(topic: SedpTopic) {
    this.#topic = topic;
  }

  write(guid: Guid, payload: Uint8Array | undefined): SubmessageInput[] {
    for (const [number, sample] of this.history)
      if (sample.guid.entityId === guid.entityId) this.history.delete(number);
    this.#lastSn += 1n;
    this.history.set(this.#lastSn, { guid, payload });
    this.#heartbeatDueMs = 0;
    return this.#sample(this.#lastSn);
  }

  /** Numbers that are never used: the reader has to be told by GAP. */
  skip(count: bigint): void {
    this.#lastSn += count;
  }

  tick(nowMs: number): SubmessageInput[] {
    if (this.#acknowledged > this.#lastSn || nowMs < this.#heartbeatDueMs) return [];
    this.#heartbeatDueMs = nowMs + HEARTBEAT_MS;
    return [this.#heartbeat(false)];
  }

  acknack({ missing, count, final }: AckNack): SubmessageInput[] {
    // What was never written cannot have arrived: this is for a writer that was here before.
    if (count <= this.#answerCount || missing.base > this.#lastSn + 1n) return [];
    this.#answerCount = count;
    if (missing.base > this.#acknowledged) this.#acknowledged = missing.base;
    // What is acknowledged and tells of nothing that is there is needed no longer.
    for (const [number, { payload }] of this.history) {
      if (number < this.#acknowledged && payload === undefined) this.history.delete(number);
    }
    const again = sequenceNumbers(missing).flatMap((number) => this.#sample(number));
    return final && again.length === 0 ? [] : [...again, this.#heartbeat(true)];
  }

  nackFrag({ writerSn, missing, count }: NackFrag): SubmessageInput[] {
    if (count <= this.#answerCount) return [];
    this.#answerCount = count;
    const numbers = new Set(fragmentNumbers(missing));
    return this.#sample(writerSn).filter((each) => each.kind !== "data-frag" || numbers.has(each.fragmentStart));
  }

  #heartbeat(final: boolean): SubmessageInput {
    const firstSn = [...this.history.keys()].reduce((a, b) => (a < b ? a : b), this.#lastSn + 1n);
    this.#heartbeats += 1;
    const numbers = { firstSn, lastSn: this.#lastSn, count: this.#heartbeats };
    return { kind: "heartbeat", ...ENDS[this.#topic], ...numbers, final, liveliness: false };
  }

  #sample(number: bigint): SubmessageInput[] {
    const ends = { ...ENDS[this.#topic], writerSn: number, nonStandardPayload: false };
    const sample = this.history.get(number);
    if (sample === undefined) {
      return [{ kind: "gap", ...ENDS[this.#topic], gapStart: number, gapList: sequenceNumberSet(number + 1n) }];
    }
    const { guid, payload } = sample;
    if (payload === undefined) {
      return [
        { kind: "data", ...ends, inlineQos: goneInlineQos(guid), payloadKind: "none", payload: new Uint8Array() },
      ];
    }
    if (payload.length <= FRAGMENT_OCTETS) return [{ kind: "data", ...ends, payloadKind: "data", payload }];
    return Array.from({ length: Math.ceil(payload.length / FRAGMENT_OCTETS) }, (_, index) => ({
      kind: "data-frag",
      ...ends,
      payloadKind: "data",
      fragmentStart: index + 1,
      fragmentCount: 1,
      fragmentSize: FRAGMENT_OCTETS,
      sampleSize: payload.length,
      payload: payload.subarray(index * FRAGMENT_OCTETS, (index + 1) * FRAGMENT_OCTETS),
    }));
  }
}

export interface SimulatedEndpoint {
  readonly topic: SedpTopic;
  readonly entityId: number;
  readonly topicName: string;
  readonly typeName?: string;
  readonly partition?: readonly string[];
  readonly userDataOctets?: number;
}

/** A participant as far as an observer sees one. Nothing is sent: what it says is returned, one message each. */
export class SimulatedParticipant {
  readonly header: Header;
  readonly address: string;
  readonly port: number;
  #writers = { publication: new SimulatedWriter("publication"), subscription: new SimulatedWriter("subscription") };

  constructor(prefix: GuidPrefix, address: string, port = 7410) {
    this.header = { version: { major: 2, minor: 3 }, vendorId: 0x0110, guidPrefix: prefix };
    this.address = address;
    this.port = port;
  }

  get prefix(): GuidPrefix {
    return this.header.guidPrefix;
  }

  /** As a relay tells of it. */
  introduction(source = this.address): IntroducedParticipant {
    const locator = { kind: "udpv4", address: this.address, port: this.port } as const;
    const data = {
      guid: { prefix: this.prefix, entityId: ENTITY_ID.participant },
      vendorId: 0x0110,
      entityName: `participant ${this.prefix.slice(-4)}`,
      metatrafficUnicast: [locator],
      metatrafficMulticast: [],
      defaultUnicast: [locator],
      defaultMulticast: [],
      properties: [],
      notUnderstood: [],
    };
    const { address, port } = this;
    return { domainId: 0, domainTag: "", data, source, endpoints: [{ address, port }], pod: undefined };
  }

  offer({
    topic,
    entityId,
    topicName,
    typeName = "Reading",
    partition,
    userDataOctets = 0,
  }: SimulatedEndpoint): Uint8Array[] {
    const guid = { prefix: this.prefix, entityId };
    const data: EndpointData = {
      guid,
      topicName,
      typeName,
      ...(partition && { partition }),
      ...(userDataOctets > 0 && { userData: new Uint8Array(userDataOctets) }),
      unicastLocators: [],
      multicastLocators: [],
    };
    return this.#messages(this.#writers[topic].write(guid, buildEndpointData(data)));
  }

  withdraw(topic: SedpTopic, entityId: number): Uint8Array[] {
    return this.#messages(this.#writers[topic].write({ prefix: this.prefix, entityId }, undefined));
  }

  skip(topic: SedpTopic, count: bigint): void {
    this.#writers[topic].skip(count);
  }

  /** The GUIDs of the endpoints that it has. */
  get endpoints(): string[] {
    const all = [...this.#writers.publication.history.values(), ...this.#writers.subscription.history.values()];
    const alive = all.filter(({ payload }) => payload !== undefined);
    return alive.map(({ guid }) => `${guid.prefix}:${guid.entityId.toString(16).padStart(8, "0")}`).sort();
  }

  /** Loses its endpoints and begins anew, with the same GUID prefix. */
  restart(): void {
    this.#writers = {
      publication: new SimulatedWriter("publication"),
      subscription: new SimulatedWriter("subscription"),
    };
  }

  tick(nowMs: number): Uint8Array[] {
    const said = [...this.#writers.publication.tick(nowMs), ...this.#writers.subscription.tick(nowMs)];
    return said.length === 0 ? [] : [this.#message(said)];
  }

  receive(submessages: readonly Submessage[]): Uint8Array[] {
    const said = submessages.flatMap((each): SubmessageInput[] => {
      if (each.kind !== "acknack" && each.kind !== "nack-frag") return [];
      const topic = each.writerId === ENTITY_ID.publicationsWriter ? "publication" : "subscription";
      return each.kind === "acknack" ? this.#writers[topic].acknack(each) : this.#writers[topic].nackFrag(each);
    });
    return this.#messages(said);
  }

  message(...submessages: readonly SubmessageInput[]): Uint8Array {
    return this.#message(submessages);
  }

  #message(submessages: readonly SubmessageInput[]): Uint8Array {
    return buildMessage(this.header, submessages);
  }

  #messages(submessages: readonly SubmessageInput[]): Uint8Array[] {
    return submessages.map((submessage) => this.#message([submessage]));
  }
}
