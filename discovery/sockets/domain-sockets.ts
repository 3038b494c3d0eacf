import type { Socket } from "node:dgram";
import { DatagramBatch, type OutgoingDatagram } from "#shared/kernel/datagram-batch.ts";
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

/** A socket that datagrams leave by. */
interface Sender {
  readonly socket: Socket;
  readonly batch: DatagramBatch<Queued>;
  queued: Queued[];
}

/** Hundreds of participants announce themselves at once; the kernel gives as much of it as net.core.rmem_max allows. */
const BUFFER_OCTETS = 4 * 1024 * 1024;

/** Addresses of participants of which is known where they are heard; the one that came first goes when there are more. */
const MOST_HEARD = 10_000;

/** Places that datagrams go to, as the kernel takes them. */
const MOST_PLACES = 10_000;

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
  /** By domain and destination; forgotten with every change of what it follows from. */
  readonly #chosen = new Map<string, Sender | undefined>();
  readonly #places = new Map<string, Uint8Array>();
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
    this.#own = spec.ownAddresses;
    this.#chosen.clear();
    // The numbers of interfaces that are in them change.
    this.#places.clear();
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
    const sender = this.#senderTo(domainId, family, address);
    if (sender === undefined) this.#sendFailures++;
    else sender.socket.send(octets, port, address, this.#sent);
  }

  /** Sends with the next {@link flush}. What is queued together may come in another order. */
  queue(domainId: number, family: Family, octets: Uint8Array, endpoint: Endpoint): void {
    const sender = this.#senderTo(domainId, family, endpoint.address);
    if (sender === undefined) {
      this.#sendFailures++;
      return;
    }
    sender.queued.push({ octets, to: this.#placeOf(endpoint), endpoint });
    this.#busy.add(sender);
  }

  flush(): void {
    for (const sender of this.#busy) {
      const { left, failed } = sender.batch.send(sender.queued);
      sender.queued = [];
      this.#sendFailures += failed;
      // It waits until the kernel has room.
      for (const { octets, endpoint } of left) sender.socket.send(octets, endpoint.port, endpoint.address, this.#sent);
    }
    this.#busy.clear();
  }

  #placeOf({ address, port }: Endpoint): Uint8Array {
    const key = `${address} ${port}`;
    const known = this.#places.get(key);
    if (known !== undefined) return known;
    if (this.#places.size >= MOST_PLACES) this.#places.clear();
    const place = socketAddress(address, port);
    this.#places.set(key, place);
    return place;
  }

  #senderTo(domainId: number, family: Family, address: string): Sender | undefined {
    const key = `${domainId} ${address}`;
    if (this.#chosen.has(key)) return this.#chosen.get(key);
    const senders = this.#senders.get(`${domainId} ${family}`);
    const voice = chooseVoice({
      to: address.includes("%") ? undefined : parseIp(address),
      heardAt: this.#heardAt.get(key),
      own: this.#own,
      bound: [...(senders?.keys() ?? [])],
    });
    const sender = voice === undefined ? undefined : senders?.get(voice);
    if (this.#chosen.size >= MOST_HEARD) this.#chosen.clear();
    this.#chosen.set(key, sender);
    return sender;
  }

  #hear(datagram: Uint8Array, from: string, { bind, domainId, sends }: WantedSocket): void {
    if (!this.#options.onDatagram(datagram, from, domainId) || !sends) return;
    const key = `${domainId} ${from}`;
    if (this.#heardAt.get(key) === bind) return;
    const [oldest] = this.#heardAt.keys();
    if (this.#heardAt.size >= MOST_HEARD && oldest !== undefined) this.#heardAt.delete(oldest);
    this.#heardAt.set(key, bind);
    this.#chosen.delete(key);
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
        const batch = new DatagramBatch<Queued>(fd);
        this.#senders.set(`${domainId} ${family}`, senders.set(bind, { socket, batch, queued: [] }));
        this.#chosen.clear();
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
    this.#chosen.clear();
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
