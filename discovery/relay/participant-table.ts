import { durationToMs, ENTITY_ID, type Locator, type ReadParticipantData, RtpsParseError } from "rtps-wire";
import { type Ip, parseIp } from "#shared/net/ip.ts";
import type { GoneReason, Participant } from "../domain/participant.ts";
import { type Announcement, type Departure, readDatagram } from "./announcement.ts";
import type { Source, SourceBook } from "./source-book.ts";

/** What is served: RTPS domains, tags, and how many participants. */
export interface Served {
  readonly domains: ReadonlySet<number>;
  /** Undefined: any. */
  readonly tags: ReadonlySet<string> | undefined;
  readonly participants: number;
  readonly participantsPerAddress: number;
  readonly announcementOctets: number;
}

/** Where a datagram came in. */
export interface Arrival {
  readonly source: Source;
  /** By the port at which it arrived: Fast DDS announces no domain. */
  readonly domainId: number;
  /** It comes from another relay, which has judged what the participant said. */
  readonly isSister: boolean;
}

/** Which pod has an address. */
export interface PodOwners {
  /** `namespace/name`; undefined where no pod has it, or several have. */
  ownerOf(address: Ip, network: string | undefined): string | undefined;
}

export type Refusal =
  | "malformed"
  | "contradictory"
  | "not-allowed"
  | "other-domain"
  | "other-tag"
  | "not-its-address"
  | "taken"
  | "too-long"
  | "table-full"
  | "too-much-news"
  | "resting"
  | "unknown-participant";

export type Heard =
  | { readonly type: "renewed"; readonly participant: Participant }
  | { readonly type: "seen" | "changed"; readonly participant: Participant }
  | {
      readonly type: "gone";
      readonly participant: Participant;
      readonly reason: GoneReason;
      readonly message: Uint8Array;
    }
  | { readonly type: "refused"; readonly reason: Refusal };

interface Entry {
  participant: Participant;
  /** Addresses that it has sent from. */
  readonly sources: Set<Ip>;
  readonly portDomainId: number;
  /** Of all that it has sent. */
  lastSn: bigint;
  leaseMs: number;
  heardMs: number;
}

/** Announcements of before the end arrive after it; so long none is believed. */
interface Rest {
  readonly untilMs: number;
  /** Announcements above this one are new: the participant is there after all. Undefined: its pod has ended. */
  readonly afterSn: bigint | undefined;
}

/** RTPS 9.6.3.2: the default of the lease duration. */
const DEFAULT_LEASE_MS = 100_000;
/** Who announces a longer one is believed to be there for so long after the last announcement. */
const LONGEST_LEASE_MS = 600_000;
const SHORTEST_LEASE_MS = 1_000;
const REST_MS = 10_000;
const MOST_RESTING = 20_000;
/** Of one participant that are sent to. */
const MOST_ENDPOINTS = 4;
/** RTPS sequence numbers are signed: one above this cannot be followed by another. */
const LAST_SN = 2n ** 63n - 2n;

const refused = (reason: Refusal): Heard => ({ type: "refused", reason });

function sameOctets(a: Uint8Array, b: Uint8Array): boolean {
  return Buffer.compare(a, b) === 0;
}

/** The participants that were heard. Time is handed in; nothing is sent. */
export class ParticipantTable {
  readonly #owners: PodOwners;
  readonly #allowsNews: (source: Ip, nowMs: number) => boolean;
  #served: Served;
  #sources: SourceBook;
  readonly #entries = new Map<string, Entry>();
  /** By GUID prefix: of several domains and tags. */
  readonly #byPrefix = new Map<string, Set<Entry>>();
  readonly #bySource = new Map<Ip, number>();
  readonly #resting = new Map<string, Rest>();

  /** @param allowsNews whether an address may bring one more announcement that others are to be told of. */
  constructor(
    served: Served,
    sources: SourceBook,
    owners: PodOwners,
    allowsNews: (source: Ip, nowMs: number) => boolean,
  ) {
    this.#served = served;
    this.#sources = sources;
    this.#owners = owners;
    this.#allowsNews = allowsNews;
  }

  get size(): number {
    return this.#entries.size;
  }

