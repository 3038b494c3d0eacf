import { createSocket, type Socket } from "node:dgram";
import { once } from "node:events";
import type { UdpAddress } from "./observed-participant.ts";
import type { ObserverSend } from "./observer.ts";

export interface ObserverSocketsOptions {
  readonly onDatagram: (datagram: Uint8Array, source: string) => void;
}

/** Bursts of many participants' histories; the kernel gives as much of it as net.core.rmem_max allows. */
const BUFFER_OCTETS = 4 * 1024 * 1024;

/** Addresses are never names: nothing is to be looked up, and no thread to be waited for. */
const lookup =
  (family: 4 | 6) =>
  (host: string, _options: unknown, callback: (error: null, address: string, family: number) => void): void =>
    callback(null, host, family);

const familyOf = (address: string): 4 | 6 => (address.includes(":") ? 6 : 4);

const unzoned = (address: string): string => address.split("%")[0] ?? address;

/** The UDP sockets of an observer: one for each family, at a port of the kernel's choice. */
export class ObserverSockets {
  readonly #sockets = new Map<4 | 6, Socket>();
  /** Datagrams that could not be sent. */
  sendFailures = 0;

  private constructor(sockets: readonly (readonly [4 | 6, Socket])[], { onDatagram }: ObserverSocketsOptions) {
    for (const [family, socket] of sockets) {
      this.#sockets.set(family, socket);
      socket.on("message", (datagram, { address }) => onDatagram(datagram, unzoned(address)));
      // What a network says of a datagram that was sent is no reason to stop.
      socket.on("error", this.#failed);
    }
  }

  /** @throws what the system says when there is no socket to be had for IPv4. */
  static async open(options: ObserverSocketsOptions): Promise<ObserverSockets> {
    const four = await bound(4);
    // A kernel without IPv6 has no participants there.
    const six = await bound(6).catch(() => undefined);
    return new ObserverSockets([[4, four] as const, ...(six === undefined ? [] : [[6, six] as const])], options);
  }

  /** Where one who is at `to` reaches this observer, by the kernel's routes; undefined when there is none. */
  async ownAddress(to: UdpAddress): Promise<UdpAddress | undefined> {
    const family = familyOf(to.address);
    const port = this.#sockets.get(family)?.address().port;
    if (port === undefined) return undefined;
    const probe = createSocket({ type: family === 4 ? "udp4" : "udp6", lookup: lookup(family) });
    try {
      // Nothing is sent.
      const connected = once(probe, "connect");
      probe.connect(to.port, to.address);
      await connected;
      return { address: unzoned(probe.address().address), port };
    } catch {
      return undefined;
    } finally {
      probe.close();
    }
  }

  send({ to, datagram }: ObserverSend): void {
    this.#sockets.get(familyOf(to.address))?.send(datagram, to.port, to.address, this.#sent);
  }

  /** Resolves when what was handed in has been sent. */
  async close(): Promise<void> {
    const closing = [...this.#sockets.values()].map(async (socket) => {
      while (socket.getSendQueueCount() > 0) await new Promise((resolve) => setImmediate(resolve));
      socket.close();
    });
    this.#sockets.clear();
    await Promise.all(closing);
  }

  readonly #failed = (): void => {
    this.sendFailures += 1;
  };

  readonly #sent = (error: Error | null): void => {
    if (error !== null) this.#failed();
  };
}

async function bound(family: 4 | 6): Promise<Socket> {
  const type = family === 4 ? "udp4" : "udp6";
  const socket = createSocket({ type, ipv6Only: family === 6, lookup: lookup(family) });
  try {
    // Without a look-up it may listen before `bind` returns.
    const listening = once(socket, "listening");
    socket.bind();
    await listening;
  } catch (error) {
    socket.close();
    throw error;
  }
  socket.setRecvBufferSize(BUFFER_OCTETS);
  return socket;
}
