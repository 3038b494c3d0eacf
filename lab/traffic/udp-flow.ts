import { createSocket, type Socket } from "node:dgram";
import { familyOf } from "#shared/net/ip.ts";
import { type ExchangeResult, type Flow, resultOf } from "./flow.ts";
import type { TrafficOptions } from "./options.ts";
import { readAnswer } from "./payload.ts";
import type { Watchdog } from "./watchdog.ts";

interface Pending {
  readonly request: Buffer;
  triesLeft: number;
  unwatch: () => void;
  readonly resolve: (result: ExchangeResult) => void;
}

/**
 * A UDP socket connected to the destination: an answer from another address than the one that was asked is no answer,
 * and ICMP errors arrive.
 */
export class UdpFlow implements Flow {
  readonly #options: TrafficOptions;
  readonly #watchdog: Watchdog;
  readonly #socket: Socket;
  readonly #connected: Promise<ExchangeResult | undefined>;
  #pending: Pending | undefined;
  #closed = false;
  #sourcePort = 0;
  /** Nobody accepts a datagram. */
  onAccepted: (() => void) | undefined;
  /** A UDP flow cannot break while nothing is under way. */
  onIdleBreak: ((result: ExchangeResult) => void) | undefined;

  constructor(options: TrafficOptions, watchdog: Watchdog) {
    this.#options = options;
    this.#watchdog = watchdog;
    this.#socket = createSocket({ type: familyOf(options.address) === 6 ? "udp6" : "udp4" });
    this.#connected = this.#connect();
    this.#socket.on("message", (message) => this.#receive(message));
  }

  get sourcePort(): number {
    return this.#sourcePort;
  }

  async exchange(request: Buffer): Promise<ExchangeResult> {
    const failed = await this.#connected;
    if (failed !== undefined) return failed;
    return new Promise((resolve) => {
      this.#pending = { request, resolve, unwatch: () => undefined, triesLeft: this.#options.retries };
      this.#send(this.#pending);
    });
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#socket.close();
  }

  async #connect(): Promise<ExchangeResult | undefined> {
    const { address, port, source } = this.#options;
    try {
      await new Promise<void>((resolve, reject) => {
        this.#socket.once("error", reject);
        const proceed = () =>
          this.#socket.connect(port, address, (error?: Error) =>
            error === undefined || error === null ? resolve() : reject(error),
          );
        if (source === undefined) proceed();
        else this.#socket.bind({ address: source }, proceed);
      });
    } catch (error) {
      return resultOf(error instanceof Error ? error : new Error(String(error)));
    }
    this.#socket.removeAllListeners("error");
    this.#socket.on("error", (error) => this.#settle(resultOf(error)));
    this.#sourcePort = this.#socket.address().port;
    return undefined;
  }

  #send(pending: Pending): void {
    const { timeoutMs, retries } = this.#options;
    pending.unwatch = this.#watchdog.watch(timeoutMs / (retries + 1), () => {
      if (this.#pending !== pending) return;
      if (pending.triesLeft === 0) return this.#settle({ outcome: "timeout" });
      pending.triesLeft -= 1;
      this.#send(pending);
    });
    this.#socket.send(pending.request, (error) => {
      if (error !== null && this.#pending === pending) this.#settle(resultOf(error));
    });
  }

  #receive(message: Buffer): void {
    if (this.#pending === undefined) return;
    const answer = readAnswer(this.#pending.request, message);
    // Anything else answers an earlier request of this port: late, or sent twice.
    if (answer.kind === "complete") this.#settle({ outcome: "answered", target: answer.target });
  }

  #settle(result: ExchangeResult): void {
    const pending = this.#pending;
    if (pending === undefined) return;
    this.#pending = undefined;
    pending.unwatch();
    pending.resolve(result);
  }
}
