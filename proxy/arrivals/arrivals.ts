import type { GatewayParameters } from "#shared/api/gateway-parameters.ts";
import { KernelError } from "#shared/kernel/kernel-error.ts";
import { type Family, familyOf, type Ip } from "#shared/net/ip.ts";
import type { Log } from "#shared/process/log.ts";
import type { Intent, Leg } from "#shared/resolve/intent-types.ts";
import { admit, type Company, givenUp, type Standings, whomToAsk } from "./newcomers.ts";

/** Between two turns of requests. */
export const TURN_MS = 10;
/** A newcomer that has not answered by then is asked only now and then. */
const EAGER_MS = 2_000;
const PATIENT_EVERY = 25;
/** When it is told that somebody is waited for. */
const TELL_AFTER_MS = 5_000;
/**
 * NAT: a target has no VIP that could be asked for, and the return path that it needs cannot be seen from here. The node
 * agent makes it within milliseconds of the same event that told the proxy of the target.
 */
export const HOLD_MS = 250;
const RETRY_MS = 1_000;
/** Requests in one turn. */
const MOST = 512;
/** Requests whose answer may still come. */
const REMEMBERED = 8_192;

/** Where echo requests leave by. */
export interface EchoVia {
  readonly family: Family;
  readonly interface: string;
  /** The instance's own address there. */
  readonly source: Ip;
}

/** Sends echo requests to a VIP by way of a target, and hears the VIP answer. */
export interface VipEcho {
  /** @param mark the leg's. @throws KernelError */
  send(to: string, sequence: number, mark: number): void;
  /** @throws KernelError when it can hear no more. */
  drain(onReply: (from: string, sequence: number) => void): void;
  close(): void;
}

export interface ArrivalsOptions {
  readonly log: Log;
  /** Monotonic. */
  readonly nowMs: () => number;
  /** Evenly from [0, 1). */
  readonly random: () => number;
  /** Somebody may be given flows now. */
  readonly onChange: () => void;
  /** @throws KernelError */
  readonly open: (via: EchoVia, identifier: number) => VipEcho;
}

/** How a target's readiness is found out: by asking (DSR), by waiting (NAT, where the node agent makes the return path), or not. */
export type ArrivalCheck = "ask" | "hold" | "none";

export function arrivalCheck(parameters: GatewayParameters | undefined): ArrivalCheck {
  if (parameters?.spec.mode === "DSR") return "ask";
  return parameters?.spec.returnPath === "Agent" ? "hold" : "none";
}

interface Request {
  readonly target: Ip;
  readonly vip: Ip;
}

/**
 * Keeps new flows from targets that come, until they are set up: a target that does not have the VIP yet would drop a
 * SYN, and its client wait a second. In DSR mode the target itself is asked, by an ICMP echo request to the VIP that
 * takes the way of a flow's packets.
 */
export class Arrivals {
  readonly #options: ArrivalsOptions;
  #standings: Standings = new Map();
  #companies: readonly Company[] = [];
  #check: ArrivalCheck = "none";
  #legs: ReadonlyMap<Ip, Leg> = new Map();
  #vips: readonly Ip[] = [];
  #sourceOf: (device: string, family: Family) => Ip | undefined = () => undefined;
  readonly #sockets = new Map<string, { readonly echo: VipEcho; readonly source: Ip }>();
  readonly #requests = new Map<number, Request>();
  /** VIPs that a target has answered for. */
  readonly #answered = new Map<Ip, Set<Ip>>();
  /** Targets of which it was told that they are waited for. */
  readonly #told = new Set<string>();
  #sequence: number;
  #turns = 0;
  #retryAtMs = 0;
  #timer: NodeJS.Timeout | undefined;

  constructor(options: ArrivalsOptions) {
    this.#options = options;
    this.#sequence = Math.floor(options.random() * 0x10000);
  }

