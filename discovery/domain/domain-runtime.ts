import { portsOf } from "rtps-wire";
import type { DiscoveryDomain } from "#shared/api/discovery-domain.ts";
import { FAMILIES, type Family, familyOf } from "#shared/net/ip.ts";
import { Balancer, type GroupsWanted } from "../groups/balancer.ts";
import type { LocalInterface } from "../network-interfaces.ts";
import type { PodOwners } from "../relay/participant-table.ts";
import { Relay } from "../relay/relay.ts";
import { DomainSockets } from "../sockets/domain-sockets.ts";
import type { Participant, ParticipantEvent } from "./participant.ts";
import { domainsOf, ownAddresses, relaySettings } from "./relay-settings.ts";

export interface DomainRuntimeOptions {
  readonly object: DiscoveryDomain;
  /** Pod of this relay. */
  readonly relayName: string;
  readonly interfaces: readonly LocalInterface[];
  readonly owners: PodOwners;
  /** Monotonic. */
  readonly nowMs: () => number;
  /** Evenly from [0, 1). */
  readonly random: () => number;
  /** Participants were assigned to members of service groups, or moved; urgent when somebody is kept from somebody. */
  readonly onAssigned: (isUrgent: boolean) => void;
}

export interface DomainStatus {
  readonly sockets: number;
  readonly participants: readonly {
    readonly guidPrefix: string;
    readonly domainId: number;
    readonly domainTag: string;
    readonly name: string;
    readonly source: string;
    readonly heardFrom: "participant" | "sister";
    readonly network?: string;
    readonly pod?: string;
  }[];
  /** What came in, by what became of it. */
  readonly datagrams: Readonly<Record<string, number>>;
  /** Datagrams to participants and sisters. Failed: of these, the kernel would not. Dropped: too many waited. */
  readonly sent: {
    readonly participants: number;
    readonly sisters: number;
    readonly failed: number;
    readonly dropped: number;
  };
  readonly problems: readonly string[];
}

/**
 * One DiscoveryDomain at work: its sockets, the participants that are heard there, and their introductions to each other.
 * What else is to be done about them is told by {@link subscribe} and done elsewhere.
 */
export class DomainRuntime {
  /** `namespace/name` of the object. */
  readonly name: string;
  readonly #options: DomainRuntimeOptions;
  readonly #sockets: DomainSockets;
  readonly #relay: Relay;
  /** Service groups: who may be told of whom. */
  readonly groups: Balancer;
  readonly #listeners = new Set<(event: ParticipantEvent) => void>();
  #object: DiscoveryDomain;
  #interfaces: readonly LocalInterface[];
  #timer: NodeJS.Timeout | undefined;
  #soon: NodeJS.Immediate | undefined;
  #wakeAtMs = 0;
  #isClosed = false;

