import { watchKernel } from "#shared/kernel/netlink-events.ts";
import { ip } from "#shared/net/ip.ts";
import { ConvergeLoop } from "#shared/process/converge-loop.ts";
import type { Log } from "#shared/process/log.ts";
import { pause } from "#shared/process/pause.ts";
import {
  type Allowed,
  audience,
  type Copy,
  copyKey,
  type EndpointsOf,
  type FanOutParticipant,
  mayCopy,
} from "./audience.ts";
import { copyNumber, election } from "./election.ts";
import { FanOutKernel, lookForTable } from "./fan-out-kernel.ts";
import { MOST_OFFERS } from "./hello-packet.ts";
import { HelloSockets } from "./hello-sockets.ts";
import { type Membership, Memberships } from "./memberships.ts";
import { type AttachedNetwork, planNetworks, type WantedNetwork } from "./plan-networks.ts";
import { type CopyPolicy, counterName, HELLO_GROUP, type PlannedCopy, ruleset } from "./ruleset.ts";
import { SisterTable } from "./sister-table.ts";

/** What one object asks for. */
export interface FanOutDomain {
  readonly networks: readonly WantedNetwork[];
  readonly allowed: Allowed;
  readonly policy: CopyPolicy;
  readonly participants: Iterable<FanOutParticipant>;
  readonly endpointsOf: EndpointsOf;
}

export interface FanOutOptions {
  /** What is asked for now, by all objects together; undefined while that is not known: then the kernel is left as it is. */
  readonly domains: () => readonly FanOutDomain[] | undefined;
  /** 32 hexadecimal digits that no other gateway has. */
  readonly id: string;
  readonly log: Log;
  readonly nowMs: () => number;
  /** On abort other gateways take over what they can; all other copies go on without the process. */
  readonly signal: AbortSignal;
}

export interface FanOutStatus {
  readonly copies: readonly {
    readonly group: string;
    readonly port: number;
    readonly from: string;
    readonly to: string;
    /** This gateway makes it; else another one. */
    readonly isOurs: boolean;
  }[];
  /** Other gateways that are heard, and on which networks. */
  readonly sisters: readonly { readonly id: string; readonly networks: readonly string[] }[];
  readonly problems: readonly string[];
  /** Interfaces, and packets since the table was made. */
  readonly packets: readonly {
    /** "stayed": its TTL was 1. "too-big": longer than the other network's MTU. */
    readonly outcome: "copied" | "too-big" | "limited" | "stayed";
    readonly from: string;
    readonly to: string | undefined;
    readonly packets: number;
  }[];
}

const HELLO_MS = 200;
/** One that misses five hellos is gone. */
const DEAD_MS = 1_100;
/** A contested copy has ended here before another gateway can begin with it. */
const LEASE_MS = 1_000;
/** Others are listened to before anything is copied. */
const LISTEN_MS = 2.5 * HELLO_MS;
/** Between two looks at who hears what: participants and topics come by the hundred. */
const PASS_MS = 20;
const RETRY_MS = 1_000;
const LAST_RETRY_MS = 30_000;
/**
 * How long copies that an earlier process has made go on without a participant that is known: vendors announce participants every
 * 30 seconds at the latest, unless told otherwise.
 */
const INHERITED_MS = 60_000;
const GOODBYES = 3;
const GOODBYE_MS = 50;

interface Elected extends Copy {
  readonly isOurs: boolean;
  readonly isContested: boolean;
  readonly policy: CopyPolicy;
}

