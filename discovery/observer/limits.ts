/** What an observer keeps and works on at most. Whatever is beyond is refused and counted. */
export interface ObserverLimits {
  readonly participants: number;
  readonly endpointsPerParticipant: number;
  /** Writers and readers of all participants. */
  readonly endpoints: number;
  /** Octets of names, partitions and the like that are kept of all endpoints. */
  readonly graphOctets: number;
  /** Octets of one sample: longer ones are not put together. */
  readonly sampleOctets: number;
  /** Octets of samples of all participants that are not whole, or wait for earlier ones; a writer may use twice `sampleOctets`. */
  readonly assemblyOctets: number;
  /** Datagrams a second from one participant, after a burst of twice as many. */
  readonly datagramsPerSecond: number;
}

export const OBSERVER_LIMITS: ObserverLimits = {
  participants: 256,
  endpointsPerParticipant: 1_000,
  endpoints: 10_000,
  graphOctets: 8 * 1024 * 1024,
  sampleOctets: 256 * 1024,
  assemblyOctets: 8 * 1024 * 1024,
  datagramsPerSecond: 1_000,
};

/** Octets of which only so many may be in use at a time; a share's count in the whole, too. */
export class OctetBudget {
  readonly limit: number;
  readonly #whole: OctetBudget | undefined;
  #used = 0;

  constructor(limit: number, whole?: OctetBudget) {
    this.limit = limit;
    this.#whole = whole;
  }

  get used(): number {
    return this.#used;
  }

  /** Whether there was room. */
  take(octets: number): boolean {
    if (this.#used + octets > this.limit || this.#whole?.take(octets) === false) return false;
    this.#used += octets;
    return true;
  }

  give(octets: number): void {
    this.#used -= octets;
    this.#whole?.give(octets);
  }
}
