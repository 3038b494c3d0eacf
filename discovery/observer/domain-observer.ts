import { isDeepStrictEqual } from "node:util";
import type { GuidPrefix } from "rtps-wire";
import type { DiscoveryDomain } from "#shared/api/discovery-domain.ts";
import type { DiscoveryGraph } from "#shared/dds/graph.ts";
import { GraphNames, mismatchText } from "#shared/dds/mismatch-text.ts";
import type { Log } from "#shared/process/log.ts";
import type { Participant, ParticipantEvent } from "../domain/participant.ts";
import { buildGraph } from "./build-graph.ts";
import type { ObservedEndpoint } from "./endpoint.ts";
import { OBSERVER_LIMITS } from "./limits.ts";
import type { SedpTopic, UdpAddress } from "./observed-participant.ts";
import { Observer, type ObserverChange, type ObserverCounts, type ObserverStep } from "./observer.ts";
import { ObserverSockets } from "./observer-sockets.ts";

/** The DiscoveryDomain that is observed: who is there is known elsewhere. */
interface ObservedDomain {
  readonly name: string;
  readonly object: DiscoveryDomain;
  participants(): Iterable<Participant>;
  subscribe(listener: (event: ParticipantEvent) => void): () => void;
}

export interface DomainObserverOptions {
  readonly domain: ObservedDomain;
  readonly log: Log;
  /** Monotonic. */
  readonly nowMs: () => number;
  /** 24 hexadecimal digits that nobody else has. */
  readonly newGuidPrefix: () => string;
  /** What is known has changed. */
  readonly onChange: () => void;
}

/** What an observer sees, in numbers. */
export interface ObserverSummary {
  readonly participants: number;
  readonly writers: number;
  readonly readers: number;
  readonly topics: number;
  readonly matches: number;
  readonly mismatches: number;
  /** The first of them, in sentences. */
  readonly examples: readonly string[];
}

/** What a participant writes and reads. */
export interface ParticipantEndpoints {
  readonly writers: readonly ObservedEndpoint[];
  readonly readers: readonly ObservedEndpoint[];
}

export interface ObserverStatus {
  readonly summary: ObserverSummary;
  readonly used: Observer["used"];
  readonly counts: ObserverCounts;
  readonly sendFailures: number;
}

/** Own addresses hold for so long; then the kernel's routes are asked again. */
const ROUTES_MS = 10_000;
const MOST_ROUTES = 1_024;
const EXAMPLES = 4;

/** The observer of one DiscoveryDomain at work: participants that its relay hears are observed as long as they are there. */
export class DomainObserver {
  readonly #options: DomainObserverOptions;
  readonly #present = new Map<string, Participant>();
  readonly #unsubscribe: () => void;
  #spec: DiscoveryDomain["spec"]["observer"] | undefined;
  #observer: Observer | undefined;
  #sockets: ObserverSockets | undefined;
  /** Set while sockets are being opened, so that it is tried once. */
  #opening: Promise<void> | undefined;
  #problem: string | undefined;
  #timer: NodeJS.Timeout | undefined;
  #timerMs = Number.POSITIVE_INFINITY;
  #ownAddresses = new Map<string, Promise<UdpAddress | undefined>>();
  #ownAddressesMs = 0;
  #summary: ObserverSummary | undefined;
  #isClosed = false;

  constructor(options: DomainObserverOptions) {
    this.#options = options;
    const { domain } = options;
    this.#unsubscribe = domain.subscribe((event) => this.#see(event));
    for (const participant of domain.participants()) this.#present.set(participant.key, participant);
    this.apply();
  }

