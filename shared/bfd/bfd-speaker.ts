import { isDeepStrictEqual } from "node:util";
import { KernelError, KernelNotFoundError } from "../kernel/kernel-error.ts";
import type { Ip } from "../net/ip.ts";
import type { BfdConfig, BfdReport } from "./bfd-messages.ts";
import { type BfdPacket, BfdPacketError, encodeBfdPacket, parseBfdPacket } from "./bfd-packet.ts";
import { BfdSession } from "./bfd-session.ts";
import { BfdReceiver, BfdSender } from "./bfd-socket.ts";

export interface BfdSpeakerOptions {
  /** Monotonic. */
  readonly nowMs: () => number;
  /** Evenly from [0, 1). */
  readonly random: () => number;
  readonly onReports: (reports: readonly BfdReport[]) => void;
}

interface Entry {
  readonly config: BfdConfig;
  readonly session: BfdSession;
  sender: BfdSender | undefined;
  problem: string | undefined;
  reported: BfdReport | undefined;
}

/** A socket that cannot be opened is tried again after this. */
const REOPEN_MS = 1_000;

/** Single-hop BFD over UDP (RFC 5881): sockets and timers around BfdSession. */
export class BfdSpeaker {
  readonly #options: BfdSpeakerOptions;
  readonly #entries = new Map<Ip, Entry>();
  readonly #receivers = new Map<string, BfdReceiver>();
  #reopenAtMs = 0;

  constructor(options: BfdSpeakerOptions) {
    this.#options = options;
  }

