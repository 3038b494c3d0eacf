import type { DiscoveryDomain } from "#shared/api/discovery-domain.ts";
import { FAMILIES, type Family, familyOf } from "#shared/net/ip.ts";
import type { Log } from "#shared/process/log.ts";
import { interfacesOf, type LocalInterface } from "../network-interfaces.ts";
import { readDatagram } from "../relay/announcement.ts";
import { type Heard, ParticipantTable, type PodOwners, type Refusal, type Served } from "../relay/participant-table.ts";
import { Rates } from "../relay/rates.ts";
import { SourceBook } from "../relay/source-book.ts";
import { DomainSockets } from "../sockets/domain-sockets.ts";
import type { Participant, ParticipantEvent } from "./participant.ts";

export interface DomainRuntimeOptions {
  readonly object: DiscoveryDomain;
  readonly interfaces: readonly LocalInterface[];
  readonly owners: PodOwners;
  readonly log: Log;
  /** Monotonic. */
  readonly nowMs: () => number;
}

/** Datagrams since the start, by what became of them. */
type DatagramCounts = Readonly<Record<string, number>>;

export interface DomainStatus {
  readonly sockets: number;
  readonly participants: readonly {
    readonly guidPrefix: string;
    readonly domainId: number;
    readonly domainTag: string;
    readonly name: string;
    readonly source: string;
    readonly network?: string;
    readonly pod?: string;
  }[];
  readonly datagrams: DatagramCounts;
  readonly problems: readonly string[];
}

/**
 * One DiscoveryDomain at work: its sockets, and the participants that are heard there. What is to be done about them
 * (introducing, observing, groups, fan-out) is told by {@link subscribe} and done elsewhere.
 */
export class DomainRuntime {
  /** `namespace/name` of the object. */
  readonly name: string;
  readonly #options: DomainRuntimeOptions;
  readonly #sockets: DomainSockets;
  readonly #table: ParticipantTable;
  readonly #listeners = new Set<(event: ParticipantEvent) => void>();
  readonly #counts = new Map<string, number>();
  #object: DiscoveryDomain;
  #interfaces: readonly LocalInterface[] = [];
  #sources: SourceBook;
  #rates: Rates;

  constructor(options: DomainRuntimeOptions) {
    this.#options = options;
    const { object, interfaces, owners, nowMs } = options;
    this.name = `${object.metadata.namespace}/${object.metadata.name}`;
    this.#object = object;
    this.#sources = sourcesOf(object, interfaces);
    this.#rates = new Rates(object.spec.limits, nowMs());
    this.#table = new ParticipantTable(servedOf(object), this.#sources, owners);
    this.#sockets = new DomainSockets({ onDatagram: (...arrived) => this.#hear(...arrived) });
    this.update(object, interfaces);
  }

  /** The object as it is now. */
  get object(): DiscoveryDomain {
    return this.#object;
  }

  /** The relay's interfaces as they are now, those of no network of the object included. */
  get interfaces(): readonly LocalInterface[] {
    return this.#interfaces;
  }

  /** Those that are there now, whoever is told of them later. */
  participants(): Iterable<Participant> {
    return this.#table.participants();
  }

  /** Calls back for each participant that comes, changes or goes, one after the other. @returns what ends it. */
  subscribe(listener: (event: ParticipantEvent) => void): () => void {
    this.#listeners.add(listener);
    return () => void this.#listeners.delete(listener);
  }

  /** Sends a message to a participant, at each of its endpoints that may be sent to, from the domain's port. */
  send({ domainId, endpoints }: Participant, message: Uint8Array): void {
    for (const endpoint of endpoints) {
      if (this.#sources.find(endpoint.address)?.isAllowed !== true) continue;
      this.#sockets.send(domainId, endpoint.address.includes(":") ? 6 : 4, message, endpoint);
    }
  }

  /** Above all that the participant has sent: for a message in its name that all peers believe. */
  nextSn(participant: Participant): bigint {
    return this.#table.nextSn(participant);
  }

  /** Another object of the same name, or other interfaces. */
  update(object: DiscoveryDomain, interfaces: readonly LocalInterface[]): void {
    const before = this.#object;
    const isSame = before === object && sameInterfaces(this.#interfaces, interfaces);
    this.#object = object;
    this.#interfaces = interfaces;
    if (!isSame) {
      this.#sources = sourcesOf(object, interfaces);
      if (before !== object) this.#rates = new Rates(object.spec.limits, this.#options.nowMs());
      const gone = this.#table.serve(servedOf(object), this.#sources);
      for (const participant of gone) this.#tell({ type: "gone", participant, reason: "not-served" });
    }
    this.#sockets.apply({
      domains: servedOf(object).domains,
      listenAddresses: object.spec.listenAddresses,
      multicastInterfaces: interfaces.filter(({ name }) =>
        object.spec.networks.some((network) => network.interface === name && network.multicast === "Join"),
      ),
      families: familiesOf(interfaces),
    });
  }

