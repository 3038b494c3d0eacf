import { isDeepStrictEqual } from "node:util";
import {
  buildMessage,
  ENTITY_ID,
  GUID_PREFIX_UNKNOWN,
  type GuidPrefix,
  type Header,
  isRtps,
  keyGuid,
  type Message,
  parseHeader,
  parseMessage,
  RtpsParseError,
  type Submessage,
  type SubmessageInput,
  statusInfo,
} from "rtps-wire";
import type { EndpointChange, ObservedEndpoint } from "./endpoint.ts";
import { type ObserverLimits, OctetBudget } from "./limits.ts";
import {
  type IntroducedParticipant,
  type KnownEndpoint,
  ObservedParticipant,
  type ParticipantInfo,
  type SedpState,
  type SedpTopic,
  type UdpAddress,
} from "./observed-participant.ts";
import { OWN_LEASE_MS, ownAnnouncement, ownDispose, ownHeader } from "./own-announcement.ts";
import type { Delivery } from "./sedp-writer.ts";

/** A datagram that is to leave from the socket that `from` is announced for. */
export interface ObserverSend {
  readonly from: UdpAddress;
  readonly to: UdpAddress;
  readonly datagram: Uint8Array;
}

export type ObserverChange =
  | { readonly kind: "participant"; readonly participant: ParticipantInfo }
  | { readonly kind: "participant-gone"; readonly prefix: GuidPrefix }
  | { readonly kind: "endpoint"; readonly endpoint: ObservedEndpoint }
  | { readonly kind: "endpoint-gone"; readonly guid: string };

/** What comes of an event. */
export interface ObserverStep {
  readonly sends: readonly ObserverSend[];
  readonly changes: readonly ObserverChange[];
}

/** Datagrams and samples that changed nothing, since the start. */
export interface ObserverCounts {
  /** Datagrams that were read. */
  read: number;
  /** Not RTPS, or with an invalid submessage. */
  malformed: number;
  /** Of a participant that nobody has introduced. */
  strangers: number;
  /** From an address that the participant does not announce. */
  foreign: number;
  overRate: number;
  /** Samples that could not be read. */
  unreadable: number;
  refusedParticipants: number;
  refusedEndpoints: number;
}

export interface ObserverOptions {
  /** 24 hexadecimal digits that no other participant has. */
  readonly guidPrefix: GuidPrefix;
  readonly limits: ObserverLimits;
}

/** Between greetings that are not answered, at first and at last. */
const FIRST_GREETING_MS = 250;
const LAST_GREETING_MS = 5_000;
/** Three times within the lease. */
const REFRESH_MS = OWN_LEASE_MS / 3;
/** No more greetings at once: the others are due a moment later. */
const GREETINGS = 32;
const NEXT_GREETINGS_MS = 5;
const TIDY_MS = 1_000;
const SAYING_NOTHING_MS = 500;

const TOPIC_OF_WRITER: ReadonlyMap<number, SedpTopic> = new Map([
  [ENTITY_ID.publicationsWriter, "publication"],
  [ENTITY_ID.subscriptionsWriter, "subscription"],
]);

/**
 * A participant that only listens: it learns who writes and reads which topic with which QoS (RTPS 8.5), in the domain
 * and with the domain tag of each participant that it is introduced to. A state machine: events in, datagrams and changes
 * out; it has no sockets and no clock. Who introduces a participant has checked its announcement and says when it is gone;
 * of others nothing is taken, and of those only what comes from an address that they announce. All that is kept is bounded
 * by `limits`.
 */
export class Observer {
  readonly #options: ObserverOptions;
  readonly #header: Header;
  readonly #participants = new Map<GuidPrefix, ObservedParticipant>();
  readonly #assembly: OctetBudget;
  readonly #graph: OctetBudget;
  #endpoints = 0;
  #tidyDueMs = 0;
  #dueMs = Number.POSITIVE_INFINITY;
  readonly counts: ObserverCounts = {
    read: 0,
    malformed: 0,
    strangers: 0,
    foreign: 0,
    overRate: 0,
    unreadable: 0,
    refusedParticipants: 0,
    refusedEndpoints: 0,
  };

  constructor(options: ObserverOptions) {
    this.#options = options;
    this.#header = ownHeader(options.guidPrefix);
    this.#assembly = new OctetBudget(options.limits.assemblyOctets);
    this.#graph = new OctetBudget(options.limits.graphOctets);
  }

