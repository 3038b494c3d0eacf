import { BFD_DIAGNOSTIC, type BfdPacket, type BfdState } from "./bfd-packet.ts";

/** The next state by own state and the state that a packet brings (RFC 5880, section 6.8.6). */
export const TRANSITIONS: Readonly<Record<BfdState, Readonly<Record<BfdState, BfdState>>>> = {
  AdminDown: { AdminDown: "AdminDown", Down: "AdminDown", Init: "AdminDown", Up: "AdminDown" },
  Down: { AdminDown: "Down", Down: "Init", Init: "Up", Up: "Down" },
  Init: { AdminDown: "Down", Down: "Init", Init: "Up", Up: "Up" },
  Up: { AdminDown: "Down", Down: "Down", Init: "Up", Up: "Up" },
};

/** Section 6.8.3: not faster than this while a session is not Up. */
const SLOW_US = 1_000_000;
/** A neighbour that has sent nothing for so long has no BFD, or none any more. */
const SILENT_AFTER_MS = 10_000;

export interface BfdSessionOptions {
  /** Not 0, and no other session's. */
  readonly discriminator: number;
  /** Wanted both ways once Up. */
  readonly intervalMs: number;
  readonly multiplier: number;
  readonly nowMs: number;
  /** Evenly from [0, 1). */
  readonly random: () => number;
}

/** What a session tells about itself. */
export interface BfdView {
  readonly state: BfdState;
  readonly diagnostic: number;
  /** The state that the neighbour's last packet brought; Down once it is not heard any more. */
  readonly remoteState: BfdState;
  /** Nothing has come from the neighbour for 10 s. */
  readonly silent: boolean;
  /** How often it fell from Up. */
  readonly falls: number;
}

/**
 * One asynchronous-mode session without authentication and echo (RFC 5880, section 6.8), in the active role. It knows
 * nothing of sockets and clocks: packets and times go in, packets to send come out. All times are of one monotonic clock.
 */
export class BfdSession {
  readonly #options: BfdSessionOptions;
  #state: BfdState = "Down";
  #diagnostic: number = BFD_DIAGNOSTIC.none;
  #falls = 0;
  #desiredMinTxUs = SLOW_US;
  #polling = false;
  #remote: RemoteView = UNHEARD;
  #lastHeardMs: number;
  /** When the neighbour counts as lost; undefined while nothing has been heard. */
  #expiresMs: number | undefined;
  #lastSentMs: number | undefined;
  /** The share of the transmit interval until the next periodic packet. */
  #jitter: number;

  constructor(options: BfdSessionOptions) {
    this.#options = options;
    this.#lastHeardMs = options.nowMs;
    this.#jitter = this.#nextJitter();
  }

  view(nowMs: number): BfdView {
    return {
      state: this.#state,
      diagnostic: this.#diagnostic,
      remoteState: this.#remote.state,
      silent: nowMs >= this.#lastHeardMs + SILENT_AFTER_MS,
      falls: this.#falls,
    };
  }

  get discriminator(): number {
    return this.#options.discriminator;
  }

  /** How long the neighbour waits for our packets before it gives us up; undefined while it does not wait. */
  get neighbourDetectionMs(): number | undefined {
    return this.#remote === UNHEARD ? undefined : this.#options.multiplier * this.#txIntervalMs();
  }

