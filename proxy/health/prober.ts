import { isDeepStrictEqual } from "node:util";
import { EchoSocket } from "#shared/kernel/echo-socket.ts";
import { KernelError } from "#shared/kernel/kernel-error.ts";
import { interfaceIndex, readyNow } from "#shared/kernel/libc.ts";
import { familyOf } from "#shared/net/ip.ts";
import { AttentiveClock } from "./attentive-clock.ts";
import { type Answer, NotAskedError, notAsked, notSent, ProbeSocket } from "./probe-socket.ts";
import type { ProbeReport, ProbeSpec, WantedProbe } from "./probe-spec.ts";
import { excused, initialHealth, isHeld, nextHealth, returned, type TargetHealth } from "./target-health.ts";
import { judge, type NetworkVerdict, NOTHING_KNOWN, type Witness } from "./verdict.ts";

export interface ProberOptions {
  /** Monotonic. */
  readonly nowMs: () => number;
  /** Evenly from [0, 1). */
  readonly random: () => number;
  /** What is new, all of it in one step. */
  readonly onNews: (news: ProberNews) => void;
}

export interface ProberNews {
  readonly reports: readonly ProbeReport[];
  /** Groups ({@link groupOf}) of which the instance reaches nobody. */
  readonly partitioned: readonly string[];
}

/** While questions are open it is looked for answers this often: one look for all of them, not one for each. */
const LOOK_MS = 10;
/** Between two turns at the most. */
const TURN_MS = 50;
/** A turn that is later than this was kept from its work, and so may be whoever should answer. */
const SLACK_MS = 20;
/** So much time for each of those that begin together and wait for their first answer. */
const PENDING_SPREAD_MS = 0.2;
/** How often it is looked whether an interface is still the one that it was. */
const RENEW_MS = 200;

/** `answeredMs` and `downSinceMs` are a {@link Witness}' */
interface Entry {
  readonly spec: ProbeSpec;
  readonly patienceMs: number;
  health: TargetHealth;
  dueMs: number;
  asked: { readonly atMs: number; readonly socket: ProbeSocket | undefined; readonly sequence: number } | undefined;
  answeredMs: Witness["answeredMs"];
  downSinceMs: Witness["downSinceMs"];
  /** The last failure. */
  failure: string;
  /** Why it could not be asked, the last time. */
  problem: string;
  reported: ProbeReport | undefined;
}

/** The echo requests of a group of probes. */
interface Echo {
  readonly socket: EchoSocket;
  readonly device: string;
  readonly ifindex: number;
}

/** Asks the targets, and judges them by what they answer. Knows no thread: `turn` does what is due and what has come. */
export class Prober {
  readonly #options: ProberOptions;
  readonly #clock: AttentiveClock;
  readonly #entries = new Map<string, Entry>();
  /** One for each group of probes. */
  readonly #echoes = new Map<string, Echo>();
  readonly #bySequence = new Map<number, Entry>();
  readonly #verdicts = new Map<string, NetworkVerdict>();
  #sequence = 0;
  #changed = true;
  #waiting = false;
  #renewMs = 0;

  constructor(options: ProberOptions) {
    this.#options = options;
    this.#clock = new AttentiveClock(SLACK_MS, options.nowMs());
  }

