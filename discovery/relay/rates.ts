/** So many in a second on average, and as many at once. */
class TokenBucket {
  readonly #perSecond: number;
  #tokens: number;
  #atMs: number;

  constructor(perSecond: number, nowMs: number) {
    this.#perSecond = perSecond;
    this.#tokens = perSecond;
    this.#atMs = nowMs;
  }

  take(nowMs: number): boolean {
    const earned = ((nowMs - this.#atMs) * this.#perSecond) / 1000;
    this.#tokens = Math.min(this.#perSecond, this.#tokens + Math.max(0, earned));
    this.#atMs = nowMs;
    if (this.#tokens < 1) return false;
    this.#tokens -= 1;
    return true;
  }
}

export interface RateLimits {
  readonly datagramsPerSecond: number;
  readonly datagramsPerSecondPerSource: number;
}

/** Buckets of addresses; the one that was made first goes when there are more. */
const MAX_SOURCES = 4_096;

/**
 * How many datagrams are looked at: so many of each address, and of all strangers together. An address that has a
 * participant does not share with strangers, so that a flood from forged addresses does not silence it.
 */
export class Rates {
  readonly #limits: RateLimits;
  readonly #strangers: TokenBucket;
  readonly #sources = new Map<string, TokenBucket>();

  constructor(limits: RateLimits, nowMs: number) {
    this.#limits = limits;
    this.#strangers = new TokenBucket(limits.datagramsPerSecond, nowMs);
  }

  take(address: string, isKnown: boolean, nowMs: number): boolean {
    let bucket = this.#sources.get(address);
    if (bucket === undefined) {
      const [oldest] = this.#sources.keys();
      if (this.#sources.size >= MAX_SOURCES && oldest !== undefined) this.#sources.delete(oldest);
      bucket = new TokenBucket(this.#limits.datagramsPerSecondPerSource, nowMs);
      this.#sources.set(address, bucket);
    }
    if (!bucket.take(nowMs)) return false;
    return isKnown || this.#strangers.take(nowMs);
  }
}
