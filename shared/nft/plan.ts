import { isVerdict, type MapChange, type MapElement } from "#shared/kernel/nftables-elements.ts";
import { SLOT, slotKey } from "./slot-key.ts";
import type { ListedTable, TableState } from "./table-state.ts";

/** One nftables transaction. */
class Transaction {
  readonly #commands: Command[] = [];

  add(commands: readonly Command[]): void {
    this.#commands.push(...commands);
  }

  /** In nft's words. */
  get text(): string {
    return this.#commands.map((command) => `${typeof command === "string" ? command : command.text()}\n`).join("");
  }

  /** The same, where all that changes are elements with numbers for keys. */
  get changes(): readonly MapChange[] | undefined {
    const changes = this.#commands.flatMap((command) => (typeof command === "string" ? [] : [command.change]));
    return changes.length === this.#commands.length ? changes : undefined;
  }
}

/** Key and value of an element, in nft's words. */
type Pair = readonly [string, string];

/** Begins the declaration of a map from legs to chains. */
const LEG_MAP = "type mark : verdict;";

function legElement([key, data]: Pair): MapElement {
  if (!isVerdict(data)) throw new Error(`leg ${key}: ${data} is no verdict`);
  return { key: Number(key), data };
}

/** A change of elements is written in nft's words when it has to be. */
type Command = string | { readonly change: MapChange; readonly text: () => string };

/** Transactions to be run in order; each is atomic. Empty when nothing differs. */
export type Plan = readonly Transaction[];

/**
 * Netlink bytes that one transaction may take. Without privileges over the machine (a user namespace) a socket's send
 * buffer ends at net.core.wmem_max, 212,992 bytes by default, and a larger batch is refused with EMSGSIZE.
 */
const TRANSACTION_BYTES = 120_000;
/** Netlink bytes of one object, measured and rounded up. */
const BYTES = { object: 120, rule: 320, slot: 32, element: 200 };
/** Elements that are named in one command. */
const CHUNK = 500;

/**
 * Transactions in the making. Steps stay whole; a new transaction begins when the next step would not fit. The order of
 * steps is such that packets meet a working table after every one of them.
 */
class Steps {
  readonly #transactions: Transaction[] = [];
  #table: Pick<TableState, "family" | "name"> = { family: "inet", name: "" };
  #left = 0;

  /** The table that the next commands are about. */
  begin(table: TableState): void {
    this.#table = table;
  }

  /** A command's text: verb, kind of object, then name and the rest. */
  command(verb: string, what: string, name = "", rest = ""): string {
    const { family, name: table } = this.#table;
    return [verb, what, family, table, name, rest].filter((word) => word !== "").join(" ");
  }

  /** Some elements go, others come. */
  elements(name: string, declaration: string, gone: readonly Pair[], come: readonly Pair[]): Command[] {
    if (declaration.startsWith(LEG_MAP)) {
      const numbers = [...gone.map(([key]) => ({ key: Number(key) })), ...come.map(legElement)];
      return this.numbers(name, numbers, (key) => key);
    }
    const commands = [["delete", gone] as const, ["add", come] as const].filter(([, pairs]) => pairs.length > 0);
    return commands.map(([verb, pairs]) =>
      this.command(verb, "element", name, `{ ${pairs.map(([key, value]) => entry(key, value)).join(", ")} }`),
    );
  }

  /** Elements with numbers for keys, those that go first; `keyWord` is how nft writes a key. */
  numbers(map: string, elements: readonly MapElement[], keyWord: (key: number) => number): Command[] {
    if (elements.length === 0) return [];
    const { family, name: table } = this.#table;
    const text = (): string => {
      const gone = elements.flatMap(({ key, data }) => (data === undefined ? [keyWord(key)] : []));
      const come = elements.flatMap(({ key, data }) => (data === undefined ? [] : [`${keyWord(key)} : ${data}`]));
      const commands = [["delete", gone] as const, ["add", come] as const].filter(([, list]) => list.length > 0);
      return commands
        .map(([verb, list]) => `${verb} element ${family} ${table} ${map} { ${list.join(", ")} }`)
        .join("\n");
    };
    return [{ change: { family, table, map, elements }, text }];
  }

  step(bytes: number, ...commands: readonly Command[]): void {
    if (commands.length === 0) return;
    if (bytes > this.#left) {
      this.#transactions.push(new Transaction());
      this.#left = TRANSACTION_BYTES;
    }
    this.#left -= bytes;
    this.#transactions.at(-1)?.add(commands);
  }

  finish(): Plan {
    return this.#transactions;
  }
}

const entry = (key: string, value: string): string => (value === "" ? key : `${key} : ${value}`);

