import { createServer, type Server, type Socket } from "node:net";
import type { Topic } from "#shared/api/topic.ts";
import { errorLine } from "./error-line.ts";
import type { TopicBridge } from "./topic-bridge.ts";

/** A peer that says nothing is asked whether it is still there, then every second, ten times. */
const KEEP_ALIVE_MS = 30_000;
const HALF_OPEN_KEEP_ALIVE_MS = 1_000;
/** What waits for a client's kernel besides the Topic's own queue. */
const WINDOW_OCTETS = 16_384;
/** Connections that are being told why they are not taken. More are hung up on without a word. */
const MAX_TURNED_AWAY = 64;
const TURN_AWAY_MS = 1_000;

export interface TopicListenerOptions {
  readonly port: number;
  readonly limits: Topic["spec"]["limits"];
  readonly bridge: TopicBridge;
  readonly onError: (error: Error) => void;
}

/** Takes a Topic's connections, as many as it may have, at all addresses of the pod: a VIP is one of them in DSR mode. */
export class TopicListener {
  readonly #options: TopicListenerOptions;
  readonly #server: Server;
  readonly #byAddress = new Map<string, number>();
  #turnedAway = 0;

  private constructor(options: TopicListenerOptions) {
    this.#options = options;
    this.#server = createServer(
      {
        allowHalfOpen: true,
        noDelay: true,
        highWaterMark: WINDOW_OCTETS,
        keepAlive: true,
        keepAliveInitialDelay: KEEP_ALIVE_MS,
      },
      (socket) => this.#accept(socket),
    );
  }

  /** @throws the kernel's error when the port cannot be listened at. */
  static async open(options: TopicListenerOptions): Promise<TopicListener> {
    const listener = new TopicListener(options);
    const server = listener.#server;
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    server.once("error", reject);
    server.listen({ port: options.port }, resolve);
    await promise;
    server.removeListener("error", reject);
    // For example too many open files: those that are open go on.
    server.on("error", options.onError);
    return listener;
  }

  get port(): number {
    const address = this.#server.address();
    return typeof address === "object" && address !== null ? address.port : 0;
  }

  /** No more connections are taken; those that are open go on. */
  close(): void {
    this.#server.close();
  }

  #accept(socket: Socket): void {
    const { bridge, limits } = this.#options;
    const { connections } = bridge.counters;
    const address = socket.remoteAddress ?? "";
    const ofAddress = this.#byAddress.get(address) ?? 0;
    if (bridge.clients >= limits.clients) {
      connections.full += 1;
      this.#turnAway(socket, `there are ${limits.clients} clients already (spec.limits.clients)`);
      return;
    }
    if (ofAddress >= limits.clientsPerAddress) {
      connections.address += 1;
      const many = `there are ${limits.clientsPerAddress} clients of your address already`;
      this.#turnAway(socket, `${many} (spec.limits.clientsPerAddress)`);
      return;
    }
    connections.accepted += 1;
    // It may have nothing to say and still read, or it has gone: only its kernel knows.
    socket.once("end", () => socket.setKeepAlive(true, HALF_OPEN_KEEP_ALIVE_MS));
    this.#byAddress.set(address, ofAddress + 1);
    socket.once("close", () => {
      const left = (this.#byAddress.get(address) ?? 1) - 1;
      if (left === 0) this.#byAddress.delete(address);
      else this.#byAddress.set(address, left);
    });
    bridge.add(socket);
  }

  #turnAway(socket: Socket, reason: string): void {
    socket.on("error", () => socket.destroy());
    if (this.#turnedAway >= MAX_TURNED_AWAY) {
      socket.destroy();
      return;
    }
    this.#turnedAway += 1;
    const timer = setTimeout(() => socket.destroy(), TURN_AWAY_MS);
    socket.once("close", () => {
      clearTimeout(timer);
      this.#turnedAway -= 1;
    });
    socket.resume();
    socket.end(errorLine(reason));
  }
}