  /** To be called once a second and when the object has changed: what could not be done is tried again. */
  apply(): void {
    const { nowMs, domain } = this.#options;
    if (nowMs() - this.#ownAddressesMs > ROUTES_MS) {
      this.#ownAddresses = new Map();
      this.#ownAddressesMs = nowMs();
    }
    const { observer } = domain.object.spec;
    if (!isDeepStrictEqual(this.#spec, observer)) {
      this.#stop();
      this.#spec = observer;
    }
    if (observer.mode === "Observe" && this.#sockets === undefined) this.#opening ??= this.#start();
  }

  /** Why nothing is observed though it should be. */
  get problem(): string | undefined {
    return this.#problem;
  }

  /**
   * The writers and readers of a participant; undefined while it is not certain that these are all: it has not told them
   * yet, does not tell them or tells of too many.
   */
  endpointsOf(prefix: GuidPrefix): ParticipantEndpoints | undefined {
    const participant = this.#observer?.participants().get(prefix);
    if (participant === undefined || participant.asked.length < Object.keys(participant.topics).length)
      return undefined;
    if (!participant.hasAnswered || !participant.isComplete || participant.refused > 0) return undefined;
    const of = (topic: SedpTopic): readonly ObservedEndpoint[] =>
      [...participant.topics[topic].endpoints.values()].map(({ endpoint }) => endpoint);
    return { writers: of("publication"), readers: of("subscription") };
  }

  /** Undefined while nothing is observed. */
  graph(): DiscoveryGraph | undefined {
    return this.#observer && this.#graphOf(this.#observer);
  }

  #graphOf(observer: Observer): DiscoveryGraph {
    const participants = [...observer.participants().values()].map((each) => ({
      ...each.info,
      complete: each.isComplete,
      writers: each.topics.publication.endpoints.size,
      readers: each.topics.subscription.endpoints.size,
      refused: each.refused,
    }));
    const { domain } = this.#options;
    return {
      discoveryDomain: domain.name,
      observer: observer.guidPrefix,
      ...buildGraph({ participants, endpoints: observer.endpoints() }),
    };
  }

  /** Undefined while nothing is observed. */
  status(): ObserverStatus | undefined {
    const observer = this.#observer;
    if (observer === undefined) return undefined;
    this.#summary ??= summaryOf(this.#graphOf(observer));
    const { used, counts } = observer;
    return { summary: this.#summary, used, counts, sendFailures: this.#sockets?.sendFailures ?? 0 };
  }

  /** Takes leave of the participants. */
  async close(): Promise<void> {
    this.#isClosed = true;
    this.#unsubscribe();
    const sockets = this.#stop();
    await this.#opening;
    await sockets?.close();
  }

  #see({ type, participant }: ParticipantEvent): void {
    if (type === "gone") {
      this.#present.delete(participant.key);
      if (this.#observer !== undefined) this.#take(this.#observer.forget(participant));
    } else {
      this.#present.set(participant.key, participant);
      void this.#introduce(participant);
    }
  }

  /** Never rejects. */
  async #start(): Promise<void> {
    const { log, domain, newGuidPrefix, nowMs } = this.#options;
    const spec = this.#spec;
    const limits = { ...OBSERVER_LIMITS, ...spec?.limits };
    const observer = new Observer({ guidPrefix: newGuidPrefix(), limits });
    try {
      const sockets = await ObserverSockets.open({
        onDatagram: (datagram, source) => this.#take(observer.receive(datagram, source, nowMs())),
      });
      this.#opening = undefined;
      // Something else may be asked for since.
      if (this.#isClosed || this.#spec !== spec) {
        await sockets.close();
        return;
      }
      this.#sockets = sockets;
      this.#observer = observer;
      this.#problem = undefined;
      log.info({ domain: domain.name, observer: observer.guidPrefix }, "observing");
      for (const participant of this.#present.values()) void this.#introduce(participant);
    } catch (error) {
      this.#opening = undefined;
      const message = error instanceof Error ? error.message : String(error);
      if (this.#problem === undefined) log.warn({ err: error, domain: domain.name }, "cannot observe; trying again");
      this.#problem = `cannot open the observer's sockets (${message})`;
    }
  }

  /** @returns the sockets, which are still to be closed. */
  #stop(): ObserverSockets | undefined {
    const sockets = this.#sockets;
    if (this.#observer !== undefined) this.#take(this.#observer.close());
    clearTimeout(this.#timer);
    this.#timerMs = Number.POSITIVE_INFINITY;
    this.#observer = undefined;
    this.#sockets = undefined;
    this.#problem = undefined;
    // Their ports are those of the sockets.
    this.#ownAddresses = new Map();
    if (!this.#isClosed && sockets !== undefined) void sockets.close();
    return sockets;
  }

  /** Never rejects. */
  async #introduce(participant: Participant): Promise<void> {
    const [first] = participant.endpoints;
    const sockets = this.#sockets;
    if (first === undefined || sockets === undefined) return;
    let asking = this.#ownAddresses.get(first.address);
    if (asking === undefined) {
      asking = sockets.ownAddress(first);
      if (this.#ownAddresses.size < MOST_ROUTES) this.#ownAddresses.set(first.address, asking);
    }
    const own = await asking;
    // It may have gone or changed meanwhile, and so may the observer.
    const isCurrent = this.#present.get(participant.key) === participant && this.#sockets === sockets;
    if (own === undefined || !isCurrent || this.#observer === undefined) return;
    this.#take(this.#observer.introduce(participant, own, this.#options.nowMs()));
  }

  #take({ sends, changes }: ObserverStep): void {
    for (const send of sends) this.#sockets?.send(send);
    if (changes.length > 0) {
      for (const change of changes) this.#tell(change);
      this.#summary = undefined;
      this.#options.onChange();
    }
    this.#schedule();
  }

  #schedule(): void {
    const { nowMs } = this.#options;
    const dueMs = this.#observer?.dueMs ?? Number.POSITIVE_INFINITY;
    if (this.#isClosed || dueMs >= this.#timerMs) return;
    clearTimeout(this.#timer);
    this.#timerMs = dueMs;
    this.#timer = setTimeout(
      () => {
        this.#timerMs = Number.POSITIVE_INFINITY;
        if (this.#observer !== undefined) this.#take(this.#observer.tick(nowMs()));
      },
      Math.max(0, dueMs - nowMs()),
    );
  }

  #tell(change: ObserverChange): void {
    const { domain, log } = this.#options;
    if (change.kind === "endpoint") {
      const { guid, role, topic, type } = change.endpoint;
      log.debug({ domain: domain.name, endpoint: guid, role, topic, type }, "endpoint seen");
    } else if (change.kind === "endpoint-gone") {
      log.debug({ domain: domain.name, endpoint: change.guid }, "endpoint gone");
    }
  }
}

function summaryOf(graph: DiscoveryGraph): ObserverSummary {
  const { participants, topics } = graph;
  const names = new GraphNames(graph);
  const examples = topics.flatMap((topic) =>
    topic.mismatches.slice(0, EXAMPLES).map((mismatch) => mismatchText(names, topic, mismatch)),
  );
  const sum = (value: (topic: DiscoveryGraph["topics"][number]) => number): number =>
    topics.reduce((total, topic) => total + value(topic), 0);
  return {
    participants: participants.length,
    writers: sum(({ writers }) => writers.length),
    readers: sum(({ readers }) => readers.length),
    topics: topics.length,
    matches: sum(({ matchCount }) => matchCount),
    mismatches: sum(({ mismatchCount }) => mismatchCount),
    examples: examples.slice(0, EXAMPLES),
  };
}