  *participants(): Generator<Participant> {
    for (const { participant } of this.#entries.values()) yield participant;
  }

  /** Whether a participant has sent from the address. */
  knows(address: Ip): boolean {
    return this.#bySource.has(address);
  }

  /** Above all that the participant has sent: of a message in its name that all peers believe. */
  nextSn({ key, writerSn }: Participant): bigint {
    const last = this.#entries.get(key)?.lastSn ?? writerSn;
    return (last > LAST_SN ? LAST_SN : last) + 1n;
  }

  announce(said: Announcement, arrival: Arrival, nowMs: number): Heard {
    if (!arrival.isSister && !arrival.source.isAllowed) return refused("not-allowed");
    const known = this.#sameAgain(said, arrival);
    if (known !== undefined) {
      known.heardMs = nowMs;
      if (said.writerSn > known.lastSn) known.lastSn = said.writerSn;
      return { type: "renewed", participant: known.participant };
    }
    let data: ReadParticipantData;
    try {
      data = said.read();
    } catch (error) {
      if (!(error instanceof RtpsParseError)) throw error;
      return refused("malformed");
    }
    return this.#admit(said, data, arrival, nowMs);
  }

  depart(said: Departure, arrival: Arrival, nowMs: number): Heard {
    const { guidPrefix, writerSn } = said;
    const { domainId, isSister, source } = arrival;
    const named = [...(this.#byPrefix.get(guidPrefix) ?? [])].filter(
      ({ portDomainId, participant }) => portDomainId === domainId || participant.domainId === domainId,
    );
    if (named.length === 0) return refused("unknown-participant");
    const entry = named.find((candidate) => isSister || this.#isFrom(candidate, source));
    if (entry === undefined) return refused("taken");
    if (writerSn > entry.lastSn) entry.lastSn = writerSn;
    const participant = this.#remove(entry);
    this.#rest(participant, { untilMs: nowMs + REST_MS, afterSn: participant.writerSn });
    return { type: "gone", participant, reason: "departed", message: said.copy() };
  }

  /** Those of a pod that has ended. */
  podGone(pod: string, nowMs: number): readonly Participant[] {
    const gone = this.#removeAll(({ participant }) => participant.pod === pod);
    for (const participant of gone) this.#rest(participant, { untilMs: nowMs + REST_MS, afterSn: undefined });
    return gone;
  }

  /** Those whose lease has run out. */
  expire(nowMs: number): readonly Participant[] {
    for (const [key, { untilMs }] of this.#resting) if (untilMs <= nowMs) this.#resting.delete(key);
    return this.#removeAll(({ heardMs, leaseMs }) => nowMs - heardMs > leaseMs);
  }

  /** Other limits, networks or sources. @returns those that are served no longer. */
  serve(served: Served, sources: SourceBook): readonly Participant[] {
    this.#served = served;
    this.#sources = sources;
    return this.#removeAll(({ participant: { domainId, domainTag, heardFrom, source } }) => {
      const isServed = served.domains.has(domainId) && (served.tags?.has(domainTag) ?? true);
      return !isServed || (heardFrom === "participant" && sources.find(source)?.isAllowed !== true);
    });
  }

  /** A pod has come, or has other addresses. @returns the participants that turn out to be its own. */
  findOwners(): readonly Participant[] {
    const found: Participant[] = [];
    for (const entry of this.#entries.values()) {
      const { participant } = entry;
      const pod = this.#podOf(
        participant.source,
        participant.network,
        endpointsOf(participant.data.metatrafficUnicast),
      );
      if (pod === participant.pod || pod === undefined) continue;
      entry.participant = { ...participant, pod };
      found.push(entry.participant);
    }
    return found;
  }

  /** The entry that announced just this, from just there. */
  #sameAgain({ guidPrefix, payload }: Announcement, { source, domainId, isSister }: Arrival): Entry | undefined {
    for (const entry of this.#byPrefix.get(guidPrefix) ?? []) {
      const { announcement, heardFrom } = entry.participant;
      if (entry.portDomainId !== domainId) continue;
      if (isSister ? heardFrom !== "sister" : !entry.sources.has(source.address)) continue;
      // The payload is the end of the announcement.
      if (sameOctets(announcement.subarray(announcement.length - payload.length), payload)) return entry;
    }
    return undefined;
  }

