import { createSocket, type Socket } from "node:dgram";
import { networkInterfaces } from "node:os";
import type { Clients } from "./clients.ts";
import { echoReply } from "./echo-reply.ts";

const RESCAN_MS = 100;
/** Bounds the sockets of a host with very many addresses. */
const ADDRESS_LIMIT = 1024;

/**
 * Answers each datagram from the address that it was sent to. A wildcard socket would answer from an address of the
 * kernel's choice, which for a VIP on the loopback interface is the wrong one; so every local address has a socket of
 * its own, and new addresses are looked for every 100 ms. A wildcard socket catches what arrives in between: it makes
 * the missing sockets at once and lets the one that must be meant answer.
 */
export class UdpEcho {
  readonly #name: string;
  readonly #port: number;
  readonly #clients: Clients;
  readonly #sockets = new Map<string, Socket>();
  readonly #wildcards: Socket[] = [];
  #timer: NodeJS.Timeout | undefined;
  #scan: Promise<readonly string[]> = Promise.resolve([]);
  #closed = false;

  private constructor(name: string, port: number, clients: Clients) {
    this.#name = name;
    this.#port = port;
    this.#clients = clients;
  }

  /** @throws Error when the port is taken. */
  static async listen(name: string, port: number, clients: Clients): Promise<UdpEcho> {
    const echo = new UdpEcho(name, port, clients);
    for (const address of ["0.0.0.0", "::"]) {
      echo.#wildcards.push(
        await bind(address, port, (message, from) => void echo.#answerUnbound(address, message, from)),
      );
    }
    await echo.#rescan();
    echo.#timer = setInterval(() => void echo.#rescan(), RESCAN_MS);
    return echo;
  }

  close(): void {
    this.#closed = true;
    clearInterval(this.#timer);
    for (const socket of [...this.#wildcards, ...this.#sockets.values()]) socket.close();
    this.#sockets.clear();
  }

  /** Rescans run one after the other. @returns the addresses that were new. */
  #rescan(): Promise<readonly string[]> {
    this.#scan = this.#scan.then(() => this.#bindNew());
    return this.#scan;
  }

  async #bindNew(): Promise<readonly string[]> {
    const present = new Set(localAddresses().slice(0, ADDRESS_LIMIT));
    for (const [address, socket] of this.#sockets) {
      if (present.has(address)) continue;
      this.#sockets.delete(address);
      socket.close();
    }
    const added: string[] = [];
    for (const address of present) {
      if (this.#closed || this.#sockets.has(address)) continue;
      try {
        const socket = await bind(address, this.#port, (message, from) => {
          this.#clients.asked();
          this.#sockets.get(address)?.send(echoReply(this.#name, message), from.port, from.address, ignoreFailure);
        });
        this.#sockets.set(address, socket);
        added.push(address);
      } catch {
        // The address has gone again, or is not usable yet; the next scan tells.
      }
    }
    return added;
  }

  async #answerUnbound(wildcard: string, message: Buffer, from: { address: string; port: number }): Promise<void> {
    const six = wildcard === "::";
    const added = (await this.#rescan()).filter((address) => address.includes(":") === six);
    const [only] = added;
    // With several candidates any answer might come from the wrong address: none is better.
    if (added.length !== 1 || only === undefined) return;
    this.#sockets.get(only)?.send(echoReply(this.#name, message), from.port, from.address, ignoreFailure);
  }
}

/** An answer that cannot be sent is a lost datagram, which the client sees. */
function ignoreFailure(): void {}

function localAddresses(): string[] {
  return Object.entries(networkInterfaces()).flatMap(([device, list]) =>
    (list ?? []).map(({ address, scopeid }) => (scopeid ? `${address}%${device}` : address)),
  );
}

async function bind(
  address: string,
  port: number,
  onMessage: (message: Buffer, from: { address: string; port: number }) => void,
): Promise<Socket> {
  const six = address.includes(":");
  const socket = createSocket({
    type: six ? "udp6" : "udp4",
    reuseAddr: true,
    ...(six ? { ipv6Only: true } : {}),
    recvBufferSize: 1 << 20,
  });
  socket.on("message", onMessage);
  await new Promise<void>((resolve, reject) => {
    socket.once("error", (error) => {
      socket.close();
      reject(error);
    });
    socket.bind({ address, port, exclusive: true }, resolve);
  });
  socket.removeAllListeners("error");
  // ICMP errors about earlier answers surface here; the client has gone.
  socket.on("error", ignoreFailure);
  return socket;
}
