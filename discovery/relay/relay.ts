import type { Cidr, Ip } from "#shared/net/ip.ts";
import type { GoneReason, Participant, ParticipantEvent } from "../domain/participant.ts";
import { readDatagram } from "./announcement.ts";
import { type IntroductionOptions, type IntroductionRule, Introductions } from "./introductions.ts";
import { ParticipantTable, type PodOwners, type Refusal, type Served } from "./participant-table.ts";
import { type RateLimits, Rates } from "./rates.ts";
import { type NetworkInterface, SourceBook } from "./source-book.ts";

/** What a relay is to do, as its object and its interfaces say. */
export interface RelaySettings {
  readonly served: Served;
  readonly rates: RateLimits;
  readonly introductions: IntroductionOptions;
  readonly networks: readonly NetworkInterface[];
  /** Undefined: the prefixes of the networks' interfaces. */
  readonly allowedSources: readonly Cidr[] | undefined;
  /** Addresses of other relays. */
  readonly sisters: ReadonlySet<Ip>;
}

export interface RelayEdge {
  /** A datagram to an endpoint that has proved to be a participant's, or to a sister's port of the domain. */
  readonly send: (
    message: Uint8Array,
    to: { readonly address: string; readonly port: number },
    domainId: number,
  ) => void;
  readonly sendToSister: (message: Uint8Array, sister: Ip, domainId: number) => void;
  /** Is told before participants are. */
  readonly onEvent: (event: ParticipantEvent) => void;
  readonly owners: PodOwners;
  /** Evenly from [0, 1). */
  readonly random: () => number;
}

/** Datagrams since the start: what came in, by what became of it; what was sent. */
export interface RelayCounts {
  readonly heard: Readonly<Record<string, number>>;
  readonly sentToParticipants: number;
  readonly sentToSisters: number;
  readonly dropped: number;
}

/**
 * Datagrams in, datagrams out: who is there, and who is told of whom. Without sockets, clock or timers: each call is given
 * the time, and the one who calls asks {@link advance} when it is due.
 */
export class Relay {
  readonly #edge: RelayEdge;
  readonly #table: ParticipantTable;
  readonly #introductions: Introductions;
  readonly #heard = new Map<string, number>();
  #settings: RelaySettings;
  #sources: SourceBook;
  #rates: Rates;
  #sentToParticipants = 0;
  #sentToSisters = 0;

  constructor(settings: RelaySettings, edge: RelayEdge, nowMs: number) {
    this.#edge = edge;
    this.#settings = settings;
    this.#sources = new SourceBook(settings.networks, settings.allowedSources);
    this.#rates = new Rates(settings.rates, nowMs);
    const allowsNews = (source: Ip, atMs: number): boolean => this.#rates.takeNews(source, atMs);
    this.#table = new ParticipantTable(settings.served, this.#sources, edge.owners, allowsNews);
    this.#introductions = new Introductions(settings.introductions, {
      send: (to, message) => this.send(to, message),
      sendToSisters: ({ domainId }, message) => {
        for (const sister of this.#settings.sisters) {
          edge.sendToSister(message, sister, domainId);
          this.#sentToSisters++;
        }
      },
      random: edge.random,
    });
  }

  participants(): Iterable<Participant> {
    return this.#table.participants();
  }

  counts(): RelayCounts {
    return {
      heard: Object.fromEntries(this.#heard),
      sentToParticipants: this.#sentToParticipants,
      sentToSisters: this.#sentToSisters,
      dropped: this.#introductions.dropped,
    };
  }

  /**
   * @param from the sender's address; a link-local one with its zone, `fe80::1%net1`.
   * @returns whether a participant, or a sister for it, has said that it is there.
   */
  hear(datagram: Uint8Array, from: string, domainId: number, nowMs: number): boolean {
    const outcome = this.#judge(datagram, from, domainId, nowMs);
    this.#heard.set(outcome, (this.#heard.get(outcome) ?? 0) + 1);
    return outcome === "seen" || outcome === "changed" || outcome === "renewed";
  }

  /** A pod has ended: its participants are gone, whatever their leases say. */
  podEnded(pod: string, nowMs: number): void {
    this.#allGone(this.#table.podGone(pod, nowMs), "pod-gone", nowMs);
  }

  /** A pod has come, or has other addresses than before. */
  podsChanged(nowMs: number): void {
    for (const participant of this.#table.findOwners()) this.#tell({ type: "changed", participant }, nowMs);
  }

  /** To be called once a second: leases run out. */
  expire(nowMs: number): void {
    this.#allGone(this.#table.expire(nowMs), "lease-expired", nowMs);
  }

  configure(settings: RelaySettings, nowMs: number): void {
    this.#settings = settings;
    this.#sources = new SourceBook(settings.networks, settings.allowedSources);
    this.#rates = new Rates(settings.rates, nowMs);
    this.#introductions.configure(settings.introductions);
    this.#allGone(this.#table.serve(settings.served, this.#sources), "not-served", nowMs);
  }

  /** Who may be told of whom, from now on. */
  restrict(rule: IntroductionRule): void {
    this.#introductions.restrict(rule);
  }

  /** Tells `hearer` of `announced`, as far as the rule allows it. */
  introduce(announced: Participant, hearer: Participant, nowMs: number): void {
    this.#introductions.introduce(announced, hearer, nowMs);
  }

  /** A message to a participant, at each of its endpoints. */
  send({ domainId, endpoints }: Participant, message: Uint8Array): void {
    for (const endpoint of endpoints) {
      if (this.#sources.find(endpoint.address)?.isAllowed !== true) continue;
      this.#edge.send(message, endpoint, domainId);
      this.#sentToParticipants++;
    }
  }

  /** Above all that the participant has sent: for a message in its name that all peers believe. */
  nextSn(participant: Participant): bigint {
    return this.#table.nextSn(participant);
  }

  /** Sends what is due. @returns after how many milliseconds to call again, if nothing happens before. */
  advance(nowMs: number): number {
    return this.#introductions.advance(nowMs);
  }

  /** @returns what became of the datagram. */
  #judge(datagram: Uint8Array, from: string, domainId: number, nowMs: number): string {
    const source = this.#sources.find(from);
    if (source === undefined) return "not-allowed" satisfies Refusal;
    const isSister = this.#settings.sisters.has(source.address);
    if (!isSister) {
      if (!source.isAllowed) return "not-allowed" satisfies Refusal;
      if (!this.#rates.take(source.address, this.#table.knows(source.address), nowMs)) return "rate";
    }
    const said = readDatagram(datagram);
    if (said.kind === "disregarded") return said.reason;
    const arrival = { source, domainId, isSister };
    const heard =
      said.kind === "announcement"
        ? this.#table.announce(said, arrival, nowMs)
        : this.#table.depart(said, arrival, nowMs);
    if (heard.type === "refused") return heard.reason;
    if (heard.type === "renewed") this.#introductions.renewed(heard.participant, nowMs);
    else this.#tell(heard, nowMs);
    return heard.type;
  }

  #allGone(participants: readonly Participant[], reason: GoneReason, nowMs: number): void {
    for (const participant of participants) this.#tell({ type: "gone", participant, reason }, nowMs);
  }

  /** Others first: what they decide of a participant is to hold when it is introduced. */
  #tell(event: ParticipantEvent, nowMs: number): void {
    this.#edge.onEvent(event);
    this.#introductions.tell(event, nowMs);
  }
}