  /** All probes there shall be from now on; those that stay go on undisturbed. */
  want(probes: readonly WantedProbe[]): void {
    const wanted = new Set(probes.map(({ id }) => id));
    for (const [id, entry] of this.#entries) {
      if (wanted.has(id)) continue;
      this.#forgetQuestion(entry);
      this.#entries.delete(id);
    }
    const nowMs = this.#clock.look(this.#options.nowMs());
    const fresh = probes.filter(({ id }) => !this.#entries.has(id));
    for (const { initial, ...spec } of fresh) {
      // Spread over the interval; few that get no packet before they have answered need not wait for it.
      const spreadMs = initial === "pending" ? fresh.length * PENDING_SPREAD_MS : spec.intervalMs;
      const waitMs = this.#options.random() * Math.min(spec.intervalMs, spreadMs);
      this.#entries.set(spec.id, {
        spec,
        patienceMs: spec.intervalMs + spec.timeoutMs,
        health: initialHealth(initial, nowMs),
        dueMs: nowMs + waitMs,
        asked: undefined,
        answeredMs: undefined,
        downSinceMs: initial === "down" ? Number.NEGATIVE_INFINITY : undefined,
        failure: "",
        problem: "",
        reported: undefined,
      });
    }
    const groups = new Set([...this.#entries.values()].map(({ spec }) => groupOf(spec)));
    for (const [group, echo] of this.#echoes) {
      if (groups.has(group)) continue;
      echo.socket.close();
      this.#echoes.delete(group);
    }
    for (const group of this.#verdicts.keys()) if (!groups.has(group)) this.#verdicts.delete(group);
    this.#changed = true;
  }

  /** @returns in how many milliseconds to call again. */
  turn(): number {
    const nowMs = this.#clock.look(this.#options.nowMs());
    // What has come counts before what has run out.
    this.#readAnswers(nowMs);
    this.#renewEchoes(nowMs);
    let nextMs = nowMs + TURN_MS;
    for (const entry of this.#entries.values()) {
      const { spec } = entry;
      if (entry.asked !== undefined && nowMs - entry.asked.atMs >= spec.timeoutMs) {
        this.#settle(entry, { kind: "failed", message: `no answer in ${spec.timeoutMs} ms` }, nowMs);
        // Silence has taken its time already: as long as more of it takes the target out, it is asked again at once.
        if (entry.health.state !== "down") entry.dueMs = nowMs;
      }
      if (nowMs >= entry.dueMs) {
        // Its place in the interval stays, however many were missed.
        entry.dueMs += spec.intervalMs * Math.ceil((nowMs - entry.dueMs + 1) / spec.intervalMs);
        if (entry.asked === undefined) this.#ask(entry, nowMs);
      }
      if (entry.asked !== undefined) nextMs = Math.min(nextMs, nowMs + LOOK_MS);
      nextMs = Math.min(nextMs, entry.dueMs);
    }
    this.#report(nowMs);
    const waitMs = Math.max(LOOK_MS / 2, nextMs - nowMs);
    this.#clock.expect(waitMs);
    return waitMs;
  }

  close(): void {
    this.want([]);
  }

  #readAnswers(nowMs: number): void {
    const open: { readonly entry: Entry; readonly socket: ProbeSocket }[] = [];
    for (const entry of this.#entries.values()) {
      if (entry.asked?.socket !== undefined) open.push({ entry, socket: entry.asked.socket });
    }
    for (const index of readyNow(open.map(({ socket }) => socket))) {
      const { entry, socket } = open[index] ?? {};
      const answer = socket?.step();
      if (entry !== undefined && answer !== undefined) this.#settle(entry, answer, nowMs);
    }
    for (const [group, { socket }] of this.#echoes) {
      try {
        socket.drain((from, sequence) => {
          const entry = this.#bySequence.get(sequence);
          if (entry?.spec.address === from) this.#settle(entry, { kind: "answered", message: "" }, nowMs);
        });
      } catch (error) {
        // It is opened anew with the next question; what is not answered fails by its time limit.
        if (!(error instanceof KernelError)) throw error;
        socket.close();
        this.#echoes.delete(group);
      }
    }
  }

  #ask(entry: Entry, nowMs: number): void {
    try {
      if (entry.spec.type !== "ICMP") {
        entry.asked = { atMs: nowMs, socket: new ProbeSocket(entry.spec), sequence: 0 };
        return;
      }
      const sequence = this.#freeSequence();
      entry.asked = { atMs: nowMs, socket: undefined, sequence };
      this.#bySequence.set(sequence, entry);
      const refused = this.#sendEcho(entry.spec, sequence);
      if (refused !== undefined) this.#settle(entry, refused, nowMs);
    } catch (error) {
      if (!(error instanceof NotAskedError)) throw error;
      this.#settle(entry, error.answer, nowMs);
    }
  }