  /** All sessions there shall be from now on; those that stay as they are go on undisturbed. */
  want(configs: readonly BfdConfig[]): void {
    const wanted = new Map(configs.map((config) => [config.neighbour, config]));
    for (const [neighbour, entry] of this.#entries) {
      if (isDeepStrictEqual(wanted.get(neighbour), entry.config)) continue;
      this.#end(entry);
      this.#entries.delete(neighbour);
    }
    const nowMs = this.#options.nowMs();
    for (const config of configs) {
      if (this.#entries.has(config.neighbour)) continue;
      const { intervalMs, multiplier } = config;
      const { random } = this.#options;
      const discriminator = this.#freeDiscriminator();
      const session = new BfdSession({ discriminator, intervalMs, multiplier, random, nowMs });
      this.#entries.set(config.neighbour, {
        config,
        session,
        sender: undefined,
        problem: undefined,
        reported: undefined,
      });
    }
    this.#openReceivers();
  }

  /** What to wait on between turns. */
  fds(): number[] {
    return [...this.#receivers.values()].map(({ fd }) => fd);
  }

  /** Takes what has come and does what is due. Answers in how many milliseconds to call again, if nothing comes before. */
  turn(): number {
    // What has arrived counts before what has run out: after a pause of ours both are waiting.
    for (const [key, receiver] of this.#receivers) this.#drain(key, receiver);
    const nowMs = this.#options.nowMs();
    if (nowMs >= this.#reopenAtMs && [...this.#entries.values()].some((entry) => !this.#isOpen(entry))) {
      this.#openReceivers();
    }
    for (const entry of this.#entries.values()) this.#send(entry, entry.session.tick(nowMs));
    this.#report();
    const dues = [...this.#entries.values()].map(({ session }) => session.dueMs(nowMs));
    return Math.max(0, Math.min(REOPEN_MS, ...dues.map((dueMs) => dueMs - nowMs)));
  }

  /** Tells every neighbour that the session ends on purpose. */
  close(): void {
    this.want([]);
  }

  #end({ sender, session }: Entry): void {
    for (const packet of session.shutDown(this.#options.nowMs())) {
      try {
        sender?.send(encodeBfdPacket(packet));
      } catch (error) {
        // The neighbour will find out by its detection time; the session is gone either way.
        if (!(error instanceof KernelError)) throw error;
      }
    }
    sender?.close();
  }

  /** One receiver per own address and interface, which hears exactly its sessions' neighbours. */
  #openReceivers(): void {
    this.#reopenAtMs = this.#options.nowMs() + REOPEN_MS;
    const groups = Map.groupBy(this.#entries.values(), ({ config }) => receiverKey(config));
    for (const [key, receiver] of this.#receivers) {
      if (groups.has(key)) continue;
      receiver.close();
      this.#receivers.delete(key);
    }
    for (const [key, [first, ...others]] of groups) {
      if (first === undefined) continue;
      const members = [first, ...others];
      try {
        const { local, interface: device } = first.config;
        const receiver =
          this.#receivers.get(key) ?? new BfdReceiver(local, device, (from, bytes) => this.#receive(key, from, bytes));
        this.#receivers.set(key, receiver);
        receiver.listenTo(members.map(({ config }) => config.neighbour));
        for (const entry of members) {
          if (entry.sender !== undefined) continue;
          entry.sender = new BfdSender(local, entry.config.neighbour, device, this.#options.random);
          entry.problem = undefined;
        }
      } catch (error) {
        if (!(error instanceof KernelError)) throw error;
        for (const entry of members) entry.problem = error.message;
      }
    }
  }

  #isOpen({ config, sender }: Entry): boolean {
    return sender !== undefined && this.#receivers.has(receiverKey(config));
  }

  #drain(key: string, receiver: BfdReceiver): void {
    try {
      receiver.drain();
    } catch (error) {
      if (!(error instanceof KernelError)) throw error;
      this.#abandon(key, error);
    }
  }

  /** Gives up the sockets of an own address and interface, to be opened anew: a device that came back is another one. */
  #abandon(key: string, error: KernelError): void {
    this.#receivers.get(key)?.close();
    this.#receivers.delete(key);
    for (const entry of this.#entries.values()) {
      if (receiverKey(entry.config) !== key) continue;
      entry.sender?.close();
      entry.sender = undefined;
      entry.problem = error.message;
    }
  }

  #receive(key: string, from: string, bytes: Uint8Array): void {
    const entry = [...this.#entries.values()].find(
      ({ config }) => config.neighbour === from && receiverKey(config) === key,
    );
    if (entry === undefined) return;
    let packet: BfdPacket;
    try {
      packet = parseBfdPacket(bytes);
    } catch (error) {
      if (error instanceof BfdPacketError) return;
      throw error;
    }
    // Section 6.8.6: another session's packet, perhaps of one we had before, says nothing about this one.
    if (packet.yourDiscriminator !== 0 && packet.yourDiscriminator !== entry.session.discriminator) return;
    this.#send(entry, entry.session.receive(packet, this.#options.nowMs()));
  }

  #send(entry: Entry, packets: readonly BfdPacket[]): void {
    if (entry.sender === undefined) return;
    for (const packet of packets) {
      try {
        entry.sender.send(encodeBfdPacket(packet));
        entry.problem = undefined;
      } catch (error) {
        // As if it had been lost on the way: the session's own timers judge it.
        if (!(error instanceof KernelError)) throw error;
        entry.problem = error.message;
        if (error instanceof KernelNotFoundError) {
          this.#abandon(receiverKey(entry.config), error);
          return;
        }
      }
    }
  }

  #report(): void {
    const nowMs = this.#options.nowMs();
    const news: BfdReport[] = [];
    for (const entry of this.#entries.values()) {
      const report = { ...entry.session.view(nowMs), neighbour: entry.config.neighbour, problem: entry.problem };
      if (isDeepStrictEqual(report, entry.reported)) continue;
      entry.reported = report;
      news.push(report);
    }
    if (news.length > 0) this.#options.onReports(news);
  }

  #freeDiscriminator(): number {
    for (;;) {
      const candidate = Math.floor(this.#options.random() * 0x1_0000_0000);
      const taken = [...this.#entries.values()].some(({ session }) => session.discriminator === candidate);
      if (candidate !== 0 && !taken) return candidate;
    }
  }
}

function receiverKey({ interface: device, local }: BfdConfig): string {
  return `${local}%${device}`;
}
