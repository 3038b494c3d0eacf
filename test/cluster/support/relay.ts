import { once } from "node:events";
import { connect, createServer, type Server, type Socket } from "node:net";

interface Pair {
  readonly client: Socket;
  readonly server: Socket;
  isSilent: boolean;
}

/** A wire between a client and an API server that can fail as wires do. */
export class Relay {
  readonly #server: Server;
  readonly #pairs = new Set<Pair>();
  /** New connections are taken and lead nowhere. */
  #isDead = false;
  #isRefusing = false;

  private constructor(server: Server, targetPort: () => number, targetHost: string) {
    this.#server = server;
    server.on("connection", (client) => {
      if (this.#isRefusing) {
        client.on("error", () => undefined);
        client.resetAndDestroy();
        return;
      }
      const pair: Pair = { client, server: connect(targetPort(), targetHost), isSilent: this.#isDead };
      this.#pairs.add(pair);
      for (const [from, to] of [
        [client, pair.server],
        [pair.server, client],
      ] as const) {
        from.on("data", (chunk) => {
          if (!pair.isSilent) to.write(chunk);
        });
        from.on("error", () => undefined);
        from.on("close", () => {
          if (!pair.isSilent) to.destroy();
        });
      }
      client.on("close", () => {
        this.#pairs.delete(pair);
        pair.server.destroy();
      });
    });
  }

  static async start(targetPort: () => number, targetHost = "127.0.0.1"): Promise<Relay> {
    const server = createServer();
    const relay = new Relay(server, targetPort, targetHost);
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
    return relay;
  }

  get url(): string {
    const address = this.#server.address();
    if (address === null || typeof address === "string") throw new Error("the relay does not listen");
    return `https://127.0.0.1:${address.port}`;
  }

  get connections(): number {
    return this.#pairs.size;
  }

  /** Open connections stay open and carry nothing any more; so do new ones until {@link Relay.heal}. */
  swallow(): void {
    this.#isDead = true;
    for (const pair of this.#pairs) pair.isSilent = true;
  }

  /** Breaks all connections, and new ones until {@link Relay.heal}. */
  refuse(): void {
    this.#isRefusing = true;
    this.cut();
  }

  /** New connections carry again; what was swallowed stays so. */
  heal(): void {
    this.#isDead = false;
    this.#isRefusing = false;
  }

  /** Breaks all connections. */
  cut(): void {
    for (const { client, server } of this.#pairs) {
      client.resetAndDestroy();
      server.destroy();
    }
  }

  async close(): Promise<void> {
    this.cut();
    this.#server.close();
    await once(this.#server, "close");
  }
}