  #sendEcho(spec: ProbeSpec, sequence: number): Answer | undefined {
    let echo: Echo;
    try {
      echo = this.#echo(spec);
    } catch (error) {
      if (error instanceof KernelError) return notAsked(error.code);
      throw error;
    }
    try {
      echo.socket.send(spec.address, sequence);
      return undefined;
    } catch (error) {
      if (error instanceof KernelError) return notSent(error.code);
      throw error;
    }
  }

  #echo(spec: ProbeSpec): Echo {
    const { address, interface: device } = spec;
    const known = this.#echoes.get(groupOf(spec));
    if (known !== undefined) return known;
    const identifier = Math.floor(this.#options.random() * 0x1_0000);
    const socket = new EchoSocket({ family: familyOf(address), device, identifier });
    const echo = { socket, device, ifindex: interfaceIndex(device) };
    this.#echoes.set(groupOf(spec), echo);
    return echo;
  }

  /** Of 16 bits; from 1, for 0 is that of questions of other types. */
  #freeSequence(): number {
    do this.#sequence = (this.#sequence % 0xffff) + 1;
    while (this.#bySequence.has(this.#sequence) && this.#bySequence.size < 0xffff);
    return this.#sequence;
  }

  #forgetQuestion(entry: Entry): void {
    entry.asked?.socket?.close();
    if (entry.asked !== undefined) this.#bySequence.delete(entry.asked.sequence);
    entry.asked = undefined;
  }

  #settle(entry: Entry, { kind, message }: Answer, nowMs: number): void {
    const askedMs = entry.asked?.atMs ?? nowMs;
    const { failure, health, problem } = entry;
    this.#forgetQuestion(entry);
    entry.problem = kind === "undecided" ? message : "";
    if (kind !== "undecided") {
      const answered = kind === "answered" || (kind === "refused" && entry.spec.leaving);
      if (!answered) entry.failure = message;
      if (answered) entry.answeredMs = askedMs;
      entry.health = nextHealth(health, { answered, askedMs }, entry.spec, nowMs);
      entry.downSinceMs = entry.health.state === "down" ? (entry.downSinceMs ?? nowMs) : undefined;
    }
    // Of the many answers that change nothing nobody needs to be told.
    if (
      health.state !== entry.health.state ||
      isHeld(health) !== isHeld(entry.health) ||
      problem !== entry.problem ||
      failure !== entry.failure
    ) {
      this.#changed = true;
    }
  }

  /** A raw socket stays bound to an interface that has gone, also when one of its name has come. */
  #renewEchoes(nowMs: number): void {
    if (nowMs < this.#renewMs) return;
    this.#renewMs = nowMs + RENEW_MS;
    for (const [group, echo] of this.#echoes) {
      if (interfaceIndex(echo.device) === echo.ifindex) continue;
      echo.socket.close();
      this.#echoes.delete(group);
    }
  }

  #report(nowMs: number): void {
    // Waiting for others, or for the end of a wait, is over by time alone.
    if (!this.#changed && !this.#waiting) return;
    this.#changed = false;
    this.#waiting = false;
    const before = this.#partitioned();
    const reports: ProbeReport[] = [];
    for (const [group, members] of Map.groupBy(this.#entries.values(), ({ spec }) => groupOf(spec))) {
      const witnesses = new Map(members.map((entry) => [entry.spec.id, entry]));
      const judgement = judge(this.#verdicts.get(group) ?? NOTHING_KNOWN, witnesses, nowMs);
      const { verdict } = judgement;
      this.#verdicts.set(group, verdict);
      if (verdict.partitioned) this.#waiting = true;
      for (const entry of members) {
        if (judgement.excused.has(entry.spec.id)) entry.health = excused(entry.health);
        if (judgement.returning.has(entry.spec.id)) {
          entry.health = returned(entry.health);
          entry.downSinceMs = undefined;
        }
        const { failure, health, problem, spec } = entry;
        const out = verdict.down.has(spec.id);
        if (health.state === "down" && !out) this.#waiting = true;
        const state = out ? "down" : health.state === "pending" ? "pending" : "up";
        const message = problem || (state === "up" ? "" : failure);
        const { falls } = health.damping;
        const { reported } = entry;
        if (reported?.state === state && reported.message === message && reported.falls === falls) continue;
        entry.reported = { id: spec.id, state, falls, message };
        reports.push(entry.reported);
      }
    }
    const partitioned = this.#partitioned();
    if (reports.length > 0 || !isDeepStrictEqual(partitioned, before)) this.#options.onNews({ reports, partitioned });
  }

  #partitioned(): string[] {
    return [...this.#verdicts].flatMap(([group, { partitioned }]) => (partitioned ? [group] : []));
  }
}

/** Those that stand and fall together when the instance is cut off: one interface, one family. */
export function groupOf({ address, interface: device }: Pick<ProbeSpec, "address" | "interface">): string {
  return `IPv${familyOf(address)} by ${device}`;
}