  constructor(options: DomainRuntimeOptions) {
    this.#options = options;
    const { object, interfaces, onAssigned, owners, nowMs, random, relayName } = options;
    this.name = `${object.metadata.namespace}/${object.metadata.name}`;
    this.#object = object;
    this.#interfaces = interfaces;
    this.#sockets = new DomainSockets({
      onDatagram: (datagram, from, domainId) => {
        const isParticipant = this.#relay.hear(datagram, from, domainId, nowMs());
        this.#advanceSoon();
        return isParticipant;
      },
    });
    const edge = {
      send: (message: Uint8Array, to: { readonly address: string; readonly port: number }, domainId: number): void => {
        this.#sockets.queue(domainId, to.address.includes(":") ? 6 : 4, message, to);
      },
      sendToSister: (message: Uint8Array, address: string, domainId: number): void => {
        const port = portsOf(domainId).metatrafficMulticast;
        this.#sockets.send(domainId, address.includes(":") ? 6 : 4, message, { address, port });
      },
      onEvent: (event: ParticipantEvent): void => {
        this.groups.see(event, nowMs());
        for (const listener of this.#listeners) listener(event);
      },
      owners,
      random,
    };
    this.#relay = new Relay(relaySettings(object, interfaces), edge, nowMs());
    this.groups = new Balancer({ name: relayName, relay: this.#relay, onChange: onAssigned });
    this.#relay.restrict((announced, hearer) => this.groups.allows(announced, hearer));
    this.#listen();
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
    return this.#relay.participants();
  }

  /** Calls back for each participant that comes, changes or goes, before others are told of it. @returns what ends it. */
  subscribe(listener: (event: ParticipantEvent) => void): () => void {
    this.#listeners.add(listener);
    return () => void this.#listeners.delete(listener);
  }

  /** The service groups as they are now, to be called before anything is heard. */
  balance(wanted: GroupsWanted): void {
    this.groups.apply(wanted, this.#options.nowMs());
    this.#advance();
  }

  /** Another object of the same name, or other interfaces. */
  update(object: DiscoveryDomain, interfaces: readonly LocalInterface[]): void {
    if (this.#object !== object || JSON.stringify(this.#interfaces) !== JSON.stringify(interfaces)) {
      this.#object = object;
      this.#interfaces = interfaces;
      this.#relay.configure(relaySettings(object, interfaces), this.#options.nowMs());
    }
    this.#listen();
    this.#advance();
  }

  /** A pod has ended: its participants are gone, whatever their leases say. */
  podEnded(pod: string): void {
    this.#relay.podEnded(pod, this.#options.nowMs());
    this.#advance();
  }

  /** A pod has come, or has other addresses than before. */
  podsChanged(): void {
    this.#relay.podsChanged(this.#options.nowMs());
    this.#advance();
  }

  /** To be called once a second: leases run out. */
  tick(): void {
    this.#relay.expire(this.#options.nowMs());
    this.#advance();
  }

  /** Whether every socket is open. */
  listens(): boolean {
    return this.#sockets.listens;
  }

  status(): DomainStatus {
    const { heard, dropped, sentToParticipants, sentToSisters } = this.#relay.counts();
    return {
      sockets: this.#sockets.count,
      participants: [...this.#relay.participants()].map(
        ({ data, domainId, domainTag, guidPrefix, heardFrom, network, pod, source }) => ({
          guidPrefix,
          domainId,
          domainTag,
          name: data.entityName ?? "",
          source,
          heardFrom,
          ...(network === undefined ? {} : { network }),
          ...(pod === undefined ? {} : { pod }),
        }),
      ),
      datagrams: heard,
      sent: {
        participants: sentToParticipants,
        sisters: sentToSisters,
        failed: this.#sockets.sendFailures,
        dropped,
      },
      problems: [...this.#missingInterfaces(), ...this.#sockets.problems()],
    };
  }

  close(): void {
    this.#isClosed = true;
    clearTimeout(this.#timer);
    clearImmediate(this.#soon);
    this.#sockets.close();
    this.#listeners.clear();
  }

  #listen(): void {
    const { spec } = this.#object;
    this.#sockets.apply({
      domains: domainsOf(this.#object),
      listenAddresses: spec.listenAddresses,
      multicastInterfaces: this.#interfaces.filter(({ name }) =>
        spec.networks.some((network) => network.interface === name && network.multicast === "Join"),
      ),
      families: familiesOf(this.#interfaces),
      ownAddresses: ownAddresses(this.#object, this.#interfaces),
    });
  }

  #missingInterfaces(): readonly string[] {
    return this.#object.spec.networks.flatMap(({ interface: device }, index) =>
      this.#interfaces.some(({ name }) => name === device)
        ? []
        : [`spec.networks[${index}].interface: the relay has no interface ${device}; attach its pod to the network`],
    );
  }

  /** When all that has come in was heard: hundreds of participants may announce themselves at once. */
  #advanceSoon(): void {
    this.#soon ??= setImmediate(() => {
      this.#soon = undefined;
      this.#advance();
    });
  }

  /** Sends what is due, now and when more is. */
  #advance(): void {
    if (this.#isClosed) return;
    const nowMs = this.#options.nowMs();
    const groupsMs = this.groups.advance(nowMs);
    const inMs = Math.min(groupsMs ?? Number.POSITIVE_INFINITY, this.#relay.advance(nowMs));
    this.#sockets.flush();
    if (inMs === 0) {
      this.#advanceSoon();
      return;
    }
    if (this.#timer !== undefined && this.#wakeAtMs <= nowMs + inMs) return;
    clearTimeout(this.#timer);
    this.#wakeAtMs = nowMs + inMs;
    this.#timer = setTimeout(() => {
      this.#timer = undefined;
      this.#advance();
    }, inMs);
  }
}

function familiesOf(interfaces: readonly LocalInterface[]): ReadonlySet<Family> {
  const addresses = interfaces.flatMap((one) => one.addresses);
  return new Set(FAMILIES.filter((family) => addresses.some(({ address }) => familyOf(address) === family)));
}
