import { createSocket, type Socket } from "node:dgram";
import type { Family } from "#shared/net/ip.ts";
import type { Endpoint } from "../domain/participant.ts";
import { type Membership, planSockets, type SocketsSpec, type WantedSocket } from "./plan-sockets.ts";

export interface DomainSocketsOptions {
  /** A datagram that came in; the octets are the receiver's to keep. */
  readonly onDatagram: (datagram: Uint8Array, from: string, domainId: number) => void;
}

interface OpenSocket {
  wanted: WantedSocket;
  readonly socket: Socket;
  bound: boolean;
}

/** Hundreds of participants announce themselves at once; the kernel gives as much of it as net.core.rmem_max allows. */
const BUFFER_OCTETS = 4 * 1024 * 1024;

const codeOf = (error: unknown): string =>
  error instanceof Error && "code" in error && typeof error.code === "string" ? error.code : "";

/** The UDP sockets of a DiscoveryDomain. */
export class DomainSockets {
  readonly #options: DomainSocketsOptions;
  readonly #open = new Map<string, OpenSocket>();
  /** What cannot be opened or joined, by what. */
  readonly #problems = new Map<string, string>();
  readonly #senders = new Map<string, Socket>();
  #wanted: ReadonlySet<string> = new Set();
  #sendFailures = 0;

  constructor(options: DomainSocketsOptions) {
    this.#options = options;
  }

  /** Sockets that listen. */
  get count(): number {
    return [...this.#open.values()].filter(({ bound }) => bound).length;
  }

  /** Whether every socket that is wanted is open. */
  get listens(): boolean {
    return this.#wanted.size > 0 && this.count === this.#wanted.size;
  }

  get sendFailures(): number {
    return this.#sendFailures;
  }

  problems(): readonly string[] {
    return [...this.#problems.values()];
  }

  /** Opens and closes sockets, and joins groups. Level-triggered: what failed is tried again by the next call. */
  apply(spec: SocketsSpec): void {
    const wanted = new Map(planSockets(spec).map((socket) => [socket.key, socket]));
    this.#wanted = new Set(wanted.keys());
    for (const key of this.#problems.keys()) {
      const [bind = "", port = ""] = key.split(" ");
      if (!wanted.has(`${bind} ${port}`)) this.#problems.delete(key);
    }
    for (const [key, open] of this.#open) if (!wanted.has(key)) this.#close(key, open);
    for (const [key, socket] of wanted) {
      const open = this.#open.get(key);
      if (open === undefined) this.#begin(socket);
      else {
        if (open.bound) this.#leave(open, socket.groups);
        open.wanted = socket;
        if (open.bound) this.#join(open);
      }
    }
  }

  /** False: there is no socket to send from. */
  send(domainId: number, family: Family, octets: Uint8Array, { address, port }: Endpoint): boolean {
    const socket = this.#senders.get(`${domainId} ${family}`);
    socket?.send(octets, port, address, this.#sent);
    return socket !== undefined;
  }

  close(): void {
    for (const [key, open] of this.#open) this.#close(key, open);
  }

  readonly #sent = (error: Error | null): void => {
    if (error !== null) this.#sendFailures++;
  };

  #begin(wanted: WantedSocket): void {
    const { bind, domainId, family, key, port } = wanted;
    const socket = createSocket({
      type: family === 4 ? "udp4" : "udp6",
      ipv6Only: family === 6,
      // Applications in the same network namespace may have the port, too.
      reuseAddr: true,
      // Addresses are never names: nothing is to be looked up, and no thread to be waited for.
      lookup: (host, _options, callback) => callback(null, host, family),
    });
    const open: OpenSocket = { wanted, socket, bound: false };
    this.#open.set(key, open);
    socket.on("message", (datagram, from) => this.#options.onDatagram(datagram, from.address, domainId));
    socket.on("error", (error) => {
      this.#problems.set(key, `cannot listen at ${bind} port ${port} (${codeOf(error) || error.message})`);
      this.#close(key, open);
    });
    socket.bind({ port, address: bind, exclusive: true }, () => {
      open.bound = true;
      this.#problems.delete(key);
      socket.setRecvBufferSize(BUFFER_OCTETS);
      socket.setSendBufferSize(BUFFER_OCTETS);
      if (wanted.sends) this.#senders.set(`${domainId} ${family}`, socket);
      this.#join(open);
    });
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

  #close(key: string, { socket, wanted: { domainId, family } }: OpenSocket): void {
    if (!this.#open.delete(key)) return;
    const sender = `${domainId} ${family}`;
    if (this.#senders.get(sender) === socket) {
      const other = [...this.#open.values()].find(
        ({ wanted, bound }) => bound && wanted.sends && `${wanted.domainId} ${wanted.family}` === sender,
      );
      if (other === undefined) this.#senders.delete(sender);
      else this.#senders.set(sender, other.socket);
    }
    socket.close();
  }
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
