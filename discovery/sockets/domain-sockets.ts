import type { Socket } from "node:dgram";
import { type BatchSocket, DatagramBatch, type OutgoingDatagram } from "#shared/kernel/datagram-batch.ts";
import { KernelError } from "#shared/kernel/kernel-error.ts";
import { socketAddress } from "#shared/kernel/socket-address.ts";
import { type Family, parseIp } from "#shared/net/ip.ts";
import type { Endpoint } from "../domain/participant.ts";
import { chooseVoice } from "./choose-voice.ts";
import { openSocket } from "./open-socket.ts";
import { type Membership, type OwnAddress, planSockets, type SocketsSpec, type WantedSocket } from "./plan-sockets.ts";

export interface DomainSocketsOptions {
  /** A datagram that came in; the octets are the receiver's to keep. @returns whether a participant has spoken. */
  readonly onDatagram: (datagram: Uint8Array, from: string, domainId: number) => boolean;
}

interface OpenSocket {
  wanted: WantedSocket;
  readonly socket: Socket;
}

interface Queued extends OutgoingDatagram {
  readonly endpoint: Endpoint;
}

/** How datagrams get to an address. */
interface Way {
  readonly sender: Sender;
  /** By port: the place as the kernel takes it. */
  readonly places: Map<number, Uint8Array>;
}

/** A socket that datagrams leave by. */
interface Sender extends BatchSocket {
  readonly socket: Socket;
  queued: Queued[];
}

/** Hundreds of participants announce themselves at once; the kernel gives as much of it as net.core.rmem_max allows. */
const BUFFER_OCTETS = 4 * 1024 * 1024;

/** Addresses of participants of which is known where they are heard; the one that came first goes when there are more. */
const MOST_HEARD = 10_000;

/** Destinations whose ways are remembered, of a domain; they are found anew when there are more. */
const MOST_WAYS = 10_000;

/** Of one address. */
const MOST_PORTS = 256;

const codeOf = (error: unknown): string =>
  error instanceof Error && "code" in error && typeof error.code === "string" ? error.code : "";

/** The UDP sockets of a DiscoveryDomain. */
export class DomainSockets {
  readonly #options: DomainSocketsOptions;
  readonly #open = new Map<string, OpenSocket>();
  /** What cannot be opened or joined, by what. */
  readonly #problems = new Map<string, string>();
  /** By domain and family: the sockets that may send, by their address. */
  readonly #senders = new Map<string, Map<string, Sender>>();
  /** By domain and who spoke: at which of our addresses. */
  readonly #heardAt = new Map<string, string>();
  /** By domain and destination; forgotten with every change of what they follow from. */
  readonly #ways = new Map<number, Map<string, Way>>();
  readonly #batch = new DatagramBatch<Queued>();
  /** Those with something to send. */
  readonly #busy = new Set<Sender>();
  #own: readonly OwnAddress[] = [];
  #wanted: ReadonlySet<string> = new Set();
  #sendFailures = 0;

  constructor(options: DomainSocketsOptions) {
    this.#options = options;
  }

