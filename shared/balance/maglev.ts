import { digest } from "./stable-hash.ts";

/** One owner of slots. */
export interface Candidate {
  /** Stable identity; the only thing, with the size, that decides which slots it prefers. */
  readonly key: string;
  /** Share of the slots relative to the others; 0 owns none. Any non-negative finite number. */
  readonly weight: number;
}

/**
 * Maglev's lookup table (Eisenbud et al., "Maglev: A Fast and Reliable Software Network Load Balancer", NSDI 2016,
 * section 3.4), with weights as the number of turns.
 *
 * @param candidates in any order: the result does not depend on it. Keys must differ.
 * @param size number of slots, a prime, never changed by the number of candidates.
 * @returns for each slot the index of its owner in `candidates`, or -1 for every slot when nobody has weight.
 */
export function lookupTable(candidates: readonly Candidate[], size: number): Int32Array {
  const slots = new Int32Array(size).fill(-1);
  const order = candidates
    .map((candidate, index) => ({ ...candidate, index }))
    .filter(({ weight }) => weight > 0)
    .sort((a, b) => (a.key < b.key ? -1 : a.key > b.key ? 1 : 0));
  const heaviest = Math.max(0, ...order.map(({ weight }) => weight));
  const turns = order.map(({ key, weight, index }) => {
    const bytes = digest(`maglev ${key}`);
    return {
      index,
      share: weight / heaviest,
      /** Sum of shares over the rounds so far; each whole unit is one turn. */
      credit: 0,
      next: bytes.readUInt32BE(0) % size,
      skip: (bytes.readUInt32BE(4) % (size - 1)) + 1,
    };
  });
  let free = turns.length === 0 ? 0 : size;
  while (free > 0) {
    for (const turn of turns) {
      turn.credit += turn.share;
      if (turn.credit < 1) continue;
      turn.credit -= 1;
      while (slots[turn.next] !== -1) turn.next = (turn.next + turn.skip) % size;
      slots[turn.next] = turn.index;
      if (--free === 0) break;
    }
  }
  return slots;
}
