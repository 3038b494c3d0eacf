import { type EchoPort, EchoTurns } from "#shared/kernel/echo-turns.ts";
import { KernelError } from "#shared/kernel/kernel-error.ts";
import type { Ip } from "#shared/net/ip.ts";
import type { Log } from "#shared/process/log.ts";
import {
  chooseEars,
  type Ear,
  type Hearing,
  type InstanceHealth,
  instanceKey,
  isDeaf,
  judge,
} from "./instance-health.ts";

/** Between two requests to an instance. */
export const PROBE_MS = 100;
/** An ear that hears nobody is not chosen again for this long while there are others. */
const DEAF_MS = 10_000;
/** Where ears are missing, they are looked for again after this. */
const RETRY_MS = 500;

export interface InstanceProberOptions {
  /** Opens a socket in the network namespace of the ear's pod. @throws when the namespace cannot be entered. */
  readonly open: (ear: Ear, identifier: number) => EchoPort;
  /** Monotonic. */
  readonly nowMs: () => number;
  /** Evenly from [0, 1). */
  readonly random: () => number;
  readonly log: Log;
  /** The health of an instance has changed. */
  readonly onChange: () => void;
}

/** One ear at work. */
interface Listener {
  readonly ear: Ear;
  readonly turns: EchoTurns;
}

/**
 * Asks the instances, from a few pods of the node on behalf of all, whether they are there: ICMP echo, which their
 * kernels answer. Ten times a second, so that replies find a living instance in less than a second.
 */
export class InstanceProber {
  readonly #options: InstanceProberOptions;
  readonly #listeners = new Map<string, Listener>();
  /** Until when an ear is passed over, by key. */
  readonly #deaf = new Map<string, number>();
  #ears: ReadonlyMap<string, Ear> = new Map();
  #health: InstanceHealth = new Map();
  #timer: NodeJS.Timeout | undefined;
  #retryAtMs = Number.POSITIVE_INFINITY;
  #complaint = "";

  constructor(options: InstanceProberOptions) {
    this.#options = options;
  }

  /** All places from which it may be asked, by key. */
  want(ears: ReadonlyMap<string, Ear>): void {
    this.#ears = ears;
    this.#choose();
    if (ears.size > 0) this.#timer ??= setInterval(() => this.turn(), PROBE_MS);
    else this.close();
  }

  /** Whether replies may be sent to an instance; true of those that are not asked. */
  answers(network: string, address: Ip): boolean {
    return this.#health.get(instanceKey(network, address))?.reported ?? true;
  }

  health(): InstanceHealth {
    return this.#health;
  }

  close(): void {
    clearInterval(this.#timer);
    this.#timer = undefined;
    for (const key of [...this.#listeners.keys()]) this.#end(key);
    this.#health = new Map();
  }

  /** One round of requests. */
  turn(): void {
    const nowMs = this.#options.nowMs();
    const hearings: Hearing[] = [];
    let lost = false;
    for (const [key, { ear, turns }] of this.#listeners) {
      try {
        const hearing = { ear, instances: turns.turn(ear.instances) };
        hearings.push(hearing);
        if (!isDeaf(hearing)) continue;
      } catch (error) {
        if (!(error instanceof KernelError)) throw error;
      }
      // Its interface may be another one by now, or it may be the only ear: opened anew in either case.
      this.#deaf.set(key, nowMs + DEAF_MS);
      this.#end(key);
      lost = true;
    }
    const health = judge(this.#health, hearings, nowMs);
    const changed = this.#tell(health);
    // Ears that were just lost have not voted: what they said last stands.
    this.#health = lost ? new Map([...this.#health, ...health]) : health;
    if (lost || nowMs >= this.#retryAtMs) this.#choose();
    if (changed) this.#options.onChange();
  }

  #tell(health: InstanceHealth): boolean {
    const { log } = this.#options;
    let changed = false;
    for (const [instance, { reported, falls }] of health) {
      if ((this.#health.get(instance)?.reported ?? true) === reported) continue;
      changed = true;
      if (reported) log.info({ instance }, "gateway instance answers again: replies may go there");
      else log.warn({ instance, falls }, "gateway instance does not answer: replies take the others");
    }
    return changed;
  }

  #choose(): void {
    const nowMs = this.#options.nowMs();
    this.#retryAtMs = Number.POSITIVE_INFINITY;
    for (const [key, untilMs] of this.#deaf) if (untilMs <= nowMs) this.#deaf.delete(key);
    const chosen = chooseEars(this.#ears, new Set(this.#listeners.keys()), new Set(this.#deaf.keys()));
    for (const [key, { ear }] of this.#listeners) {
      const now = chosen.get(key);
      // A pod that was made anew under its name has another namespace.
      if (now === undefined || now.netns !== ear.netns) this.#end(key);
    }
    for (const [key, ear] of chosen) {
      const listener = this.#listeners.get(key);
      if (listener !== undefined) this.#listeners.set(key, { ...listener, ear });
      else this.#begin(key, ear);
    }
  }

  #begin(key: string, ear: Ear): void {
    const { log, open, random } = this.#options;
    try {
      const socket = open(ear, Math.floor(random() * 0x10000));
      this.#listeners.set(key, { ear, turns: new EchoTurns(socket, Math.floor(random() * 0x10000)) });
    } catch (error) {
      if (!(error instanceof Error)) throw error;
      const nowMs = this.#options.nowMs();
      this.#deaf.set(key, nowMs + DEAF_MS);
      this.#retryAtMs = nowMs + RETRY_MS;
      if (error.message !== this.#complaint)
        log.warn({ err: error, pod: ear.pod }, "cannot ask the instances from a pod");
      this.#complaint = error.message;
    }
  }

  #end(key: string): void {
    this.#listeners.get(key)?.turns.close();
    this.#listeners.delete(key);
  }
}