function* chunks<T>(list: readonly T[]): Generator<readonly T[]> {
  for (let at = 0; at < list.length; at += CHUNK) yield list.slice(at, at + CHUNK);
}

/** Slots of a lookup table that are to change hands: a leg's id, and whether the slot holds one now. */
function changedSlots(
  wanted: Uint32Array,
  actual: Uint32Array | undefined,
): { slot: number; leg: number; taken: boolean }[] {
  const changed: { slot: number; leg: number; taken: boolean }[] = [];
  // Unchanged tables keep their array.
  if (wanted === actual) return changed;
  for (let slot = 0; slot < wanted.length; slot++) {
    const leg = wanted[slot] ?? 0;
    const before = actual?.[slot] ?? 0;
    if (before !== leg) changed.push({ slot, leg, taken: before !== 0 });
  }
  return changed;
}

function planSlots(steps: Steps, name: string, wanted: Uint32Array, actual: Uint32Array | undefined): void {
  for (const part of chunks(changedSlots(wanted, actual))) {
    const gone = part.filter(({ taken }) => taken);
    const come = part.filter(({ leg }) => leg !== 0);
    const numbers = [
      ...gone.map(({ slot }) => ({ key: slot })),
      ...come.map(({ slot, leg }) => ({ key: slot, data: leg })),
    ];
    steps.step(numbers.length * BYTES.slot, ...steps.numbers(name, numbers, slotKey));
  }
}

interface ElementChange {
  readonly gone: Pair[];
  readonly come: Pair[];
}

/** Writes changes of one map; each is whole within one transaction. */
function writeElements(steps: Steps, name: string, declaration: string, changes: Iterable<ElementChange>): void {
  let gone: Pair[] = [];
  let come: Pair[] = [];
  const flush = (): void => {
    const bytes = (gone.length + come.length) * BYTES.element;
    steps.step(bytes, ...steps.elements(name, declaration, gone, come));
    [gone, come] = [[], []];
  };
  for (const change of changes) {
    gone.push(...change.gone);
    come.push(...change.come);
    if (gone.length + come.length >= CHUNK) flush();
  }
  flush();
}

/** Elements that are new, and those whose value changes: the old one goes in the same transaction. */
function* exactChanges(
  wanted: ReadonlyMap<string, string>,
  actual: ReadonlyMap<string, string>,
): Generator<ElementChange> {
  for (const [key, value] of wanted) {
    const before = actual.get(key);
    if (before !== value) yield { gone: before === undefined ? [] : [[key, before]], come: [[key, value]] };
  }
}

/**
 * As {@link exactChanges} for a map of ranges, where an element that goes may overlap one that comes: all elements with
 * the same address and protocol change together, those that go first.
 */
function* rangeChanges(
  wanted: ReadonlyMap<string, string>,
  actual: ReadonlyMap<string, string>,
): Generator<ElementChange> {
  const changes = new Map<string, ElementChange>();
  const changeOf = (key: string): ElementChange => {
    const group = key.slice(0, key.lastIndexOf(" . "));
    const known = changes.get(group);
    if (known) return known;
    const change = { gone: [], come: [] };
    changes.set(group, change);
    return change;
  };
  for (const [key, value] of actual) if (wanted.get(key) !== value) changeOf(key).gone.push([key, value]);
  for (const [key, value] of wanted) if (actual.get(key) !== value) changeOf(key).come.push([key, value]);
  yield* changes.values();
}

const isRanged = (declaration: string): boolean => declaration.includes("flags interval");

function planBases(steps: Steps, table: TableState, actual: ListedTable): void {
  for (const [name, base] of table.bases) {
    const known = actual.bases.get(name);
    const targets = base.rules.map((rule) => rule.chain);
    const inPlace = known?.place === base.place;
    if (inPlace && known.targets.join() === targets.join()) continue;
    const begin = inPlace
      ? [steps.command("flush", "chain", name)]
      : [
          ...(known === undefined
            ? []
            : [steps.command("flush", "chain", name), steps.command("delete", "chain", name)]),
          steps.command("add", "chain", name, `{ ${base.hook} }`),
        ];
    const rules = base.rules.map(({ match, chain }) =>
      steps.command("add", "rule", name, `${match} goto ${chain}`.trim()),
    );
    steps.step(BYTES.object + rules.length * BYTES.rule, ...begin, ...rules);
  }
}

