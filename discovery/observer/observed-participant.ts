import { isDeepStrictEqual } from "node:util";
import { BUILTIN_ENDPOINT, ENTITY_ID, type GuidPrefix, type ReadParticipantData, vendorName } from "rtps-wire";
import { decodeEndpoint, type EndpointChange, type ObservedEndpoint } from "./endpoint.ts";
import type { ObserverLimits, OctetBudget } from "./limits.ts";
import { SedpWriter } from "./sedp-writer.ts";

export interface UdpAddress {
  readonly address: string;
  readonly port: number;
}

/** A participant of which it was checked that it is where it says. */
export interface IntroducedParticipant {
  readonly domainId: number;
  /** Empty: none. */
  readonly domainTag: string;
  readonly data: ReadParticipantData;
  /** Where it sent from. */
  readonly source: string;
  /** Metatraffic unicast locators of its own, the best first. */
  readonly endpoints: readonly UdpAddress[];
  /** `namespace/name` of its pod, where that is known. */
  readonly pod: string | undefined;
}

/** What is told of a participant. */
export interface ParticipantInfo {
  readonly prefix: GuidPrefix;
  readonly domainId: number;
  readonly domainTag: string;
  readonly vendor: string;
  readonly name?: string;
  /** Where it was heard from. */
  readonly address: string;
  readonly pod?: string;
  /** DDS Security protects its endpoints' names: they are not asked for. */
  readonly secured: boolean;
}

const MAX_NAME = 256;

/** How much of an endpoint is known, and since which sample. */
export interface KnownEndpoint {
  readonly endpoint: ObservedEndpoint;
  readonly octets: number;
  readonly epoch: number;
  readonly writerSn: bigint;
}

export type SedpTopic = "publication" | "subscription";

export interface SedpState {
  readonly writer: SedpWriter<EndpointChange>;
  /** By GUID. */
  readonly endpoints: Map<string, KnownEndpoint>;
}

/** A participant as an observer holds it. */
export class ObservedParticipant {
  readonly prefix: GuidPrefix;
  readonly topics: Readonly<Record<SedpTopic, SedpState>>;
  info: ParticipantInfo;
  /** From where it may speak. */
  #sources: ReadonlySet<string> = new Set();
  /** Where it is spoken to. */
  to: UdpAddress | undefined;
  /** Where this observer is reached by it. */
  own: UdpAddress;
  #asked: readonly SedpTopic[] = [];
  greetings = 0;
  greetDueMs = 0;
  saidNothing = 0;
  saidNothingMs = Number.NEGATIVE_INFINITY;
  /** Endpoints that were refused because a limit was reached. */
  refused = 0;
  readonly #rate: number;
  #tokens: number;
  #tokensAtMs = 0;

  constructor(
    introduced: IntroducedParticipant,
    own: UdpAddress,
    nowMs: number,
    { limits, budget }: { readonly limits: ObserverLimits; readonly budget: OctetBudget },
  ) {
    const { prefix } = introduced.data.guid;
    this.prefix = prefix;
    this.own = own;
    const state = (role: ObservedEndpoint["role"], writerId: number, readerId: number): SedpState => ({
      writer: new SedpWriter({
        writerId,
        readerId,
        limits,
        budget,
        decode: (sample) => decodeEndpoint(role, prefix, sample),
      }),
      endpoints: new Map(),
    });
    this.topics = {
      publication: state("writer", ENTITY_ID.publicationsWriter, ENTITY_ID.publicationsReader),
      subscription: state("reader", ENTITY_ID.subscriptionsWriter, ENTITY_ID.subscriptionsReader),
    };
    this.#rate = limits.datagramsPerSecond;
    this.#tokens = 2 * this.#rate;
    this.#tokensAtMs = nowMs;
    this.greetDueMs = nowMs;
    this.info = infoOf(introduced);
    this.update(introduced, own);
  }

  /** Another announcement of it. @returns whether what is told of it has changed. */
  update(introduced: IntroducedParticipant, own: UdpAddress): boolean {
    const before = this.info;
    const { data, source, endpoints } = introduced;
    this.info = infoOf(introduced);
    this.own = own;
    this.#sources = new Set([source, ...announcedAddresses(data)]);
    this.to = endpoints.find(({ address }) => address === source) ?? endpoints[0];
    const bits = data.builtinEndpoints ?? -1;
    const asked: SedpTopic[] = [];
    if (!this.info.secured && (bits & BUILTIN_ENDPOINT.publicationsWriter) !== 0) asked.push("publication");
    if (!this.info.secured && (bits & BUILTIN_ENDPOINT.subscriptionsWriter) !== 0) asked.push("subscription");
    this.#asked = asked;
    return !isDeepStrictEqual(before, this.info);
  }

  /** The topics of SEDP that it has writers of, and that can be read. */
  get asked(): readonly SedpTopic[] {
    return this.#asked;
  }

  /** Whether all that it has said it has is known. */
  get isComplete(): boolean {
    return this.#asked.every((topic) => this.topics[topic].writer.isComplete);
  }

  get hasAnswered(): boolean {
    return this.#asked.every((topic) => this.topics[topic].writer.hasHeartbeat);
  }

  /** When there is something to be said to it. */
  get dueMs(): number {
    const { publication, subscription } = this.topics;
    return Math.min(this.greetDueMs, publication.writer.answerDueMs, subscription.writer.answerDueMs);
  }

  mayCome(source: string): boolean {
    return this.#sources.has(source);
  }

  /** Whether one more datagram is within its rate. */
  admits(nowMs: number): boolean {
    const earned = ((nowMs - this.#tokensAtMs) * this.#rate) / 1000;
    this.#tokens = Math.min(2 * this.#rate, this.#tokens + Math.max(0, earned));
    this.#tokensAtMs = nowMs;
    if (this.#tokens < 1) return false;
    this.#tokens -= 1;
    return true;
  }

  close(): void {
    for (const { writer } of Object.values(this.topics)) writer.close();
  }
}

function infoOf({ data, source, domainId, domainTag, pod }: IntroducedParticipant): ParticipantInfo {
  const { vendorId = 0, entityName, identityToken, guid } = data;
  return {
    prefix: guid.prefix,
    domainId,
    domainTag,
    vendor: vendorName(vendorId) ?? `vendor 0x${vendorId.toString(16).padStart(4, "0")}`,
    ...(entityName ? { name: entityName.slice(0, MAX_NAME) } : {}),
    address: source,
    ...(pod === undefined ? {} : { pod }),
    secured: identityToken !== undefined,
  };
}

/** The addresses that a participant says are its own. */
function announcedAddresses({ metatrafficUnicast, defaultUnicast }: ReadParticipantData): string[] {
  return [...metatrafficUnicast, ...defaultUnicast].flatMap((locator) =>
    locator.kind === "other" ? [] : locator.address,
  );
}
