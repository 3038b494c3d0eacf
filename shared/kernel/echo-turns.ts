import type { Ip } from "../net/ip.ts";
import { KernelError } from "./kernel-error.ts";

/** What sends echo requests and hears the replies: an EchoSocket, except in tests. */
export interface EchoPort {
  send(to: string, sequence: number): void;
  drain(onReply: (from: string, sequence: number) => void): void;
  close(): void;
}

/** What was heard of one address. */
export interface Heard {
  /** Requests in a row without an answer. */
  readonly unanswered: number;
  /** Whether any was ever answered. */
  readonly answered: boolean;
}

interface Asked extends Heard {
  /** The request that has not been judged yet; undefined: none has left. */
  readonly sequence: number | undefined;
  readonly replied: boolean;
}

const NEVER_ASKED: Asked = { unanswered: 0, answered: false, sequence: undefined, replied: false };

/** Asks addresses in turns whether they are there. */
export class EchoTurns {
  readonly #port: EchoPort;
  readonly #asked = new Map<string, Asked>();
  #sequence: number;

  /** @param sequence of the first turn. */
  constructor(port: EchoPort, sequence: number) {
    this.#port = port;
    this.#sequence = sequence;
  }

  /**
   * Judges the requests of the last turn and sends new ones. A turn that comes late does no harm: what has arrived
   * meanwhile is read first, and a request counts as unanswered by turns, not by the clock.
   * @param addresses those to ask from now on; what is known of others is forgotten.
   * @throws KernelError when nothing can be heard any more.
   */
  turn(addresses: readonly Ip[]): ReadonlyMap<Ip, Heard> {
    this.#port.drain((from, sequence) => {
      const asked = this.#asked.get(from);
      if (asked?.sequence === sequence) this.#asked.set(from, { ...asked, replied: true });
    });
    const wanted = new Set<string>(addresses);
    for (const address of this.#asked.keys()) if (!wanted.has(address)) this.#asked.delete(address);
    const heard = new Map<Ip, Heard>();
    this.#sequence = (this.#sequence + 1) & 0xffff;
    for (const address of addresses) {
      const last = this.#asked.get(address) ?? NEVER_ASKED;
      const missed = last.sequence !== undefined && !last.replied;
      const unanswered = missed ? last.unanswered + 1 : last.replied ? 0 : last.unanswered;
      const next = { unanswered, answered: last.answered || last.replied, sequence: this.#sequence, replied: false };
      this.#asked.set(address, next);
      heard.set(address, next);
      try {
        this.#port.send(address, this.#sequence);
      } catch (error) {
        // No route, no neighbour: as if it had been lost.
        if (!(error instanceof KernelError)) throw error;
      }
    }
    return heard;
  }

  close(): void {
    this.#port.close();
  }
}