  get guidPrefix(): GuidPrefix {
    return this.#header.guidPrefix;
  }

  participants(): ReadonlyMap<GuidPrefix, ObservedParticipant> {
    return this.#participants;
  }

  *endpoints(): Generator<ObservedEndpoint> {
    for (const { topics } of this.#participants.values()) {
      for (const { endpoints } of Object.values(topics)) for (const { endpoint } of endpoints.values()) yield endpoint;
    }
  }

  /** What is in use of the limits. */
  get used(): { readonly endpoints: number; readonly assemblyOctets: number; readonly graphOctets: number } {
    return { endpoints: this.#endpoints, assemblyOctets: this.#assembly.used, graphOctets: this.#graph.used };
  }

  /** A participant was heard for the first time, or announces something else. `own` is where it reaches this observer. */
  introduce(introduced: IntroducedParticipant, own: UdpAddress, nowMs: number): ObserverStep {
    const { prefix } = introduced.data.guid;
    if (prefix === this.guidPrefix) return NOTHING;
    const known = this.#participants.get(prefix);
    const { domainId, domainTag } = introduced;
    if (known !== undefined && known.info.domainId === domainId && known.info.domainTag === domainTag) {
      const isChanged = known.update(introduced, own);
      return isChanged ? { sends: [], changes: [{ kind: "participant", participant: known.info }] } : NOTHING;
    }
    const { limits } = this.#options;
    // A GUID prefix in a second domain is somebody else's mistake, or malice.
    if (known !== undefined || this.#participants.size >= limits.participants) {
      this.counts.refusedParticipants += 1;
      return NOTHING;
    }
    const participant = new ObservedParticipant(introduced, own, nowMs, { limits, budget: this.#assembly });
    this.#participants.set(prefix, participant);
    const sends = this.#greet(participant, nowMs);
    this.#dueMs = Math.min(this.#dueMs, participant.dueMs, Math.max(nowMs, this.#tidyDueMs));
    return { sends, changes: [{ kind: "participant", participant: participant.info }] };
  }

  /** A participant is known to be gone, or is not to be observed any longer. */
  forget({ data, domainId, domainTag }: Pick<IntroducedParticipant, "data" | "domainId" | "domainTag">): ObserverStep {
    const participant = this.#participants.get(data.guid.prefix);
    const { info } = participant ?? {};
    if (participant === undefined || info?.domainId !== domainId || info.domainTag !== domainTag) return NOTHING;
    return { sends: [], changes: this.#remove(participant) };
  }

  /** A datagram that came to an address of this observer. The datagram may be reused afterwards. */
  receive(datagram: Uint8Array, source: string, nowMs: number): ObserverStep {
    if (!isRtps(datagram)) {
      this.counts.malformed += 1;
      return NOTHING;
    }
    const participant = this.#participants.get(parseHeader(datagram).guidPrefix);
    if (participant === undefined) {
      this.counts.strangers += 1;
      return NOTHING;
    }
    if (!participant.mayCome(source)) {
      this.counts.foreign += 1;
      return NOTHING;
    }
    if (!participant.admits(nowMs)) {
      this.counts.overRate += 1;
      return NOTHING;
    }
    const message = parseMessage(datagram);
    this.counts.read += 1;
    if (message.fault !== undefined) this.counts.malformed += 1;
    const changes: ObserverChange[] = [];
    let isAskedForLiveliness = false;
    for (const submessage of this.#forUs(message)) {
      isAskedForLiveliness ||=
        submessage.kind === "acknack" && submessage.writerId === ENTITY_ID.participantMessageWriter;
      changes.push(...this.#take(participant, submessage, nowMs));
      if (!this.#participants.has(participant.prefix)) return { sends: [], changes };
    }
    const sends = this.#answers(participant, nowMs);
    this.#dueMs = Math.min(this.#dueMs, participant.dueMs);
    if (isAskedForLiveliness) sends.push(...this.#nothingToSay(participant, nowMs));
    return { sends, changes };
  }

  /** To be called at `dueMs` or later. */
  tick(nowMs: number): ObserverStep {
    const sends: ObserverSend[] = [];
    const tidies = nowMs >= this.#tidyDueMs;
    if (tidies) this.#tidyDueMs = nowMs + TIDY_MS;
    let greetings = 0;
    let dueMs = this.#participants.size === 0 ? Number.POSITIVE_INFINITY : this.#tidyDueMs;
    for (const participant of this.#participants.values()) {
      if (tidies) for (const { writer } of Object.values(participant.topics)) writer.tidy(nowMs);
      if (nowMs >= participant.greetDueMs) {
        if (greetings < GREETINGS) sends.push(...this.#greet(participant, nowMs));
        else participant.greetDueMs = nowMs + NEXT_GREETINGS_MS;
        greetings += 1;
      }
      sends.push(...this.#answers(participant, nowMs));
      dueMs = Math.min(dueMs, participant.dueMs);
    }
    this.#dueMs = dueMs;
    return { sends, changes: [] };
  }

  /** When `tick` is to be called; infinite: not before something else happens. */
  get dueMs(): number {
    return this.#dueMs;
  }

  /** Takes leave of everybody. */
  close(): ObserverStep {
    const datagram = ownDispose(this.#header);
    const sends = [...this.#participants.values()].flatMap(({ own, to, asked }) =>
      to === undefined || asked.length === 0 ? [] : { from: own, to, datagram },
    );
    const changes = [...this.#participants.values()].flatMap((each) => this.#remove(each));
    return { sends, changes };
  }

  /** What is said by the sender itself, to this observer or to everybody (RTPS 8.3.4). */
  *#forUs({ header, submessages }: Message): Generator<Submessage> {
    let isSender = true;
    let isForUs = true;
    for (const submessage of submessages) {
      if (submessage.kind === "info-src") isSender = submessage.guidPrefix === header.guidPrefix;
      else if (submessage.kind === "info-dst") {
        isForUs = submessage.guidPrefix === this.guidPrefix || submessage.guidPrefix === GUID_PREFIX_UNKNOWN;
      } else if (isSender && isForUs) yield submessage;
    }
  }

  #take(participant: ObservedParticipant, submessage: Submessage, nowMs: number): ObserverChange[] {
    if (!("writerId" in submessage)) return [];
    if (submessage.writerId === ENTITY_ID.spdpWriter && submessage.kind === "data") {
      return this.#takeDeparture(participant, submessage);
    }
    const topic = TOPIC_OF_WRITER.get(submessage.writerId);
    if (topic === undefined || !participant.asked.includes(topic)) return [];
    const state = participant.topics[topic];
    switch (submessage.kind) {
      case "data":
        return this.#apply(participant, state, state.writer.data(submessage, nowMs));
      case "data-frag":
        return this.#apply(participant, state, state.writer.dataFrag(submessage, nowMs));
      case "heartbeat":
        return this.#apply(participant, state, state.writer.heartbeat(submessage, nowMs));
      case "gap":
        return this.#apply(participant, state, state.writer.gap(submessage, nowMs));
      case "heartbeat-frag":
        state.writer.heartbeatFrag(submessage, nowMs);
        return [];
      default:
        return [];
    }
  }

  /** What the participant says of itself: its announcements are for who introduces it. */
  #takeDeparture(participant: ObservedParticipant, sample: Submessage & { readonly kind: "data" }): ObserverChange[] {
    try {
      const { disposed, unregistered } = statusInfo(sample);
      const isGone = disposed || unregistered || sample.payloadKind === "key";
      return isGone && keyGuid(sample)?.prefix === participant.prefix ? this.#remove(participant) : [];
    } catch (error) {
      if (!(error instanceof RtpsParseError)) throw error;
      this.counts.unreadable += 1;
      return [];
    }
  }

  #apply(
    participant: ObservedParticipant,
    state: SedpState,
    deliveries: readonly Delivery<EndpointChange>[],
  ): ObserverChange[] {
    return deliveries.flatMap((delivery) =>
      delivery.kind === "sweep" ? this.#sweep(state, delivery) : this.#applyChange(participant, state, delivery),
    );
  }

  #sweep(state: SedpState, { epoch, before }: Extract<Delivery<EndpointChange>, { kind: "sweep" }>): ObserverChange[] {
    const isOld = (known: KnownEndpoint): boolean =>
      known.epoch < epoch || (known.epoch === epoch && known.writerSn < before);
    const old = [...state.endpoints].filter(([, known]) => isOld(known));
    return old.flatMap(([guid]) => this.#forgetEndpoint(state, guid));
  }

  #applyChange(
    participant: ObservedParticipant,
    state: SedpState,
    { change, epoch, writerSn }: Extract<Delivery<EndpointChange>, { kind: "change" }>,
  ): ObserverChange[] {
    switch (change.kind) {
      case "unreadable":
        this.counts.unreadable += 1;
        return [];
      case "endpoint-gone":
        return this.#forgetEndpoint(state, change.guid);
      case "endpoint":
        return this.#learn(participant, state, change, epoch, writerSn);
    }
  }

  #learn(
    participant: ObservedParticipant,
    state: SedpState,
    { endpoint, octets }: Extract<EndpointChange, { kind: "endpoint" }>,
    epoch: number,
    writerSn: bigint,
  ): ObserverChange[] {
    const known = state.endpoints.get(endpoint.guid);
    const { limits } = this.#options;
    const own = participant.topics.publication.endpoints.size + participant.topics.subscription.endpoints.size;
    if (known !== undefined) this.#graph.give(known.octets);
    const hasRoom = known !== undefined || (this.#endpoints < limits.endpoints && own < limits.endpointsPerParticipant);
    if (!hasRoom || !this.#graph.take(octets)) {
      this.counts.refusedEndpoints += 1;
      participant.refused += 1;
      if (known === undefined) return [];
      // What was known of it holds no longer.
      state.endpoints.delete(endpoint.guid);
      this.#endpoints -= 1;
      return [{ kind: "endpoint-gone", guid: endpoint.guid }];
    }
    if (known === undefined) this.#endpoints += 1;
    state.endpoints.set(endpoint.guid, { endpoint, octets, epoch, writerSn });
    return isDeepStrictEqual(known?.endpoint, endpoint) ? [] : [{ kind: "endpoint", endpoint }];
  }

  #forgetEndpoint({ endpoints }: SedpState, guid: string): ObserverChange[] {
    const known = endpoints.get(guid);
    if (known === undefined) return [];
    endpoints.delete(guid);
    this.#graph.give(known.octets);
    this.#endpoints -= 1;
    return [{ kind: "endpoint-gone", guid }];
  }

  #remove(participant: ObservedParticipant): ObserverChange[] {
    this.#participants.delete(participant.prefix);
    participant.close();
    const gone = Object.values(participant.topics).flatMap((state) =>
      [...state.endpoints.keys()].flatMap((guid) => this.#forgetEndpoint(state, guid)),
    );
    return [...gone, { kind: "participant-gone", prefix: participant.prefix }];
  }

  /** Announces this observer to a participant, and asks its writers what they have. */
  #greet(participant: ObservedParticipant, nowMs: number): ObserverSend[] {
    const { hasAnswered, own, asked } = participant;
    const backOffMs = hasAnswered
      ? REFRESH_MS
      : Math.min(LAST_GREETING_MS, FIRST_GREETING_MS * 2 ** participant.greetings);
    participant.greetings += 1;
    participant.greetDueMs = nowMs + backOffMs;
    if (asked.length === 0) return [];
    const { domainId, domainTag } = participant.info;
    const questions = asked.flatMap((topic) => participant.topics[topic].writer.question(nowMs));
    return this.#send(participant, [ownAnnouncement(this.#header, domainId, domainTag, own), ...questions]);
  }

  #answers(participant: ObservedParticipant, nowMs: number): ObserverSend[] {
    const { publication, subscription } = participant.topics;
    const answers = [...publication.writer.answer(nowMs), ...subscription.writer.answer(nowMs)];
    return answers.length === 0 ? [] : this.#send(participant, answers);
  }

  /**
   * Fast DDS asks every participant for its writer of liveliness messages, 14 times a second until it has an answer, also
   * those that say they have none: here is a writer that has written nothing.
   */
  #nothingToSay(participant: ObservedParticipant, nowMs: number): ObserverSend[] {
    if (nowMs - participant.saidNothingMs < SAYING_NOTHING_MS) return [];
    participant.saidNothingMs = nowMs;
    participant.saidNothing += 1;
    const ends = { readerId: ENTITY_ID.participantMessageReader, writerId: ENTITY_ID.participantMessageWriter };
    const empty = { firstSn: 1n, lastSn: 0n, count: participant.saidNothing };
    return this.#send(participant, [{ kind: "heartbeat", ...ends, ...empty, final: true, liveliness: false }]);
  }

  #send({ own, to, prefix }: ObservedParticipant, submessages: readonly SubmessageInput[]): ObserverSend[] {
    if (to === undefined) return [];
    const datagram = buildMessage(this.#header, [{ kind: "info-dst", guidPrefix: prefix }, ...submessages]);
    return [{ from: own, to, datagram }];
  }
}

const NOTHING: ObserverStep = { sends: [], changes: [] };
