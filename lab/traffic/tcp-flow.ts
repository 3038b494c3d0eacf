import { connect, type Socket } from "node:net";
import { type ExchangeResult, type Flow, resultOf } from "./flow.ts";
import type { TrafficOptions } from "./options.ts";
import { readAnswer } from "./payload.ts";
import type { Watchdog } from "./watchdog.ts";

interface Pending {
  readonly request: Buffer;
  received: Buffer;
  readonly resolve: (result: ExchangeResult) => void;
  readonly unwatch: () => void;
}

/** A TCP connection; the first exchange connects. */
export class TcpFlow implements Flow {
  readonly #options: TrafficOptions;
  readonly #watchdog: Watchdog;
  readonly #socket: Socket;
  #pending: Pending | undefined;
  #dead: ExchangeResult | undefined;
  #sourcePort = 0;
  onAccepted: (() => void) | undefined;
  onIdleBreak: ((result: ExchangeResult) => void) | undefined;

  constructor(options: TrafficOptions, watchdog: Watchdog) {
    this.#options = options;
    this.#watchdog = watchdog;
    const { address: host, port, source } = options;
    this.#socket = connect({
      host,
      port,
      noDelay: true,
      autoSelectFamily: false,
      ...(source === undefined ? {} : { localAddress: source }),
    });
    this.#socket.on("connect", () => {
      this.#sourcePort = this.#socket.localPort ?? 0;
      this.onAccepted?.();
    });
    this.#socket.on("data", (chunk) => this.#receive(Buffer.isBuffer(chunk) ? chunk : Buffer.from(chunk)));
    this.#socket.on("error", (error) => this.#end(resultOf(error)));
    this.#socket.on("end", () => this.#end({ outcome: "closed" }));
    this.#socket.on("close", () => this.#end({ outcome: "closed" }));
  }

  get sourcePort(): number {
    return this.#sourcePort;
  }

  exchange(request: Buffer): Promise<ExchangeResult> {
    if (this.#dead !== undefined) return Promise.resolve(this.#dead);
    return new Promise((resolve) => {
      const unwatch = this.#watchdog.watch(this.#options.timeoutMs, () => this.#end({ outcome: "timeout" }));
      this.#pending = { request, received: Buffer.alloc(0), resolve, unwatch };
      this.#socket.write(request);
    });
  }

  close(): void {
    this.#dead ??= { outcome: "closed" };
    // A socket that has answered closes in order; one that is stuck would keep the process waiting.
    if (this.#pending === undefined) this.#socket.end();
    else this.#socket.destroy();
    this.#socket.unref();
  }

  #receive(chunk: Buffer): void {
    const pending = this.#pending;
    if (pending === undefined) return;
    pending.received = pending.received.length === 0 ? chunk : Buffer.concat([pending.received, chunk]);
    const answer = readAnswer(pending.request, pending.received);
    if (answer.kind === "wrong") this.#end({ outcome: "corrupt" });
    else if (answer.kind === "complete") this.#settle(pending, { outcome: "answered", target: answer.target });
  }

  #end(result: ExchangeResult): void {
    if (this.#dead !== undefined) return;
    this.#dead = result;
    this.#socket.destroy();
    if (this.#pending !== undefined) this.#settle(this.#pending, result);
    else this.onIdleBreak?.(result);
  }

  #settle(pending: Pending, result: ExchangeResult): void {
    this.#pending = undefined;
    pending.unwatch();
    pending.resolve(result);
  }
}
