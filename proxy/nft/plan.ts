import type { ListedTable, TableState } from "./table-state.ts";

/** nftables transactions in text, to be run in order; each is atomic. Empty when nothing differs. */
export type Plan = readonly string[];

/** Elements in one transaction besides those of the last; a netlink batch of a million elements would not fit. */
const CHUNK = 50_000;

class Script {
  readonly #at: string;
  readonly #lines: string[] = [];

  constructor(table: TableState) {
    this.#at = `${table.family} ${table.name}`;
  }

  add(verb: string, what: string, name: string, rest = ""): void {
    this.#lines.push(`${verb} ${what} ${this.#at}${name === "" ? "" : ` ${name}`}${rest === "" ? "" : ` ${rest}`}`);
  }

  elements(verb: "add" | "delete", name: string, elements: readonly string[]): void {
    if (elements.length > 0) this.add(verb, "element", name, `{ ${elements.join(", ")} }`);
  }

  get empty(): boolean {
    return this.#lines.length === 0;
  }

  toString(): string {
    return `${this.#lines.join("\n")}\n`;
  }
}

const entry = (key: string, value: string): string => (value === "" ? key : `${key} : ${value}`);

/** Slots that differ. A table of another size is another table. */
function changedSlots(wanted: Uint32Array, actual: Uint32Array | undefined): { gone: string[]; come: string[] } {
  const gone: string[] = [];
  const come: string[] = [];
  for (let slot = 0; slot < wanted.length; slot++) {
    const leg = wanted[slot] ?? 0;
    const before = actual?.[slot];
    if (before === leg) continue;
    if (before !== undefined && before !== 0) gone.push(String(slot));
    come.push(`${slot} : ${leg}`);
  }
  return { gone, come };
}

/** Whether the kernel's chain is the one that is wanted, as far as its name and number of rules tell. */
function intact(table: TableState, actual: ListedTable, name: string): boolean {
  return actual.chains.get(name) === table.chains.get(name)?.length;
}

/**
 * The changes that turn the kernel's table into the desired one. Traffic is never without a table in between: new
 * lookup tables are filled before anything refers to them; then one transaction changes all that packets see: elements
 * that differ, new chains, the base chains' rules; what nothing refers to any more goes in the same transaction.
 */
export function plan(table: TableState, actual: ListedTable | undefined): Plan {
  const have: ListedTable = actual ?? {
    counters: new Set(),
    chains: new Map(),
    bases: new Map(),
    maps: new Map(),
    luts: new Map(),
  };
  const prepare: Script[] = [];
  const script = new Script(table);
  const begin = (target: Script): void => {
    if (actual === undefined) target.add("add", "table", "");
  };
  begin(script);

  // Lookup tables that nothing refers to yet.
  let chunk = new Script(table);
  let size = 0;
  for (const [name, { slots }] of table.luts) {
    if (have.luts.has(name)) continue;
    if (chunk.empty) begin(chunk);
    chunk.add("add", "map", name, `{ type mark : mark; size ${slots.length}; }`);
    chunk.elements("add", name, changedSlots(slots, undefined).come);
    size += slots.length;
    if (size >= CHUNK) {
      prepare.push(chunk);
      chunk = new Script(table);
      size = 0;
    }
  }
  if (!chunk.empty) prepare.push(chunk);

  for (const counter of table.counters) if (!have.counters.has(counter)) script.add("add", "counter", counter);
  const newMaps = [...table.maps].filter(([name, map]) => have.maps.get(name)?.kind !== map.kind);
  for (const [name, map] of newMaps) {
    if (have.maps.has(name))
      throw new Error(`nftables object ${name} is of another kind than wanted: a name was used twice`);
    script.add("add", map.kind, name, `{ ${map.declaration} }`);
  }

  // Chains are declared before the rules and elements that name them.
  const newChains = [...table.chains].filter(([name]) => !intact(table, have, name));
  for (const [name] of newChains) {
    if (have.chains.has(name)) script.add("flush", "chain", name);
    else script.add("add", "chain", name);
  }
  for (const [name, rules] of newChains) for (const rule of rules) script.add("add", "rule", name, rule);

  for (const [name, { slots }] of table.luts) {
    const known = have.luts.get(name);
    if (known === undefined) continue;
    const { gone, come } = changedSlots(slots, known.slots);
    script.elements("delete", name, gone);
    script.elements("add", name, come);
  }
  for (const [name, map] of table.maps) {
    const known = have.maps.get(name)?.elements ?? new Map<string, string>();
    const gone = [...known]
      .filter(([key, value]) => map.elements.get(key) !== value)
      .map(([key, value]) => entry(key, value));
    const come = [...map.elements]
      .filter(([key, value]) => known.get(key) !== value)
      .map(([key, value]) => entry(key, value));
    script.elements("delete", name, gone);
    script.elements("add", name, come);
  }

  for (const [name, base] of table.bases) {
    const known = have.bases.get(name);
    const targets = base.rules.map((rule) => rule.chain);
    if (known?.place === base.place && known.targets.join() === targets.join()) continue;
    if (known !== undefined && known.place !== base.place) script.add("delete", "chain", name);
    if (known === undefined || known.place !== base.place) script.add("add", "chain", name, `{ ${base.hook} }`);
    else script.add("flush", "chain", name);
    for (const { match, chain } of base.rules) script.add("add", "rule", name, `${match} goto ${chain}`.trim());
  }

  // What is left over: rules first, so that nothing refers to a chain, map or counter that goes.
  for (const name of have.bases.keys()) {
    if (table.bases.has(name)) continue;
    script.add("flush", "chain", name);
    script.add("delete", "chain", name);
  }
  const oldMaps = [...have.maps].filter(([name]) => !table.maps.has(name));
  const oldChains = [...have.chains.keys()].filter((name) => !table.chains.has(name));
  for (const name of oldChains) script.add("flush", "chain", name);
  for (const [name, { kind }] of oldMaps) {
    script.add("flush", kind, name);
  }
  for (const name of oldChains) script.add("delete", "chain", name);
  for (const [name, { kind }] of oldMaps) script.add("delete", kind, name);
  for (const name of have.luts.keys()) if (!table.luts.has(name)) script.add("delete", "map", name);
  for (const name of have.counters) if (!table.counters.has(name)) script.add("delete", "counter", name);

  return [...prepare, ...(script.empty ? [] : [script])].map(String);
}