/** What nothing refers to any more: references go before what they refer to. */
function planRemovals(steps: Steps, table: TableState, actual: ListedTable): void {
  const object = (verb: string, what: string, name: string): void =>
    steps.step(BYTES.object, steps.command(verb, what, name));
  for (const name of actual.bases.keys()) {
    if (table.bases.has(name)) continue;
    object("flush", "chain", name);
    object("delete", "chain", name);
  }
  for (const [name, { kind, elements }] of actual.maps) {
    const wanted = table.maps.get(name);
    if (wanted === undefined) {
      object("flush", kind, name);
      continue;
    }
    if (isRanged(wanted.declaration)) continue;
    for (const part of chunks([...elements].filter(([key]) => !wanted.elements.has(key)))) {
      steps.step(part.length * BYTES.element, ...steps.elements(name, wanted.declaration, part, []));
    }
  }
  const chains = [...actual.chains.keys()].filter((name) => !table.chains.has(name));
  for (const name of chains) object("flush", "chain", name);
  for (const name of chains) object("delete", "chain", name);
  for (const [name, { kind }] of actual.maps) if (!table.maps.has(name)) object("delete", kind, name);
  for (const name of actual.luts.keys()) if (!table.luts.has(name)) object("delete", "map", name);
  for (const [name, kind] of actual.dynamic) if (!table.dynamic.has(name)) object("delete", kind, name);
  for (const name of actual.counters) if (!table.counters.has(name)) object("delete", "counter", name);
}

/** A desired table, and what the kernel holds of it; undefined: nothing. */
export interface TableChange {
  readonly table: TableState;
  readonly listed: ListedTable | undefined;
  /** Elements for a map whose elements packets make, when it is made anew: they are there before any packet. */
  readonly restore?: (map: string) => readonly string[];
}

const NOTHING: ListedTable = {
  counters: new Set(),
  chains: new Map(),
  bases: new Map(),
  maps: new Map(),
  luts: new Map(),
  dynamic: new Map(),
  unreadable: new Set(),
};

/**
 * The changes that turn the kernel's tables into the desired ones, table after table. Small changes are one transaction,
 * for all tables together: libnftables reads all that the kernel holds before each. A large one is several, in an order in
 * which packets meet a whole table after each: what is new first, then what refers to it, then the slots, then the hooks,
 * and removals last.
 */
export function plan(changes: readonly TableChange[]): Plan {
  const steps = new Steps();
  for (const change of changes) planTable(steps, change);
  return steps.finish();
}

function planTable(steps: Steps, { table, listed, restore }: TableChange): void {
  const actual = listed ?? NOTHING;
  steps.begin(table);
  if (listed === undefined) steps.step(BYTES.object, steps.command("add", "table"));
  for (const [name, { slots }] of table.luts) {
    if (actual.luts.has(name)) continue;
    steps.step(
      BYTES.object,
      steps.command("add", "map", name, `{ typeof ${SLOT} : meta mark; size ${slots.length}; }`),
    );
    planSlots(steps, name, slots, undefined);
  }
  for (const [name, { kind, declaration }] of table.dynamic) {
    if (actual.dynamic.has(name)) continue;
    steps.step(BYTES.object, steps.command("add", kind, name, `{ ${declaration} }`));
    for (const part of chunks(restore?.(name) ?? [])) {
      steps.step(part.length * BYTES.element, steps.command("add", "element", name, `{ ${part.join(", ")} }`));
    }
  }
  for (const name of table.counters) {
    if (!actual.counters.has(name)) steps.step(BYTES.object, steps.command("add", "counter", name));
  }
  for (const [name, map] of table.maps) {
    if (!actual.maps.has(name))
      steps.step(BYTES.object, steps.command("add", map.kind, name, `{ ${map.declaration} }`));
  }
  // Chains come in the order in which they were built: those that others name come first.
  for (const [name, rules] of table.chains) {
    const count = actual.chains.get(name);
    if (count === rules.length) continue;
    const begin = steps.command(count === undefined ? "add" : "flush", "chain", name);
    const bytes = BYTES.object + rules.length * BYTES.rule;
    steps.step(bytes, begin, ...rules.map((rule) => steps.command("add", "rule", name, rule)));
  }
  /** Just before its elements: together they are one transaction, but for the largest. */
  const empty = (kind: string, name: string): void => {
    if (actual.unreadable.has(name)) steps.step(BYTES.object, steps.command("flush", kind, name));
  };
  for (const [name, { kind, declaration, elements }] of table.maps) {
    empty(kind, name);
    const known = actual.maps.get(name)?.elements ?? new Map();
    const changes = isRanged(declaration) ? rangeChanges(elements, known) : exactChanges(elements, known);
    writeElements(steps, name, declaration, changes);
  }
  for (const [name, { slots }] of table.luts) {
    const known = actual.luts.get(name);
    if (known === undefined) continue;
    empty("map", name);
    planSlots(steps, name, slots, known.slots);
  }
  planBases(steps, table, actual);
  planRemovals(steps, table, actual);
}