  /** To be called with every change of objects, before {@link isArriving} is asked. */
  plan(companies: readonly Company[], check: ArrivalCheck): void {
    this.#companies = companies;
    this.#check = check;
    const admitted = admit(this.#standings, companies, this.#options.nowMs());
    this.#standings = check === "none" ? new Map([...admitted.keys()].map((a) => [a, { kind: "trusted" }])) : admitted;
    for (const address of this.#answered.keys()) if (!admitted.has(address)) this.#answered.delete(address);
  }

  readonly isArriving = (address: Ip): boolean => this.#standings.get(address)?.kind === "arriving";

  /**
   * To be called once the kernel holds the legs: requests take their way.
   * @param sourceOf the instance's own address on an interface.
   */
  programmed(intent: Intent, sourceOf: (device: string, family: Family) => Ip | undefined): void {
    const legs = [...intent.legs.values()];
    this.#legs = new Map(
      legs.flatMap((leg) =>
        [leg.addresses[4], leg.addresses[6]].flatMap((address) => (address === undefined ? [] : [[address, leg]])),
      ),
    );
    this.#vips = intent.vips;
    this.#sourceOf = sourceOf;
    if (this.#waiting()) this.#timer ??= setInterval(() => this.turn(), TURN_MS);
    else this.#rest();
  }

  close(): void {
    this.#rest();
  }

  #waiting(): boolean {
    return [...this.#standings.values()].some(({ kind }) => kind === "arriving");
  }

  #rest(): void {
    clearInterval(this.#timer);
    this.#timer = undefined;
    this.#turns = 0;
    this.#told.clear();
    this.#requests.clear();
    for (const { echo } of this.#sockets.values()) echo.close();
    this.#sockets.clear();
  }

  /** One turn: hears what was answered, and asks on. */
  turn(): void {
    const nowMs = this.#options.nowMs();
    const before = this.#standings;
    if (this.#check === "ask") {
      this.#hear();
      this.#trust(this.#answering(), { answers: true });
    }
    const ready =
      this.#check === "ask"
        ? givenUp(this.#standings, this.#companies, nowMs)
        : [...before].flatMap(([a, s]) => (s.kind === "arriving" && nowMs - s.sinceMs >= HOLD_MS ? [a] : []));
    this.#trust(ready, {});
    if (this.#check === "ask" && ready.length > 0) {
      this.#options.log.info(
        { targets: ready },
        "new targets do not answer for the VIP, nor do the others of their Services: taken as they are",
      );
    }
    this.#tell(nowMs);
    if (this.#standings !== before && [...before].some(([a, s]) => s.kind === "arriving" && !this.isArriving(a))) {
      this.#options.onChange();
    }
    if (!this.#waiting()) {
      this.#rest();
      return;
    }
    if (this.#check === "ask") this.#ask(nowMs);
    this.#turns++;
  }

  #hear(): void {
    for (const [key, { echo }] of this.#sockets) {
      try {
        echo.drain((from, sequence) => this.#reply(from, sequence));
      } catch (error) {
        this.#lose(key, error);
      }
    }
  }

  #reply(from: string, sequence: number): void {
    const request = this.#requests.get(sequence);
    if (request === undefined || request.vip !== from) return;
    this.#requests.delete(sequence);
    const { target, vip } = request;
    const answered = this.#answered.get(target) ?? new Set();
    this.#answered.set(target, answered.add(vip));
  }

  /** Who has answered for all VIPs that there are now: one that was waited for may have been withdrawn, and is not asked for again. */
  #answering(): readonly Ip[] {
    return [...this.#answered].flatMap(([target, answered]) => {
      const standing = this.#standings.get(target);
      const isKnown = standing?.kind === "trusted" && standing.answers === true;
      return !isKnown && this.#vipsOf(target).every((vip) => answered.has(vip)) ? [target] : [];
    });
  }

  #trust(addresses: readonly Ip[], { answers }: { readonly answers?: true }): void {
    if (addresses.length === 0) return;
    const after = new Map(this.#standings);
    // Who has gone meanwhile is not brought back.
    for (const address of addresses) {
      if (after.has(address)) after.set(address, { kind: "trusted", ...(answers && { answers }) });
    }
    this.#standings = after;
  }

  #vipsOf(target: Ip): readonly Ip[] {
    return this.#vips.filter((vip) => familyOf(vip) === familyOf(target));
  }

  #ask(nowMs: number): void {
    let left = MOST;
    for (const target of whomToAsk(this.#standings, this.#companies)) {
      const standing = this.#standings.get(target);
      const leg = this.#legs.get(target);
      if (standing === undefined || leg === undefined) continue;
      const eager = standing.kind === "trusted" || nowMs - standing.sinceMs < EAGER_MS;
      if (!eager && this.#turns % PATIENT_EVERY !== 0) continue;
      const echo = this.#socket(leg.interface, familyOf(target), nowMs);
      if (echo === undefined) continue;
      for (const vip of this.#vipsOf(target)) {
        if (this.#answered.get(target)?.has(vip) || left-- <= 0) continue;
        this.#send(echo, target, vip, leg.id);
      }
    }
  }

  #send(echo: VipEcho, target: Ip, vip: Ip, mark: number): void {
    this.#sequence = (this.#sequence + 1) & 0xffff;
    this.#requests.delete(this.#sequence);
    this.#requests.set(this.#sequence, { target, vip });
    const [oldest] = this.#requests.keys();
    if (this.#requests.size > REMEMBERED && oldest !== undefined) this.#requests.delete(oldest);
    try {
      echo.send(vip, this.#sequence, mark);
    } catch (error) {
      // No route, no neighbour yet: as if it had been lost.
      if (!(error instanceof KernelError)) throw error;
    }
  }

  #socket(device: string, family: Family, nowMs: number): VipEcho | undefined {
    const key = `${device} IPv${family}`;
    const source = this.#sourceOf(device, family);
    const known = this.#sockets.get(key);
    if (known !== undefined && known.source === source) return known.echo;
    known?.echo.close();
    this.#sockets.delete(key);
    if (source === undefined || nowMs < this.#retryAtMs) return undefined;
    try {
      const echo = this.#options.open(
        { family, interface: device, source },
        Math.floor(this.#options.random() * 0x10000),
      );
      this.#sockets.set(key, { echo, source });
      return echo;
    } catch (error) {
      this.#lose(key, error);
      return undefined;
    }
  }

  /** The interface went, or may not be used: asked again in a while. */
  #lose(key: string, error: unknown): void {
    if (!(error instanceof KernelError)) throw error;
    this.#sockets.get(key)?.echo.close();
    this.#sockets.delete(key);
    this.#retryAtMs = this.#options.nowMs() + RETRY_MS;
    this.#options.log.warn({ err: error }, "cannot ask new targets for their VIP");
  }

  #tell(nowMs: number): void {
    for (const [address, standing] of this.#standings) {
      if (standing.kind !== "arriving" || nowMs - standing.sinceMs < TELL_AFTER_MS) continue;
      const target = this.#legs.get(address)?.target ?? address;
      const missing = this.#vipsOf(address).filter((vip) => !this.#answered.get(address)?.has(vip));
      if (this.#told.has(target)) continue;
      this.#told.add(target);
      this.#options.log.warn(
        { target, address, vips: missing },
        "a new target does not answer for the VIP, as others do, and gets no flows: does the node agent run on its node, " +
          "and does it answer echo requests?",
      );
    }
  }
}
