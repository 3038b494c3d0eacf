import type { Sister } from "./election.ts";
import type { Hello } from "./hello-packet.ts";

/** Gateways that are remembered on one network. */
const MOST_PER_NETWORK = 32;

interface Heard {
  readonly hello: Hello;
  readonly heardMs: number;
}

/** The gateways that were heard, by network and by the address that they have there. Time is handed in. */
export class SisterTable {
  readonly #deadMs: number;
  readonly #networks = new Map<string, Map<string, Heard>>();

  /** @param deadMs one that was not heard for so long is none any more. */
  constructor(deadMs: number) {
    this.#deadMs = deadMs;
  }

  /**
   * One address is one gateway: what came from it before, of a process that was there before, no longer counts.
   * @returns whether anything may be elected otherwise now.
   */
  heard(network: string, source: string, hello: Hello, nowMs: number): boolean {
    const there = this.#networks.get(network) ?? new Map<string, Heard>();
    this.#networks.set(network, there);
    const before = there.get(source);
    if (before === undefined && there.size >= MOST_PER_NETWORK) return false;
    there.set(source, { hello, heardMs: nowMs });
    return before?.hello.id !== hello.id || before.hello.offers.join() !== hello.offers.join();
  }

  /** Forgets who is silent, and networks that we are not on. @returns whether there was such a one. */
  expire(nowMs: number, networks: ReadonlySet<string>): boolean {
    let expired = false;
    for (const [network, there] of this.#networks) {
      for (const [source, { heardMs }] of there) {
        if (networks.has(network) && nowMs - heardMs < this.#deadMs) continue;
        there.delete(source);
        expired = true;
      }
    }
    return expired;
  }

  sisters(): readonly Sister[] {
    const found = new Map<string, { networks: Set<string>; offers: Set<number>; heardMs: number }>();
    for (const [network, there] of this.#networks) {
      for (const { hello, heardMs } of there.values()) {
        const known = found.get(hello.id);
        // What was said last counts: one that withdraws an offer says so on one network after the other.
        const isNewer = known === undefined || heardMs >= known.heardMs;
        found.set(hello.id, {
          networks: (known?.networks ?? new Set()).add(network),
          offers: isNewer ? new Set(hello.offers) : known.offers,
          heardMs: isNewer ? heardMs : known.heardMs,
        });
      }
    }
    return [...found].map(([id, { networks, offers }]) => ({ id, networks, offers }));
  }
}
