import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { plan, type TableChange } from "#shared/nft/plan.ts";
import { slotKey } from "#shared/nft/slot-key.ts";
import { asListed, type ListedTable, type TableState } from "#shared/nft/table-state.ts";
import type { Intent } from "#shared/resolve/intent-types.ts";
import { TableCache } from "#shared/resolve/tables.ts";
import { intentOf, type ScenarioOptions, scenario } from "../../test/support/scenario.ts";
import { type Histories, type Moves, NO_MOVES, nextMoves } from "../moves/moves.ts";
import type { Environment } from "./environment.ts";
import { fastPath } from "./fast-path.ts";
import { slowPath } from "./slow-path.ts";

const environment: Environment = {
  interfaces: new Map([
    ["ext0", { mtu: 1500 }],
    ["svc0", { mtu: 1500 }],
  ]),
  nextHops: new Map(),
  own: [],
  returnVia: { 4: [], 6: [] },
};
const tablesOf = (intent: Intent, moves: Moves = NO_MOVES): TableState[] => [
  fastPath(intent, environment, moves),
  slowPath(intent, moves),
];
const build = async (options: ScenarioOptions): Promise<TableState[]> => tablesOf(await intentOf(scenario(options)));

/** The state in the middle of a change from the first of these to the last. */
async function moving(...path: readonly ScenarioOptions[]): Promise<TableState[]> {
  const cache = new TableCache();
  let tables: TableState[] = [];
  let histories: Histories = new Map();
  for (const options of path) {
    const intent = await intentOf(scenario(options), cache);
    const windowMs = { connection: 1, datagram: 1 };
    const next = nextMoves(histories, intent, { nowMs: 0, windowMs });
    histories = next.histories;
    tables = tablesOf(intent, next.moves);
  }
  return tables;
}

const flowRoutes = [
  {
    name: "voice",
    spec: {
      priority: 10,
      match: { protocols: ["UDP"], sources: ["10.0.0.0/8"], destinationPorts: ["16384-32767"] },
      backendRefs: [{ name: "udp-8080", port: 8080 }],
    },
  },
];
/** Wants of one Gateway over time, as different as they get. */
const STATES = await Promise.all([
  ...(
    [
      { targets: 0 },
      { targets: 3, tableSize: 251 },
      { targets: 4, tableSize: 251 },
      { targets: 4, tableSize: 509, vips: ["198.51.100.10"] },
      { targets: 4, tableSize: 251, flowRoutes },
      { targets: 3, tableSize: 251, mode: "NAT" },
      { targets: 5, tableSize: 251, mode: "NAT", targetPort: 80, listeners: [{ protocol: "TCP", port: 8080 }] },
      { targets: 2, tableSize: 251, external: "ext1" },
    ] satisfies ScenarioOptions[]
  ).map(build),
  moving({ targets: 3, tableSize: 251 }, { targets: 4, tableSize: 251 }),
  moving({ targets: 3, tableSize: 251, mode: "NAT" }, { targets: 5, tableSize: 251, mode: "NAT" }),
  moving(...[2, 3, 5].map((targets) => ({ targets, tableSize: 251, flowRoutes }))),
]);

/** The kernel, as far as a plan goes: what it refuses, this refuses. */
class Kernel {
  readonly #bases = new Map<string, { place: string; targets: string[] }>();
  readonly #chains = new Map<string, string[]>();
  readonly #maps = new Map<string, { kind: "map" | "set"; elements: Map<string, string> }>();
  readonly #luts = new Map<string, Uint32Array>();
  readonly #dynamic = new Map<string, "map" | "set">();
  readonly #counters = new Set<string>();
  #made = false;

