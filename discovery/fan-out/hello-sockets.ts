import { createSocket, type Socket } from "node:dgram";
import { cidrContains, parseIp } from "#shared/net/ip.ts";
import { decodeHello, encodeHello, type Hello } from "./hello-packet.ts";
import type { AttachedNetwork } from "./plan-networks.ts";
import { HELLO_GROUP, HELLO_PORT, HELLO_TTL } from "./ruleset.ts";

interface Sender {
  readonly socket: Socket;
  ready: boolean;
}

const keyOf = ({ ifindex, address }: AttachedNetwork): string => `${ifindex} ${address}`;

export interface HelloSocketsOptions {
  /** A gateway was heard on the network, at an address there. */
  readonly heard: (network: string, source: string, hello: Hello) => void;
  /** Something does not work. Not more often than hellos are sent. */
  readonly failed: (error: Error) => void;
}

/** Tells gateways on the attached networks of this one, and hears them. */
export class HelloSockets {
  readonly #options: HelloSocketsOptions;
  readonly #senders = new Map<string, Sender>();
  #receiver: Socket | undefined;
  #networks: readonly AttachedNetwork[] = [];

  constructor(options: HelloSocketsOptions) {
    this.#options = options;
  }

  /** The networks that hellos go to and come from. Groups are joined elsewhere: see memberships.ts. */
  want(networks: readonly AttachedNetwork[]): void {
    this.#networks = networks;
    if (networks.length > 0) this.#receiver ??= this.#listen();
    const wanted = new Map(networks.map((network) => [keyOf(network), network]));
    for (const [key, { socket }] of this.#senders) {
      if (wanted.has(key)) continue;
      this.#senders.delete(key);
      socket.close();
    }
    for (const [key, network] of wanted) if (!this.#senders.has(key)) this.#open(key, network);
  }

  #listen(): Socket {
    const socket = createSocket({ type: "udp4", reuseAddr: true });
    socket.on("error", (cause) => {
      if (this.#receiver === socket) this.#receiver = undefined;
      socket.close();
      this.#options.failed(new Error(`cannot hear other gateways at ${HELLO_GROUP}:${HELLO_PORT}`, { cause }));
    });
    socket.on("message", (datagram, { address }) => {
      const source = parseIp(address);
      const hello = source && decodeHello(datagram);
      if (source === undefined || hello === undefined) return;
      // The ruleset lets no hello pass that comes from another network than its source address is of.
      const network = this.#networks.find(({ prefixes }) => prefixes.some((prefix) => cidrContains(prefix, source)));
      if (network !== undefined && source !== network.address) this.#options.heard(network.name, source, hello);
    });
    socket.bind({ address: HELLO_GROUP, port: HELLO_PORT });
    return socket;
  }

  #open(key: string, { address, name }: AttachedNetwork): void {
    const socket = createSocket("udp4");
    const sender: Sender = { socket, ready: false };
    this.#senders.set(key, sender);
    const fail = (cause: unknown): void => {
      if (this.#senders.get(key) !== sender) return;
      this.#senders.delete(key);
      socket.close();
      this.#options.failed(new Error(`cannot tell other gateways on ${name}`, { cause }));
    };
    socket.on("error", fail);
    socket.bind({ address, port: 0 }, () => {
      try {
        socket.setMulticastInterface(address);
        socket.setMulticastTTL(HELLO_TTL);
        socket.setMulticastLoopback(false);
        sender.ready = true;
      } catch (error) {
        fail(error);
      }
    });
  }

  send(hello: Hello): void {
    const datagram = encodeHello(hello);
    for (const { socket, ready } of this.#senders.values()) {
      // A network that is cut off for a moment is the next hello's business; its error comes here, not as an event.
      if (ready) socket.send(datagram, HELLO_PORT, HELLO_GROUP, () => undefined);
    }
  }

  close(): void {
    for (const { socket } of this.#senders.values()) socket.close();
    this.#senders.clear();
    this.#receiver?.close();
    this.#receiver = undefined;
  }
}
