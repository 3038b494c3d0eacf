import { digest } from "../balance/stable-hash.ts";
import { LEG_STATES, type Leg, type LegId, type LegState } from "./intent-types.ts";

/**
 * Ids for legs: 31 bits of a hash of the key, so that instances agree without talking. Two keys that collide are told
 * apart in the order of their text; ids below 2^16 are left to routing tables that other software uses.
 */
function legIds(keys: readonly string[]): ReadonlyMap<string, LegId> {
  const taken = new Set<LegId>();
  const ids = new Map<string, LegId>();
  for (const key of [...keys].sort()) {
    for (let attempt = 0; !ids.has(key); attempt++) {
      const id = digest(`leg ${attempt} ${key}`).readUInt32BE(0) >>> 1;
      if (id < 0x10000 || taken.has(id)) continue;
      taken.add(id);
      ids.set(key, id);
    }
  }
  return ids;
}

/** Of what several routes say of a leg, the best. */
function better(state: LegState, other: LegState | undefined): LegState {
  return LEG_STATES.find((best) => best === state || best === other) ?? state;
}

/** Collects legs of all flows, both families of a target in one. */
export class Legs {
  readonly #drafts = new Map<string, Omit<Leg, "id">>();

  add(leg: Omit<Leg, "id">): string {
    const known = this.#drafts.get(leg.key);
    const addresses = { ...known?.addresses, ...leg.addresses };
    this.#drafts.set(leg.key, { ...leg, addresses, state: better(leg.state, known?.state) });
    return leg.key;
  }

  finish(): ReadonlyMap<string, Leg> {
    const ids = legIds([...this.#drafts.keys()]);
    const legs = new Map<string, Leg>();
    for (const [key, id] of ids) {
      const draft = this.#drafts.get(key);
      if (draft) legs.set(key, { ...draft, id });
    }
    return legs;
  }
}