  listed(): ListedTable | undefined {
    if (!this.#made) return undefined;
    return {
      counters: new Set(this.#counters),
      chains: new Map([...this.#chains].map(([name, rules]) => [name, rules.length])),
      bases: new Map([...this.#bases].map(([name, base]) => [name, { ...base, targets: [...base.targets] }])),
      maps: new Map([...this.#maps].map(([name, map]) => [name, { ...map, elements: new Map(map.elements) }])),
      luts: new Map([...this.#luts].map(([name, slots]) => [name, { slots: Uint32Array.from(slots) }])),
      dynamic: new Map(this.#dynamic),
      unreadable: new Set(),
    };
  }

  /** Everything that a text names with a jump, a goto, a counter or a lookup must be there. */
  #check(text: string): void {
    for (const [, chain] of text.matchAll(/\b(?:goto|jump) ([\w-]+)/g)) {
      if (!this.#chains.has(chain ?? "")) throw new Error(`no chain ${chain}: ${text}`);
    }
    for (const [, counter] of text.matchAll(/counter name "([^"]+)"/g)) {
      if (!this.#counters.has(counter ?? "")) throw new Error(`no counter ${counter}: ${text}`);
    }
    for (const [, map] of text.matchAll(/@((?!th,|nh,)[a-z][\w-]*)/g)) {
      if (![this.#maps, this.#luts, this.#dynamic].some((known) => known.has(map ?? "")))
        throw new Error(`no map ${map}: ${text}`);
    }
  }

  #unused(word: RegExp, name: string): void {
    const texts = [
      ...[...this.#chains.values()].flat(),
      ...[...this.#maps.values()].flatMap(({ elements }) => [...elements.values()]),
      ...[...this.#bases.values()].flatMap(({ targets }) => targets.map((target) => `goto ${target}`)),
    ];
    const user = texts.find((text) => [...text.matchAll(word)].some(([, used]) => used === name));
    if (user !== undefined) throw new Error(`${name} is in use: ${user}`);
  }

  run(transaction: string): void {
    for (const line of transaction.trim().split("\n")) this.#command(line);
  }

  #command(line: string): void {
    const [, verb, what, name = "", rest = ""] =
      /^(\w+) (\w+) (?:netdev|inet) causeway ?([\w.-]*) ?(.*)$/.exec(line) ?? expect.fail(`not a command: ${line}`);
    const done = this.#edit(`${verb} ${what}`, name, rest);
    if (!done) throw new Error(`refused: ${line.slice(0, 200)}`);
  }

  #edit(command: string, name: string, rest: string): boolean {
    switch (command) {
      case "add table":
        this.#made = true;
        return true;
      case "add counter":
        if (this.#counters.has(name)) return false;
        this.#counters.add(name);
        return true;
      case "delete counter":
        this.#unused(/counter name "([^"]+)"/g, name);
        return this.#counters.delete(name);
      case "add map":
      case "add set":
        return this.#addMap(command === "add map" ? "map" : "set", name, rest);
      case "flush map":
      case "flush set":
        this.#maps.get(name)?.elements.clear();
        return this.#maps.has(name);
      case "delete map":
      case "delete set":
        this.#unused(/@([\w-]+)/g, name);
        return this.#maps.delete(name) || this.#luts.delete(name) || this.#dynamic.delete(name);
      case "add chain":
        return this.#addChain(name, rest);
      case "flush chain": {
        this.#bases.get(name)?.targets.splice(0);
        this.#chains.get(name)?.splice(0);
        return this.#bases.has(name) || this.#chains.has(name);
      }
      case "delete chain":
        this.#unused(/\b(?:goto|jump) ([\w-]+)/g, name);
        return this.#bases.delete(name) || this.#chains.delete(name);
      case "add rule":
        return this.#addRule(name, rest);
      case "add element":
      case "delete element":
        return this.#elements(command === "add element", name, rest);
      default:
        return false;
    }
  }

  #addMap(kind: "map" | "set", name: string, rest: string): boolean {
    if ([this.#maps, this.#luts, this.#dynamic].some((known) => known.has(name))) return false;
    if (rest.includes("flags dynamic")) {
      this.#dynamic.set(name, kind);
      return true;
    }
    const size = /typeof @th,0,32 : meta mark; size (\d+);/.exec(rest)?.[1];
    if (size === undefined) this.#maps.set(name, { kind, elements: new Map() });
    else this.#luts.set(name, new Uint32Array(Number(size)));
    return true;
  }

  #addChain(name: string, rest: string): boolean {
    if (this.#chains.has(name) || this.#bases.has(name)) return false;
    const hook = /hook (\w+) .*priority (-?\d+);/.exec(rest);
    if (hook === null) this.#chains.set(name, []);
    else this.#bases.set(name, { place: `${hook[1]} ${hook[2]}`, targets: [] });
    return true;
  }

  #addRule(name: string, rest: string): boolean {
    this.#check(rest);
    const target = /goto ([\w-]+)$/.exec(rest)?.[1];
    const base = this.#bases.get(name);
    if (base !== undefined && target !== undefined) base.targets.push(target);
    const rules = this.#chains.get(name);
    rules?.push(rest);
    return rules !== undefined || base !== undefined;
  }

  #elements(add: boolean, name: string, rest: string): boolean {
    const slots = this.#luts.get(name);
    const elements = this.#maps.get(name)?.elements;
    for (const text of rest.replace(/^\{ | \}$/g, "").split(", ")) {
      const [key = "", value = ""] = text.split(" : ");
      if (slots !== undefined) {
        const slot = slotKey(Number(key));
        if (slot >= slots.length || (slots[slot] === 0) !== add) return false;
        slots[slot] = add ? Number(value) : 0;
      } else if (elements !== undefined) {
        if (elements.has(key) === add) return false;
        this.#check(value);
        if (add) elements.set(key, value);
        else elements.delete(key);
      } else return false;
    }
    return true;
  }
}

/** As maps and sets, in no order. */
function sorted(listed: ListedTable | undefined): unknown {
  const byName = <V>(map: ReadonlyMap<string, V> | undefined) => [...(map ?? [])].sort(([a], [b]) => (a < b ? -1 : 1));
  return {
    counters: [...(listed?.counters ?? [])].sort(),
    chains: byName(listed?.chains),
    bases: byName(listed?.bases),
    maps: byName(listed?.maps).map(([name, { kind, elements }]) => [name, kind, byName(elements)]),
    luts: byName(listed?.luts).map(([name, { slots }]) => [name, [...slots]]),
    dynamic: [...(listed?.dynamic ?? [])].sort(),
  };
}

const changes = (tables: readonly TableState[], kernels: readonly Kernel[]): TableChange[] =>
  tables.map((table, index) => ({ table, listed: kernels[index]?.listed() }));

describe("plan", () => {
  it("is empty for what is there already", () => {
    for (const tables of STATES) {
      expect(plan(tables.map((table) => ({ table, listed: asListed(table) })))).toEqual([]);
    }
  });

  it("leads from any state to any other, naming nothing before it is there and removing nothing in use", () => {
    const path = fc.array(fc.integer({ min: 0, max: STATES.length - 1 }), { minLength: 1, maxLength: 4 });
    fc.assert(
      fc.property(path, (steps) => {
        const kernels = [new Kernel(), new Kernel()];
        for (const step of steps) {
          const tables = STATES[step] ?? expect.fail("no such state");
          for (const transaction of plan(changes(tables, kernels))) {
            for (const [index, family] of ["netdev", "inet"].entries()) {
              const own = transaction.text.split("\n").filter((line) => line.split(" ")[2] === family);
              if (own.length > 0) kernels[index]?.run(own.join("\n"));
            }
          }
          for (const [index, table] of tables.entries()) {
            expect(sorted(kernels[index]?.listed())).toEqual(sorted(asListed(table)));
          }
          expect(plan(changes(tables, kernels))).toEqual([]);
        }
      }),
      { numRuns: 40 },
    );
  });

  it("is the same table when it is built after another, and has that one's chains where they stay", async () => {
    const [three, four] = await Promise.all([3, 4].map((targets) => intentOf(scenario({ targets, tableSize: 251 }))));
    if (three === undefined || four === undefined) return expect.fail("no intent");
    const before = tablesOf(three);
    const after = [fastPath(four, environment, NO_MOVES, before[0]), slowPath(four, NO_MOVES, before[1])];
    expect(after).toEqual(tablesOf(four));
    for (const [index, { chains }] of after.entries()) {
      const stay = [...chains].filter(([name]) => before[index]?.chains.has(name));
      expect(stay.length).toBeGreaterThan(5);
      for (const [name, rules] of stay) expect(rules).toBe(before[index]?.chains.get(name));
    }
  });

  it("writes only the slots that change hands, and nothing else, when a target goes", async () => {
    const [before = [], after = []] = [STATES[2], STATES[1]];
    const commands = plan(
      after.map((table, index) => {
        const old = before[index];
        return { table, listed: old === undefined ? undefined : asListed(old) };
      }),
    );
    expect(commands).toHaveLength(1);
    const added = [...(commands[0]?.text ?? "").matchAll(/add element \w+ causeway (lut-[\w-]+) \{ (.*) \}/g)];
    const changed = after.flatMap(({ luts }, index) =>
      [...luts].map(([name, { slots }]) => {
        const old = before[index]?.luts.get(name)?.slots;
        return slots.filter((owner, slot) => owner !== old?.[slot]).length;
      }),
    );
    expect(added.map(([, , list]) => list?.split(", ").length)).toEqual(changed);
    expect(Math.max(...changed)).toBeLessThan(251 * 0.35);
  });

  it("empties what has elements that cannot be read, and fills it again in the same transaction", async () => {
    const [table = expect.fail("no table")] = await build({ tableSize: 997 });
    const [lut = expect.fail("no lookup table")] = table.luts.keys();
    const known = asListed(table);
    const listed = {
      ...known,
      maps: new Map(known.maps).set("vips4", { kind: "set", elements: new Map() }),
      luts: new Map(known.luts).set(lut, { slots: new Uint32Array(997) }),
      unreadable: new Set(["vips4", lut]),
    };
    const [transaction = expect.fail("no transaction"), ...more] = plan([{ table, listed }]);
    expect(more).toEqual([]);
    const commands = transaction.text.trim().split("\n");
    expect(commands.map((command) => command.split(" {")[0])).toEqual([
      `flush set ${table.family} causeway vips4`,
      `add element ${table.family} causeway vips4`,
      `flush map ${table.family} causeway ${lut}`,
      `add element ${table.family} causeway ${lut}`,
      `add element ${table.family} causeway ${lut}`,
    ]);
  });

  it("cuts large changes into transactions that fit an unprivileged socket", async () => {
    const listeners = Array.from({ length: 60 }, (_, i) => ({ protocol: "TCP" as const, port: 1000 + i }));
    const tables = await build({
      listeners,
      targets: 60,
      targetsOf: (i) => [i + 1, ((i + 7) % 60) + 1],
      tableSize: 997,
    });
    const transactions = plan(tables.map((table) => ({ table, listed: undefined })));
    expect(transactions.length).toBeGreaterThan(5);
    for (const { text: transaction } of transactions) {
      const count = (pattern: RegExp) => [...transaction.matchAll(pattern)].length;
      const slots = [...transaction.matchAll(/element \w+ causeway lut-[\w-]+ \{ (.*) \}/g)];
      // Netlink bytes: 32 a slot, and a rule of this ruleset takes 200 to 320.
      const bytes =
        slots.reduce((sum, [, list = ""]) => sum + list.split(", ").length * 32, 0) + count(/^add rule /gm) * 320;
      expect(bytes).toBeLessThan(212_992);
    }
  });
});