  #admit(said: Announcement, data: ReadParticipantData, arrival: Arrival, nowMs: number): Heard {
    const { isSister } = arrival;
    const domainId = data.domainId ?? arrival.domainId;
    const domainTag = data.domainTag ?? "";
    const key = `${domainId} ${said.guidPrefix} ${domainTag}`;
    const known = this.#entries.get(key);
    const announced = endpointsOf(data.metatrafficUnicast);
    const source = isSister ? this.#placeOf(announced) : arrival.source;
    const reason = this.#objection(said, data, domainId, domainTag);
    if (reason !== undefined) return refused(reason);
    if (source === undefined) return refused("not-its-address");
    if (known !== undefined && isSister && known.participant.heardFrom === "participant") {
      // What it says itself counts, for as long as it says anything.
      return { type: "renewed", participant: known.participant };
    }
    if (known !== undefined && !isSister && !this.#isFrom(known, source)) return refused("taken");
    const pod = this.#owners.ownerOf(source.address, source.network);
    const isOwn = (address: Ip): boolean => this.#isOf(address, source, pod);
    if (!isSister && !announced.some(({ ip }) => isOwn(ip))) return refused("not-its-address");
    const rest = this.#resting.get(key);
    if (rest !== undefined && rest.untilMs > nowMs && (rest.afterSn === undefined || said.writerSn <= rest.afterSn)) {
      return refused("resting");
    }
    if (known === undefined && !this.#hasRoom(source.address)) return refused("table-full");
    if (!isSister && !this.#allowsNews(source.address, nowMs)) return refused("too-much-news");
    const sources = new Set(isSister ? [] : [...(known?.sources ?? []), source.address]);
    // A sister does not say from which address it heard; where there is only one, it is that.
    const isReached = (ip: Ip): boolean =>
      isSister
        ? announced.every((other) => other.ip === ip) || (pod !== undefined && isOwn(ip))
        : sources.has(ip) || isOwn(ip);
    const reachable = announced.filter(({ ip }) => isReached(ip)).slice(0, MOST_ENDPOINTS);
    const participant = participantOf(said, {
      key,
      domainId,
      domainTag,
      endpoints: reachable.map(({ ip, port }) => ({ address: zoned(ip, source.zone), port })),
      source: source.address,
      heardFrom: isSister ? "sister" : "participant",
      network: source.network,
      pod: pod ?? this.#podOf(source.address, source.network, announced),
    });
    if (known !== undefined) this.#remove(known);
    this.#add({
      participant,
      sources: new Set([...sources].filter((address) => announced.some(({ ip }) => ip === address) || isOwn(address))),
      portDomainId: arrival.domainId,
      lastSn: known === undefined || said.writerSn > known.lastSn ? said.writerSn : known.lastSn,
      leaseMs: leaseMsOf(data),
      heardMs: nowMs,
    });
    return { type: known === undefined ? "seen" : "changed", participant };
  }