  /** Takes a packet of this session (addresses and discriminator have been checked) and answers what to send at once. */
  receive(packet: BfdPacket, nowMs: number): BfdPacket[] {
    if (this.#state === "AdminDown") return [];
    this.#lastHeardMs = nowMs;
    this.#remote = {
      discriminator: packet.myDiscriminator,
      state: packet.state,
      demand: packet.demand,
      minRxUs: packet.requiredMinRxUs,
      minTxUs: packet.desiredMinTxUs,
      multiplier: packet.detectMultiplier,
    };
    if (packet.final) this.#polling = false;
    const before = this.#state;
    const next = TRANSITIONS[before][packet.state];
    if (next !== before) this.#enter(next, next === "Down" ? BFD_DIAGNOSTIC.neighbourSignalledDown : undefined);
    this.#expiresMs = nowMs + this.#detectionMs();
    // A Final answers a Poll at once, whatever the transmit timer says (6.5); a change of state is told at once (6.8.7).
    if (packet.poll) return [this.#packet({ final: true })];
    return next === before || this.#isMuted() ? [] : [this.#send(nowMs)];
  }

  /** What is due by now: loss of the neighbour, a periodic packet. Late calls are harmless. */
  tick(nowMs: number): BfdPacket[] {
    let changed = false;
    if (this.#expiresMs !== undefined && nowMs >= this.#expiresMs) {
      // Section 6.8.1: an unheard neighbour may have lost its discriminator.
      this.#expiresMs = undefined;
      this.#remote = UNHEARD;
      changed = this.#state === "Init" || this.#state === "Up";
      if (changed) this.#enter("Down", BFD_DIAGNOSTIC.detectionTimeExpired);
    }
    if (this.#isMuted()) return [];
    return changed || nowMs >= this.#nextSendMs(nowMs) ? [this.#send(nowMs)] : [];
  }

  /** When `tick` is to be called next. */
  dueMs(nowMs: number): number {
    const silenceMs = this.#lastHeardMs + SILENT_AFTER_MS;
    return Math.min(
      this.#isMuted() ? Number.POSITIVE_INFINITY : this.#nextSendMs(nowMs),
      this.#expiresMs ?? Number.POSITIVE_INFINITY,
      silenceMs > nowMs ? silenceMs : Number.POSITIVE_INFINITY,
    );
  }

  /** Takes the session down for good; the neighbour is told that nothing has failed (section 6.8.16). */
  shutDown(nowMs: number): BfdPacket[] {
    if (this.#state === "AdminDown") return [];
    this.#enter("AdminDown", BFD_DIAGNOSTIC.adminDown);
    this.#expiresMs = undefined;
    return this.#isMuted() ? [] : [this.#send(nowMs)];
  }

  #enter(state: BfdState, diagnostic: number | undefined): void {
    if (this.#state === "Up") this.#falls += 1;
    this.#state = state;
    this.#diagnostic = diagnostic ?? (state === "Up" ? BFD_DIAGNOSTIC.none : this.#diagnostic);
    // The wanted pace holds while Up only; the new one is agreed on by a Poll Sequence (6.5, 6.8.3).
    this.#desiredMinTxUs = state === "Up" ? Math.max(1, this.#options.intervalMs * 1000) : SLOW_US;
    this.#polling = state === "Up";
  }

  /** Section 6.8.7: when periodic packets are not sent. */
  #isMuted(): boolean {
    if (this.#remote === UNHEARD) return false;
    if (this.#remote.minRxUs === 0) return true;
    const demanded = this.#remote.demand && this.#state === "Up" && this.#remote.state === "Up";
    return demanded && !this.#polling;
  }

  #nextSendMs(nowMs: number): number {
    return this.#lastSentMs === undefined ? nowMs : this.#lastSentMs + this.#txIntervalMs() * this.#jitter;
  }

  #txIntervalMs(): number {
    return Math.max(this.#desiredMinTxUs, this.#remote.minRxUs) / 1000;
  }

  /** Section 6.8.4. */
  #detectionMs(): number {
    const { minTxUs, multiplier } = this.#remote;
    return (multiplier * Math.max(this.#options.intervalMs * 1000, minTxUs)) / 1000;
  }

  #send(nowMs: number): BfdPacket {
    this.#lastSentMs = nowMs;
    this.#jitter = this.#nextJitter();
    return this.#packet({ final: false });
  }

  /** Section 6.8.7: 75 to 100 % of the interval, 75 to 90 % where one lost packet is the end of the session. */
  #nextJitter(): number {
    const most = this.#options.multiplier === 1 ? 0.9 : 1;
    return 0.75 + this.#options.random() * (most - 0.75);
  }

  #packet({ final }: { readonly final: boolean }): BfdPacket {
    return {
      diagnostic: this.#diagnostic,
      state: this.#state,
      poll: this.#polling && !final,
      final,
      controlPlaneIndependent: false,
      demand: false,
      detectMultiplier: this.#options.multiplier,
      myDiscriminator: this.#options.discriminator,
      yourDiscriminator: this.#remote.discriminator,
      desiredMinTxUs: this.#desiredMinTxUs,
      requiredMinRxUs: this.#options.intervalMs * 1000,
      requiredMinEchoRxUs: 0,
    };
  }
}

interface RemoteView {
  readonly discriminator: number;
  readonly state: BfdState;
  readonly demand: boolean;
  readonly minRxUs: number;
  readonly minTxUs: number;
  readonly multiplier: number;
}

/** Section 6.8.1: the initial values of what is known of a neighbour. */
const UNHEARD: RemoteView = { discriminator: 0, state: "Down", demand: false, minRxUs: 1, minTxUs: 0, multiplier: 1 };