/** Has the kernel copy multicast of user data between networks, to where somebody hears it. */
export class FanOut {
  readonly #options: FanOutOptions;
  readonly #loop: ConvergeLoop;
  readonly #sisters = new SisterTable(DEAD_MS);
  readonly #hellos: HelloSockets;
  readonly #memberships: Memberships;
  /** Opened when the first object asks for copies: a relay without any needs no right to change the network. */
  #kernel: FanOutKernel | undefined;
  #listenUntilMs: number | undefined;
  /** What is told; undefined while nothing is. */
  #offers: readonly number[] | undefined;
  #elected: readonly Elected[] = [];
  #problems: readonly string[] = [];
  #attached: readonly AttachedNetwork[] = [];
  #reported = "";
  #leaving = false;
  #notBeforeMs = Number.NEGATIVE_INFINITY;
  #retryMs = RETRY_MS;
  /** What failed last besides passes. */
  #failure = "";
  #isFirst = true;
  #inherited: { readonly copies: readonly Copy[]; readonly untilMs: number } | undefined;
  #retry: NodeJS.Timeout | undefined;
  readonly #work = new AbortController();
  readonly done: Promise<void>;

  constructor(options: FanOutOptions) {
    this.#options = options;
    const { log, nowMs, signal } = options;
    const failed = (error: Error): void => this.#failed(error);
    this.#hellos = new HelloSockets({
      heard: (network, source, hello) => {
        if (this.#sisters.heard(network, source, hello, nowMs())) this.wake();
      },
      failed,
    });
    this.#memberships = new Memberships(failed);
    const converge = (): Promise<number | undefined> => this.#converge();
    this.#loop = new ConvergeLoop({ name: "fan-out", converge, log, signal: this.#work.signal });
    this.done = this.#live(signal);
  }

  /** What is asked for, or who hears, has changed. */
  wake(): void {
    this.#loop.wake();
  }

  /** Sentences that name what is wrong. */
  get problems(): readonly string[] {
    return this.#problems;
  }

  status(): FanOutStatus {
    return {
      copies: this.#elected.map(({ group, port, from, to, isOurs }) => ({ group, port, from, to, isOurs })),
      sisters: this.#sisters.sisters().map(({ id, networks }) => ({ id, networks: [...networks].sort() })),
      problems: this.#problems,
      packets: packetsOf(this.#kernel?.counters() ?? new Map(), this.#attached),
    };
  }

  async #live(signal: AbortSignal): Promise<void> {
    const running = this.#loop.run();
    const beat = setInterval(() => this.#beat(), HELLO_MS);
    const stop = Promise.withResolvers<void>();
    signal.addEventListener("abort", () => stop.resolve(), { once: true });
    if (signal.aborted) stop.resolve();
    await stop.promise;
    clearInterval(beat);
    clearTimeout(this.#retry);
    await this.#leave();
    this.#work.abort();
    await running;
    this.#hellos.close();
    this.#memberships.close();
    this.#kernel?.close();
  }

  /** Others take over what they can make; what they cannot stays with the kernel. */
  async #leave(): Promise<void> {
    if (this.#offers === undefined) return;
    this.#offers = [];
    for (let left = GOODBYES; left > 0; left--) {
      this.#tell();
      await pause(GOODBYE_MS, this.#work.signal);
    }
    this.#leaving = true;
    try {
      await this.#converge();
    } catch (error) {
      this.#options.log.warn({ err: error }, "cannot hand over the fan-out's copies; they end in a second");
    }
  }

  #beat(): void {
    this.#tell();
    const networks = new Set(this.#attached.map(({ name }) => name));
    if (this.#sisters.expire(this.#options.nowMs(), networks)) this.wake();
    try {
      if (this.#kernel?.disturbed() === true) this.wake();
    } catch (error) {
      this.#failed(new Error("cannot look at the ruleset", { cause: error }));
      this.wake();
    }
  }

  #tell(): void {
    if (this.#offers !== undefined) this.#hellos.send({ id: this.#options.id, offers: this.#offers });
  }

  async #converge(): Promise<number | undefined> {
    const nowMs = this.#options.nowMs();
    const waitMs = this.#notBeforeMs - nowMs;
    if (waitMs > 0 && !this.#leaving) return waitMs;
    try {
      const againMs = this.#pass();
      this.#notBeforeMs = nowMs + PASS_MS;
      this.#retryMs = RETRY_MS;
      return againMs;
    } catch (error) {
      // However often it is woken: what fails is tried, and told of, less and less often.
      this.#notBeforeMs = nowMs + this.#retryMs;
      this.#retryMs = Math.min(LAST_RETRY_MS, this.#retryMs * 2);
      this.#problems = [`fanOut: ${error instanceof Error ? error.message : String(error)}`];
      throw error;
    }
  }

  /** @returns when to look again. */
  #pass(): number | undefined {
    const { domains: wanted, nowMs } = this.#options;
    const domains = wanted();
    if (domains === undefined) return undefined;
    const kernel = this.#opened(domains.length > 0);
    if (kernel === undefined) return undefined;
    const { attached, problems } = planNetworks(networksOf(domains), kernel.interfaces());
    this.#attached = attached;
    this.#hellos.want(attached);
    const found = this.#copies(domains, attached, this.#inheritance(kernel, attached));
    this.#memberships.want(membershipsOf(attached, found.copies));
    this.#report([...problems, ...found.problems]);
    if (attached.length > 0) {
      this.#listenUntilMs ??= nowMs() + LISTEN_MS;
      const leftMs = this.#listenUntilMs - nowMs();
      // What an earlier process has left goes on meanwhile.
      if (leftMs > 0) return leftMs;
    }
    const elected = found.copies.map((copy) => this.#elect(copy));
    const copies: readonly PlannedCopy[] = elected.filter(({ isOurs }) => isOurs);
    const transactions = kernel.apply(ruleset({ networks: attached, copies, leaseMs: LEASE_MS }));
    this.#elected = elected;
    if (transactions > 0) {
      const counts = { networks: attached.length, copies: copies.length, others: elected.length - copies.length };
      this.#options.log.info({ ...counts, transactions }, "fan-out programmed");
    }
    this.#offer(elected);
    const inheritedMs = (this.#inherited?.untilMs ?? 0) - nowMs();
    return inheritedMs > 0 ? inheritedMs : undefined;
  }

  /** What the kernel copied when this process began: who hears it has not said so to this process yet. */
  #inheritance(kernel: FanOutKernel, attached: readonly AttachedNetwork[]): readonly Copy[] {
    const nowMs = this.#options.nowMs();
    if (attached.length > 0) this.#inherited ??= { copies: kernel.copies(attached), untilMs: nowMs + INHERITED_MS };
    const { copies, untilMs } = this.#inherited ?? { copies: [], untilMs: 0 };
    return nowMs < untilMs ? copies : [];
  }

  /** @returns undefined when there is nothing to do, and never was. */
  #opened(isWanted: boolean): FanOutKernel | undefined {
    if (this.#kernel !== undefined) return this.#kernel;
    if (!isWanted && !this.#isFirst) {
      this.#report([]);
      return undefined;
    }
    const found = lookForTable();
    this.#isFirst = false;
    if (isWanted && found === "forbidden") {
      this.#report(["spec.fanOut: the relay may not change nftables; give its container CAP_NET_ADMIN"]);
    }
    if (found === "forbidden" || (!isWanted && found === "absent")) return undefined;
    this.#kernel = new FanOutKernel(this.#options.log);
    this.#watch(this.#kernel);
    return this.#kernel;
  }

  #watch(kernel: FanOutKernel): void {
    watchKernel({
      groups: ["link", "address"],
      signal: this.#work.signal,
      onChange: () => {
        kernel.networkChanged();
        this.#notBeforeMs = Number.NEGATIVE_INFINITY;
        this.wake();
      },
      onError: (error) => {
        this.#options.log.error({ err: error }, "cannot watch the kernel's interfaces any more; trying again");
        kernel.networkChanged();
        this.#watch(kernel);
      },
    });
  }

  #copies(domains: readonly FanOutDomain[], attached: readonly AttachedNetwork[], inherited: readonly Copy[]) {
    const names = new Set(attached.map(({ name }) => name));
    const copies = new Map<string, Copy & { readonly policy: CopyPolicy }>();
    const problems: string[] = [];
    for (const { participants, endpointsOf, allowed, policy, networks } of domains) {
      const { copies: found, left } = audience(participants, endpointsOf, allowed);
      const isNamed = (name: string): boolean => networks.some((network) => network.name === name);
      const kept = inherited.filter((copy) => mayCopy(copy, allowed) && isNamed(copy.from) && isNamed(copy.to));
      for (const copy of [...found, ...kept]) {
        if (names.has(copy.from) && names.has(copy.to)) copies.set(copyKey(copy), { ...copy, policy });
      }
      if (left > 0) problems.push(`participants announce too many multicast groups: ${left} of them are not copied`);
    }
    return { copies: [...copies.values()], problems };
  }

  #elect(copy: Copy & { readonly policy: CopyPolicy }): Elected {
    const { from, to } = copy;
    const { isOurs, contested } = election(this.#options.id, this.#sisters.sisters(), { key: copyKey(copy), from, to });
    // One that leaves no longer makes what another one can.
    return { ...copy, isOurs: isOurs && !(this.#leaving && contested), isContested: contested };
  }

  /** Only after the kernel has what is ours: what is offered may be taken from others. */
  #offer(elected: readonly Elected[]): void {
    if (this.#leaving) return;
    const offers = elected.map((copy) => copyNumber(copyKey(copy))).slice(0, MOST_OFFERS);
    const isNews = this.#offers === undefined || this.#offers.join() !== offers.join();
    this.#offers = offers;
    if (isNews) this.#tell();
  }

  #report(problems: readonly string[]): void {
    this.#problems = problems;
    const text = problems.join("\n");
    if (text === this.#reported) return;
    this.#reported = text;
    for (const problem of problems) this.#options.log.warn({}, `fan-out: ${problem}`);
  }

  /** A socket that fails is opened anew soon. */
  #failed(error: Error): void {
    if (error.message !== this.#failure) this.#options.log.warn({ err: error }, "fan-out");
    this.#failure = error.message;
    this.#retry ??= setTimeout(() => {
      this.#retry = undefined;
      this.wake();
    }, RETRY_MS);
  }
}

function packetsOf(
  counters: ReadonlyMap<string, number>,
  networks: readonly AttachedNetwork[],
): FanOutStatus["packets"] {
  const devices = networks.map((network) => network.interface);
  const named = devices.flatMap((from) => [
    { outcome: "limited" as const, from, to: undefined, name: counterName.limited(from) },
    { outcome: "stayed" as const, from, to: undefined, name: counterName.stayed(from) },
    ...devices.flatMap((to) => [
      { outcome: "copied" as const, from, to, name: counterName.copied(from, to) },
      { outcome: "too-big" as const, from, to, name: counterName.tooBig(from, to) },
    ]),
  ]);
  return named.flatMap(({ name, ...of }) => {
    const packets = counters.get(name);
    return packets === undefined ? [] : [{ ...of, packets }];
  });
}

/** By interface: objects may name the same one. */
function networksOf(domains: readonly FanOutDomain[]): readonly WantedNetwork[] {
  const found = new Map<string, WantedNetwork>();
  for (const { networks } of domains) for (const network of networks) found.set(network.interface, network);
  return [...found.values()].sort((a, b) => (a.interface < b.interface ? -1 : 1));
}

/** The groups that are copied from a network, and the one of the hellos. */
function membershipsOf(attached: readonly AttachedNetwork[], copies: readonly Copy[]): readonly Membership[] {
  return attached.flatMap(({ name, address, ifindex }) => {
    const groups = copies.filter(({ from }) => from === name).map(({ group }) => group);
    return [...new Set([ip(HELLO_GROUP), ...groups])].map((group) => ({ group, address, ifindex }));
  });
}