  #objection(
    { guidPrefix, payload }: Announcement,
    { guid }: ReadParticipantData,
    domainId: number,
    domainTag: string,
  ): Refusal | undefined {
    const { domains, tags, announcementOctets } = this.#served;
    if (guid.prefix !== guidPrefix || guid.entityId !== ENTITY_ID.participant) return "contradictory";
    if (!domains.has(domainId)) return "other-domain";
    if (tags !== undefined && !tags.has(domainTag)) return "other-tag";
    return payload.length > announcementOctets ? "too-long" : undefined;
  }

  /** Where a participant is that a sister has heard: at the first of its locators that may be sent to. */
  #placeOf(announced: readonly { readonly ip: Ip }[]): Source | undefined {
    const places = announced.flatMap(({ ip }) => this.#sources.find(ip) ?? []);
    return places.find(({ isAllowed }) => isAllowed) ?? places[0];
  }

  /**
   * The pod that a participant ends with. Nobody lists link-local addresses of pods: there it is the one whose addresses it
   * announces, which proves nothing but that it wants to end with that pod.
   */
  #podOf(source: Ip, network: string | undefined, announced: readonly { readonly ip: Ip }[]): string | undefined {
    if (!isLinkLocal(source)) return this.#owners.ownerOf(source, network);
    const pods = new Set(announced.flatMap(({ ip }) => this.#owners.ownerOf(ip, network) ?? []));
    const [pod] = pods;
    return pods.size === 1 ? pod : undefined;
  }

  /** Whether an address is the source's own, or another one of the pod that has the source's. */
  #isOf(address: Ip, source: Source, pod: string | undefined): boolean {
    if (address === source.address) return true;
    if (pod === undefined) return false;
    const other = this.#sources.find(address);
    return other?.isAllowed === true && this.#owners.ownerOf(address, other.network) === pod;
  }

  /** Whether what comes from there may speak for a participant that is known. */
  #isFrom({ participant, sources }: Entry, source: Source): boolean {
    if (sources.has(source.address)) return true;
    if (endpointsOf(participant.data.metatrafficUnicast).some(({ ip }) => ip === source.address)) return true;
    const pod = this.#owners.ownerOf(participant.source, participant.network);
    return pod !== undefined && this.#owners.ownerOf(source.address, source.network) === pod;
  }

  #hasRoom(address: Ip): boolean {
    const { participants, participantsPerAddress } = this.#served;
    return this.#entries.size < participants && (this.#bySource.get(address) ?? 0) < participantsPerAddress;
  }

  #add(entry: Entry): void {
    const { key, guidPrefix, source } = entry.participant;
    this.#entries.set(key, entry);
    const same = this.#byPrefix.get(guidPrefix) ?? new Set();
    this.#byPrefix.set(guidPrefix, same.add(entry));
    this.#bySource.set(source, (this.#bySource.get(source) ?? 0) + 1);
  }

  /** @returns the participant, with the highest sequence number that it has sent. */
  #remove(entry: Entry): Participant {
    const { key, guidPrefix, source } = entry.participant;
    this.#entries.delete(key);
    const same = this.#byPrefix.get(guidPrefix);
    same?.delete(entry);
    if (same?.size === 0) this.#byPrefix.delete(guidPrefix);
    const count = (this.#bySource.get(source) ?? 1) - 1;
    if (count > 0) this.#bySource.set(source, count);
    else this.#bySource.delete(source);
    return { ...entry.participant, writerSn: entry.lastSn };
  }

  #removeAll(which: (entry: Entry) => boolean): readonly Participant[] {
    return [...this.#entries.values()].filter(which).map((entry) => this.#remove(entry));
  }

  #rest({ key }: Participant, rest: Rest): void {
    const [oldest] = this.#resting.keys();
    if (this.#resting.size >= MOST_RESTING && oldest !== undefined) this.#resting.delete(oldest);
    this.#resting.set(key, rest);
  }
}

/** The locators that a datagram over UDP can be sent to. */
function endpointsOf(locators: readonly Locator[]): readonly { readonly ip: Ip; readonly port: number }[] {
  return locators.flatMap((locator) => {
    const address = locator.kind === "other" ? undefined : parseIp(locator.address);
    const { port } = locator;
    return address === undefined || port < 1 || port > 65_535 ? [] : [{ ip: address, port }];
  });
}

function isLinkLocal(address: Ip): boolean {
  return /^fe[89ab]/.test(address);
}

/** A link-local address means something on its own link only. */
function zoned(address: Ip, zone: string | undefined): string {
  return zone !== undefined && isLinkLocal(address) ? `${address}%${zone}` : address;
}

function leaseMsOf({ leaseDuration }: ReadParticipantData): number {
  const leaseMs = leaseDuration === undefined ? DEFAULT_LEASE_MS : durationToMs(leaseDuration);
  return Math.min(LONGEST_LEASE_MS, Math.max(SHORTEST_LEASE_MS, leaseMs));
}

/** With memory of its own: the datagram's is used for the next one. */
function participantOf(
  { header, guidPrefix, writerSn, copy }: Announcement,
  about: Omit<Participant, "header" | "guidPrefix" | "writerSn" | "data" | "announcement">,
): Participant {
  const announcement = copy();
  const own = readDatagram(announcement);
  if (own.kind !== "announcement") throw new Error("an announcement's copy is not an announcement");
  return { ...about, header, guidPrefix, writerSn, data: own.read(), announcement };
}
