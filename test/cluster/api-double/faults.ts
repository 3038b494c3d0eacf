/** What can go wrong with a request. */
export type FaultAction =
  /** Answered with an error instead of being done. */
  | {
      readonly type: "status";
      readonly code: number;
      readonly reason: string;
      readonly retryAfterSeconds?: number;
    }
  /** Done, but later. */
  | { readonly type: "delay"; readonly ms: number }
  /** Never answered, and not done. */
  | { readonly type: "swallow" }
  /** Done, but the answer never arrives: the connection is cut. */
  | { readonly type: "lose-answer" }
  /** Half of the answer, ended as if it were whole. */
  | { readonly type: "truncate" };

/** Undefined fields match everything. */
export interface FaultMatch {
  readonly verb?: string;
  readonly resource?: string;
  readonly subresource?: string;
  readonly user?: string;
}

interface Fault {
  readonly match: FaultMatch;
  readonly action: FaultAction;
  left: number;
}

/** Faults that are to happen, in the order in which they were asked for. */
export class Faults {
  readonly #faults: Fault[] = [];

  /** @param times How many requests it befalls; all of them until {@link Faults.clear} when it is not given. */
  add(match: FaultMatch, action: FaultAction, times = Number.POSITIVE_INFINITY): void {
    this.#faults.push({ match, action, left: times });
  }

  clear(): void {
    this.#faults.length = 0;
  }

  /** The fault that befalls a request. */
  take(request: Required<FaultMatch>): FaultAction | undefined {
    const fault = this.#faults.find(
      ({ match, left }) =>
        left > 0 &&
        (match.verb ?? request.verb) === request.verb &&
        (match.resource ?? request.resource) === request.resource &&
        (match.subresource ?? request.subresource) === request.subresource &&
        (match.user ?? request.user) === request.user,
    );
    if (fault === undefined) return undefined;
    fault.left -= 1;
    return fault.action;
  }
}
