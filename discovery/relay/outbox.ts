/*
 * What is to be sent, and how fast: a participant that comes gets the announcements of hundreds of others, and its socket
 * has room for some hundred datagrams.
 */

/** Asked when its turn has come; undefined: it is not to be sent any more. Shared by all that it is for. */
export type Outgoing<T> = (to: T) => Uint8Array | undefined;

interface Lane<T> {
  readonly to: T;
  readonly waiting: Outgoing<T>[];
  /** Place of the next one in `waiting`. */
  next: number;
  tokens: number;
  atMs: number;
}

/** Datagrams that one receiver gets at once, and after that in a second. */
const BURST = 32;
const PER_SECOND = 4_000;
/** Lanes in use are looked at again after this. */
const TURN_MS = 2;
/** Datagrams of one turn, after which the process looks at what has come in. */
const MOST_IN_TURN = 128;

/** Queues by receiver. Time is handed in; nothing is sent here. */
export class Outbox<T> {
  readonly #lanes = new Map<T, Lane<T>>();
  readonly #most: number;
  #waiting = 0;
  #dropped = 0;

  /** @param most datagrams that wait at once; more are dropped. */
  constructor(most: number) {
    this.#most = most;
  }

  /** Datagrams that were dropped since the start because too many waited. */
  get dropped(): number {
    return this.#dropped;
  }

  get waiting(): number {
    return this.#waiting;
  }

  add(to: T, outgoing: Outgoing<T>, nowMs: number): void {
    if (this.#waiting >= this.#most) {
      this.#dropped++;
      return;
    }
    let lane = this.#lanes.get(to);
    if (lane === undefined) {
      lane = { to, waiting: [], next: 0, tokens: BURST, atMs: nowMs };
      this.#lanes.set(to, lane);
    }
    lane.waiting.push(outgoing);
    this.#waiting++;
  }

  /** Forgets what waits for a receiver. */
  forget(to: T): void {
    const lane = this.#lanes.get(to);
    if (lane === undefined) return;
    this.#waiting -= lane.waiting.length - lane.next;
    this.#lanes.delete(to);
  }

  /**
   * Hands out what may be sent now, one receiver after the other.
   * @returns after how many milliseconds to call again; undefined: nothing waits.
   */
  drain(nowMs: number, send: (to: T, message: Uint8Array) => void): number | undefined {
    let left = MOST_IN_TURN;
    const served: Lane<T>[] = [];
    for (const [to, lane] of this.#lanes) {
      lane.tokens = Math.min(BURST, lane.tokens + ((nowMs - lane.atMs) * PER_SECOND) / 1000);
      lane.atMs = nowMs;
      if (lane.next === lane.waiting.length) {
        // As if it had never been there.
        if (lane.tokens >= BURST) this.#lanes.delete(to);
        continue;
      }
      served.push(lane);
      while (left > 0 && lane.tokens >= 1) {
        const outgoing = lane.waiting[lane.next];
        if (outgoing === undefined) break;
        lane.next++;
        this.#waiting--;
        const message = outgoing(to);
        if (message === undefined) continue;
        lane.tokens--;
        left--;
        send(to, message);
      }
      if (lane.next === lane.waiting.length) {
        lane.waiting.length = 0;
        lane.next = 0;
      }
      if (left === 0) break;
    }
    if (this.#waiting === 0) return undefined;
    // The next turn begins where this one ended.
    for (const lane of left === 0 ? served : []) {
      this.#lanes.delete(lane.to);
      this.#lanes.set(lane.to, lane);
    }
    return left === 0 ? 0 : TURN_MS;
  }
}
