import { createSocket, type Socket } from "node:dgram";
import { once } from "node:events";
import { announcementOf, prefixOf } from "../../../discovery/relay/wire.fixture.ts";

/*
 * Many participants in one process, each with an address and a socket of its own: they announce themselves to a relay, and
 * note whom they hear of.
 */

export const addressOf = (number: number): string => `10.72.${1 + Math.floor(number / 250)}.${1 + (number % 250)}`;

const AGAIN_MS = 500;
const ANNOUNCE_MS = 3_000;
const META_PORT = 7_410;
const PREFIX_OFFSET = 8;
const PREFIX_END = 20;

interface Member {
  readonly number: number;
  readonly socket: Socket;
  readonly announcement: Uint8Array;
  readonly knows: Set<string>;
}

export class Fleet implements Disposable {
  readonly #members: Member[] = [];
  readonly #relay: string;
  #timer: NodeJS.Timeout | undefined;
  #again: NodeJS.Timeout | undefined;
  #heard = 0;
  #complete = 0;
  #size = 0;
  #meshed = Promise.withResolvers<number>();

  constructor(relay: string) {
    this.#relay = relay;
  }

  /** Datagrams that came from the relay. */
  get heard(): number {
    return this.#heard;
  }

  /** Opens the sockets of `count` participants; nothing is sent. */
  async open(count: number): Promise<void> {
    this.#size = count;
    for (let number = 1; number <= count; number++) {
      const address = addressOf(number);
      const socket = createSocket({ type: "udp4", recvBufferSize: 1 << 20 });
      socket.bind(META_PORT, address);
      await once(socket, "listening");
      const announcement = announcementOf(number, { address, entityName: `participant ${number}`, userData: PADDING });
      const member = { number, socket, announcement, knows: new Set<string>() };
      socket.on("message", (datagram) => this.#hear(member, datagram));
      this.#members.push(member);
    }
  }

  /** All announce themselves at once, again after half a second, and then every 3 s. @returns milliseconds until all know all. */
  async mesh(timeoutMs: number): Promise<number> {
    const beganMs = performance.now();
    this.#announce();
    // As vendors do: Fast DDS five times in its first half second.
    this.#again = setTimeout(() => this.#announce(), AGAIN_MS);
    this.#timer = setInterval(() => this.#announce(), ANNOUNCE_MS);
    const timeout = AbortSignal.timeout(timeoutMs);
    const endedMs = await Promise.race([this.#meshed.promise, once(timeout, "abort").then(() => undefined)]);
    if (endedMs === undefined) {
      const missing = this.#members.reduce((sum, { knows }) => sum + this.#size - 1 - knows.size, 0);
      throw new Error(`not meshed within ${timeoutMs} ms: ${missing} introductions are missing`);
    }
    return endedMs - beganMs;
  }

  [Symbol.dispose](): void {
    clearTimeout(this.#again);
    clearInterval(this.#timer);
    for (const { socket } of this.#members) socket.close();
  }

  #announce(): void {
    for (const { announcement, socket } of this.#members) socket.send(announcement, 7_400, this.#relay);
  }

  #hear({ knows, number }: Member, datagram: Buffer): void {
    this.#heard++;
    const prefix = datagram.toString("hex", PREFIX_OFFSET, PREFIX_END);
    if (prefix === prefixOf(number) || knows.has(prefix)) return;
    knows.add(prefix);
    if (knows.size === this.#size - 1) this.#complete++;
    if (this.#complete === this.#size) this.#meshed.resolve(performance.now());
  }
}

/** So that an announcement is about as long as those of vendors: 500 octets. */
const PADDING = new Uint8Array(250);