  /** Sockets that listen. */
  get count(): number {
    return [...this.#open.values()].filter(({ wanted }) => !wanted.isExtra).length;
  }

  /** Whether every socket that is wanted is open. */
  get listens(): boolean {
    return this.#wanted.size > 0 && this.count === this.#wanted.size;
  }

  get sendFailures(): number {
    return this.#sendFailures;
  }

  problems(): readonly string[] {
    return [...new Set(this.#problems.values())];
  }

  /** Opens and closes sockets, and joins groups. Level-triggered: what failed is tried again by the next call. */
  apply(spec: SocketsSpec): void {
    const wanted = new Map(planSockets(spec).map((socket) => [socket.key, socket]));
    this.#wanted = new Set([...wanted.values()].flatMap(({ isExtra, key }) => (isExtra ? [] : [key])));
    const own = spec.ownAddresses.map(({ address }) => address).join();
    if (own !== this.#own.map(({ address }) => address).join()) this.#ways.clear();
    this.#own = spec.ownAddresses;
    // The number of an interface is in what goes by one, and changes when it comes anew.
    for (const ways of this.#ways.values()) for (const to of ways.keys()) if (to.includes("%")) ways.delete(to);
    for (const key of this.#problems.keys()) {
      const [bind = "", port = ""] = key.split(" ");
      if (!wanted.has(`${bind} ${port}`)) this.#problems.delete(key);
    }
    for (const [key, open] of this.#open) if (!wanted.has(key)) this.#close(key, open);
    for (const [key, socket] of wanted) {
      const open = this.#open.get(key);
      if (open === undefined) this.#begin(socket);
      else {
        this.#leave(open, socket.groups);
        open.wanted = socket;
        this.#join(open);
      }
    }
  }

  /** Sends at once. */
  send(domainId: number, family: Family, octets: Uint8Array, { address, port }: Endpoint): void {
    const way = this.#wayTo(domainId, family, address);
    if (way === undefined) this.#sendFailures++;
    else way.sender.socket.send(octets, port, address, this.#sent);
  }

  /** Sends with the next {@link flush}. What is queued together may come in another order. */
  queue(domainId: number, family: Family, octets: Uint8Array, endpoint: Endpoint): void {
    const way = this.#wayTo(domainId, family, endpoint.address);
    if (way === undefined) {
      this.#sendFailures++;
      return;
    }
    const { sender, places } = way;
    let to = places.get(endpoint.port);
    if (to === undefined) {
      if (places.size >= MOST_PORTS) places.clear();
      to = socketAddress(endpoint.address, endpoint.port);
      places.set(endpoint.port, to);
    }
    sender.queued.push({ octets, to, endpoint });
    this.#busy.add(sender);
  }

  flush(): void {
    for (const sender of this.#busy) {
      const { left, failed } = this.#batch.send(sender, sender.queued);
      sender.queued = [];
      this.#sendFailures += failed;
      // It waits until the kernel has room.
      for (const { octets, endpoint } of left) sender.socket.send(octets, endpoint.port, endpoint.address, this.#sent);
    }
    this.#busy.clear();
  }

  #wayTo(domainId: number, family: Family, address: string): Way | undefined {
    let ways = this.#ways.get(domainId);
    if (ways === undefined) {
      ways = new Map();
      this.#ways.set(domainId, ways);
    }
    const known = ways.get(address);
    if (known !== undefined) return known;
    const senders = this.#senders.get(`${domainId} ${family}`);
    const voice = chooseVoice({
      to: address.includes("%") ? undefined : parseIp(address),
      heardAt: this.#heardAt.get(`${domainId} ${address}`),
      own: this.#own,
      bound: [...(senders?.keys() ?? [])],
    });
    const sender = voice === undefined ? undefined : senders?.get(voice);
    if (sender === undefined) return undefined;
    if (ways.size >= MOST_WAYS) ways.clear();
    const way = { sender, places: new Map<number, Uint8Array>() };
    ways.set(address, way);
    return way;
  }

  #hear(datagram: Uint8Array, from: string, { bind, domainId, sends }: WantedSocket): void {
    if (!this.#options.onDatagram(datagram, from, domainId) || !sends) return;
    const key = `${domainId} ${from}`;
    if (this.#heardAt.get(key) === bind) return;
    const [oldest] = this.#heardAt.keys();
    if (this.#heardAt.size >= MOST_HEARD && oldest !== undefined) this.#heardAt.delete(oldest);
    this.#heardAt.set(key, bind);
    this.#ways.get(domainId)?.delete(from);
  }

  close(): void {
    for (const [key, open] of this.#open) this.#close(key, open);
  }

  readonly #sent = (error: Error | null): void => {
    if (error !== null) this.#sendFailures++;
  };

  #begin(wanted: WantedSocket): void {
    const { bind, domainId, family, key, sends } = wanted;
    const fail = (error: Error): void => {
      if (!wanted.isExtra) this.#problems.set(key, whyNot(wanted, error));
    };
    try {
      const { fd, socket } = openSocket(wanted);
      const open: OpenSocket = { wanted, socket };
      socket.on("message", (datagram, from) => this.#hear(datagram, from.address, wanted));
      socket.on("error", (error) => {
        fail(error);
        this.#close(key, open);
      });
      socket.bind({ fd });
      socket.setRecvBufferSize(BUFFER_OCTETS);
      socket.setSendBufferSize(BUFFER_OCTETS);
      this.#open.set(key, open);
      this.#problems.delete(key);
      if (sends) {
        const senders = this.#senders.get(`${domainId} ${family}`) ?? new Map<string, Sender>();
        const sender = { socket, fd, segments: true, queued: [] };
        this.#senders.set(`${domainId} ${family}`, senders.set(bind, sender));
        this.#ways.clear();
      }
      this.#join(open);
    } catch (error) {
      if (!(error instanceof KernelError)) throw error;
      fail(error);
    }
  }

  /** The kernel forgets memberships with their interface, so each is asked for again and again. */
  #join({ socket, wanted: { groups, key } }: OpenSocket): void {
    for (const { group, on } of groups) {
      const problem = joined(socket, { group, on });
      if (problem === undefined) this.#problems.delete(`${key} ${group} ${on}`);
      else this.#problems.set(`${key} ${group} ${on}`, `cannot join ${group} on ${on} (${problem})`);
    }
  }

  #leave({ socket, wanted }: OpenSocket, groups: readonly Membership[]): void {
    for (const { group, on } of wanted.groups) {
      if (groups.some((other) => other.group === group && other.on === on)) continue;
      this.#problems.delete(`${wanted.key} ${group} ${on}`);
      try {
        socket.dropMembership(group, on);
      } catch (error) {
        // It went with its interface.
        if (codeOf(error) === "") throw error;
      }
    }
  }

  #close(key: string, { socket, wanted: { bind, domainId, family } }: OpenSocket): void {
    if (!this.#open.delete(key)) return;
    const senders = this.#senders.get(`${domainId} ${family}`);
    if (senders?.get(bind)?.socket === socket) senders.delete(bind);
    this.#ways.clear();
    socket.close();
  }
}

function whyNot({ bind, port }: WantedSocket, error: Error): string {
  const code = codeOf(error);
  if (code !== "EADDRNOTAVAIL") return `cannot listen at ${bind} port ${port} (${code || error.message})`;
  return `spec.listenAddresses: the relay has no address ${bind}; name addresses of its own, or none to listen at all`;
}

/** Undefined: it is a member, now or since before. */
function joined(socket: Socket, { group, on }: Membership): string | undefined {
  try {
    socket.addMembership(group, on);
  } catch (error) {
    const code = codeOf(error);
    return code === "EADDRINUSE" ? undefined : code || String(error);
  }
  return undefined;
}