  /** A pod has ended: its participants are gone, whatever their leases say. */
  podEnded(pod: string): void {
    for (const participant of this.#table.podGone(pod, this.#options.nowMs())) {
      this.#tell({ type: "gone", participant, reason: "pod-gone" });
    }
  }

  /** A pod has come, or has other addresses than before. */
  podsChanged(): void {
    for (const participant of this.#table.findOwners()) this.#tell({ type: "changed", participant });
  }

  /** To be called once a second and more: leases run out. */
  tick(): void {
    for (const participant of this.#table.expire(this.#options.nowMs())) {
      this.#tell({ type: "gone", participant, reason: "lease-expired" });
    }
  }

  /** Whether every socket is open. */
  listens(): boolean {
    return this.#sockets.listens;
  }

  status(): DomainStatus {
    return {
      sockets: this.#sockets.count,
      participants: [...this.#table.participants()].map(
        ({ data, domainId, domainTag, guidPrefix, network, pod, source }) => ({
          guidPrefix,
          domainId,
          domainTag,
          name: data.entityName ?? "",
          source,
          ...(network === undefined ? {} : { network }),
          ...(pod === undefined ? {} : { pod }),
        }),
      ),
      datagrams: Object.fromEntries(this.#counts),
      problems: [...this.#missingInterfaces(), ...this.#sockets.problems()],
    };
  }

  close(): void {
    this.#sockets.close();
    this.#listeners.clear();
  }

  #missingInterfaces(): readonly string[] {
    return this.#object.spec.networks.flatMap(({ interface: device }, index) =>
      this.#interfaces.some(({ name }) => name === device)
        ? []
        : [`spec.networks[${index}].interface: the relay has no interface ${device}; attach its pod to the network`],
    );
  }

  #hear(datagram: Uint8Array, from: string, domainId: number): void {
    this.#count(this.#judge(datagram, from, domainId));
  }

  /** @returns what became of the datagram. */
  #judge(datagram: Uint8Array, from: string, domainId: number): string {
    const source = this.#sources.find(from);
    if (source?.isAllowed !== true) return "not-allowed" satisfies Refusal;
    const nowMs = this.#options.nowMs();
    if (!this.#rates.take(source.address, this.#table.knows(source.address), nowMs)) return "rate";
    const said = readDatagram(datagram);
    if (said.kind === "disregarded") return said.reason;
    const arrival = { source, domainId };
    const heard: Heard =
      said.kind === "announcement"
        ? this.#table.announce(said, arrival, nowMs)
        : this.#table.depart(said, arrival, nowMs);
    if (heard.type === "refused") return heard.reason;
    if (heard.type !== "renewed") this.#tell(heard);
    return heard.type;
  }

  #tell(event: ParticipantEvent): void {
    for (const listener of this.#listeners) listener(event);
  }

  #count(what: string): void {
    this.#counts.set(what, (this.#counts.get(what) ?? 0) + 1);
  }
}

function sourcesOf(object: DiscoveryDomain, interfaces: readonly LocalInterface[]): SourceBook {
  return new SourceBook(interfacesOf(object, interfaces), object.spec.allowedSources);
}

function servedOf({ spec }: DiscoveryDomain): Served {
  const domains = spec.domains.flatMap(({ from, to }) => Array.from({ length: to - from + 1 }, (_, at) => from + at));
  const { participants, participantsPerAddress, announcementOctets } = spec.limits;
  return {
    domains: new Set(domains),
    tags: spec.tags === undefined ? undefined : new Set(spec.tags),
    participants,
    participantsPerAddress,
    announcementOctets,
  };
}

function familiesOf(interfaces: readonly LocalInterface[]): ReadonlySet<Family> {
  const addresses = interfaces.flatMap((one) => one.addresses);
  return new Set(FAMILIES.filter((family) => addresses.some(({ address }) => familyOf(address) === family)));
}

function sameInterfaces(a: readonly LocalInterface[], b: readonly LocalInterface[]): boolean {
  return JSON.stringify(a) === JSON.stringify(b);
}
