/** What of an instance's kernel somebody else may change. */
const REPAIRED = ["ruleset", "routes", "rules", "addresses", "settings"] as const;
export type Repaired = (typeof REPAIRED)[number];

/** How much of each kind was put back in one pass. */
export type RepairCounts = Readonly<Partial<Record<Repaired, number>>>;

export interface RepairStatus {
  readonly what: Repaired;
  /** Passes that put something back, since the start. */
  readonly count: number;
  /** ISO 8601. */
  readonly lastAt: string;
}

/** What was put back after somebody else had changed it, for who looks on. */
export class Repairs {
  readonly #known = new Map<Repaired, RepairStatus>();

  /** @returns the kinds that there was something of. */
  note(counts: RepairCounts, nowMs: number): readonly Repaired[] {
    const found = REPAIRED.filter((what) => (counts[what] ?? 0) > 0);
    for (const what of found) {
      const count = (this.#known.get(what)?.count ?? 0) + 1;
      this.#known.set(what, { what, count, lastAt: new Date(nowMs).toISOString() });
    }
    return found;
  }

  status(): readonly RepairStatus[] {
    return REPAIRED.flatMap((what) => this.#known.get(what) ?? []);
  }
}

/**
 * How many of a plan's changes put something back: what is to be added and was wanted before as well, and what is to be
 * deleted and was not. Whatever the objects changed is not among them.
 * @param textOf tells two objects apart by all that is in them.
 */
export function putBack<T>(
  plan: { readonly add: readonly T[]; readonly replace: readonly T[]; readonly delete: readonly T[] },
  placed: readonly T[] | undefined,
  textOf: (object: T) => string,
): number {
  if (placed === undefined || plan.add.length + plan.replace.length + plan.delete.length === 0) return 0;
  const known = new Set(placed.map(textOf));
  const back = [...plan.add, ...plan.replace].filter((object) => known.has(textOf(object)));
  return back.length + plan.delete.filter((object) => !known.has(textOf(object))).length;
}
