/** So many in a second on average, and so many at once. */
class TokenBucket {
  readonly #perSecond: number;
  readonly #burst: number;
  #tokens: number;
  #atMs: number;

  constructor(perSecond: number, nowMs: number, burst = perSecond) {
    this.#perSecond = perSecond;
    this.#burst = burst;
    this.#tokens = burst;
    this.#atMs = nowMs;
  }

  take(nowMs: number): boolean {
    const earned = ((nowMs - this.#atMs) * this.#perSecond) / 1000;
    this.#tokens = Math.min(this.#burst, this.#tokens + Math.max(0, earned));
    this.#atMs = nowMs;
    if (this.#tokens < 1) return false;
    this.#tokens -= 1;
    return true;
  }
}

export interface RateLimits {
  readonly datagramsPerSecond: number;
  readonly datagramsPerSecondPerSource: number;
  /** Participants of one address that may come at once. */
  readonly participantsPerAddress: number;
}

/** Addresses that are remembered; the one that came first goes when there are more. */
const MAX_SOURCES = 4_096;
/**
 * Announcements of one address that others are told of, in a second: each costs a datagram to every participant, and one of
 * each to the newcomer.
 */
const NEWS_PER_SECOND = 10;

interface Allowance {
  readonly datagrams: TokenBucket;
  readonly news: TokenBucket;
}

/**
 * How many datagrams are looked at: so many of each address, and of all strangers together. An address that has a
 * participant does not share with strangers, so that a flood from forged addresses does not silence it.
 */
export class Rates {
  readonly #limits: RateLimits;
  readonly #strangers: TokenBucket;
  readonly #sources = new Map<string, Allowance>();

  constructor(limits: RateLimits, nowMs: number) {
    this.#limits = limits;
    this.#strangers = new TokenBucket(limits.datagramsPerSecond, nowMs);
  }

  /** Whether a datagram is looked at. */
  take(address: string, isKnown: boolean, nowMs: number): boolean {
    return this.#of(address, nowMs).datagrams.take(nowMs) && (isKnown || this.#strangers.take(nowMs));
  }

  /** Whether others are told of what an address announces. */
  takeNews(address: string, nowMs: number): boolean {
    return this.#of(address, nowMs).news.take(nowMs);
  }

  #of(address: string, nowMs: number): Allowance {
    const known = this.#sources.get(address);
    if (known !== undefined) return known;
    const [oldest] = this.#sources.keys();
    if (this.#sources.size >= MAX_SOURCES && oldest !== undefined) this.#sources.delete(oldest);
    const { datagramsPerSecondPerSource, participantsPerAddress } = this.#limits;
    const allowance = {
      datagrams: new TokenBucket(datagramsPerSecondPerSource, nowMs),
      news: new TokenBucket(NEWS_PER_SECOND, nowMs, participantsPerAddress + NEWS_PER_SECOND),
    };
    this.#sources.set(address, allowance);
    return allowance;
  }
}
