import { type Candidate, lookupTable } from "../balance/maglev.ts";
import { shortHash } from "../balance/stable-hash.ts";
import type { Family } from "../net/ip.ts";
import { type Leg, type LegId, REFUSED, type Table } from "./intent-types.ts";

/** What one flow's table is made of. */
export interface TableRequest {
  /** Names the flow's backends; does not change when targets come and go. */
  readonly group: string;
  readonly size: number;
  readonly family: Family;
  readonly shares: readonly { readonly leg: Leg; readonly weight: number }[];
  /** Weight of backends that do not resolve. */
  readonly refused: number;
}

const REFUSED_KEY = "\u0000refused";

/** Slots for given content. Kept between calls, because most changes leave most tables as they were. */
export class TableCache {
  #entries = new Map<string, Uint32Array>();
  #used = new Map<string, Uint32Array>();

  slots(content: string, build: () => Uint32Array): Uint32Array {
    const slots = this.#used.get(content) ?? this.#entries.get(content) ?? build();
    this.#used.set(content, slots);
    return slots;
  }

  /** Forgets what was not asked for since the last call. */
  turn(): void {
    this.#entries = this.#used;
    this.#used = new Map();
  }
}

/**
 * The family is part of it: the slices of a dual-stack Service change one after the other, and a table that both
 * families shared would part and join again with every pod that comes or goes.
 */
function contentOf({ size, family, shares, refused }: TableRequest): string {
  const lines = shares.map(({ leg, weight }) => `${leg.key} ${weight}`).sort();
  return [size, family, refused, ...lines].join("\n");
}

function buildSlots({ size, shares, refused }: TableRequest): Uint32Array {
  const candidates: Candidate[] = shares.map(({ leg, weight }) => ({ key: leg.key, weight }));
  if (refused > 0) candidates.push({ key: REFUSED_KEY, weight: refused });
  const ids = [...shares.map(({ leg }) => leg.id), REFUSED];
  return Uint32Array.from(lookupTable(candidates, size), (index) => ids[index] ?? REFUSED);
}

/**
 * One table per distinct content. Its name comes from the smallest group that shares it, so that a change of targets
 * common to the whole group keeps the name and only changed slots are written to the kernel.
 * @returns the tables by name, and the name for each group.
 */
export function shareTables(
  requests: readonly TableRequest[],
  cache: TableCache,
): { tables: ReadonlyMap<string, Table>; nameOf: ReadonlyMap<string, string> } {
  const byContent = new Map<string, { request: TableRequest; groups: string[] }>();
  for (const request of requests) {
    const content = contentOf(request);
    const entry = byContent.get(content);
    if (entry) entry.groups.push(request.group);
    else byContent.set(content, { request, groups: [request.group] });
  }
  const tables = new Map<string, Table>();
  const nameOf = new Map<string, string>();
  for (const [content, { request, groups }] of byContent) {
    const name = `lut-${shortHash(groups.reduce((a, b) => (b < a ? b : a)))}`;
    const legs: LegId[] = request.shares.map(({ leg }) => leg.id);
    tables.set(name, { name, size: request.size, slots: cache.slots(content, () => buildSlots(request)), legs });
    for (const group of groups) nameOf.set(group, name);
  }
  return { tables, nameOf };
}
