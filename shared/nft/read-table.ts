import { z } from "zod";
import { slotKey } from "./slot-key.ts";
import type { ListedTable, Slots } from "./table-state.ts";

/*
 * Reads what libnftables lists of one table (its JSON schema: libnftables-json(5)) as far as a plan needs it.
 */

const verdict = z.union([
  z.object({ goto: z.object({ target: z.string() }) }).transform((v) => `goto ${v.goto.target}`),
  z.object({ jump: z.object({ target: z.string() }) }).transform((v) => `jump ${v.jump.target}`),
  z.object({ accept: z.null() }).transform(() => "accept"),
  z.object({ drop: z.null() }).transform(() => "drop"),
]);
const scalar = z.union([
  z.union([z.string(), z.number()]).transform(String),
  z
    .object({ range: z.tuple([z.union([z.string(), z.number()]), z.union([z.string(), z.number()])]) })
    .transform((v) => v.range.join("-")),
]);
const key = z.union([scalar, z.object({ concat: z.array(scalar) }).transform((v) => v.concat.join(" . "))]);
const data = z.union([verdict, z.number()]);
const named = { name: z.string() };
const objects = z.object({
  nftables: z.array(
    z.looseObject({
      counter: z.object(named).optional(),
      map: z
        .object({
          ...named,
          map: z.unknown(),
          size: z.number().optional(),
          timeout: z.number().optional(),
          elem: z.array(z.unknown()).default([]),
        })
        .optional(),
      set: z
        .object({
          ...named,
          size: z.number().optional(),
          timeout: z.number().optional(),
          elem: z.array(z.unknown()).default([]),
        })
        .optional(),
      chain: z.object({ ...named, hook: z.string().optional(), prio: z.number().optional() }).optional(),
      rule: z.object({ chain: z.string(), expr: z.array(z.unknown()) }).optional(),
    }),
  ),
});

const elements = z.array(z.tuple([key, data]));
const keys = z.array(key);

/** A rule's interface as nft tells it: the name that its index has now, or the index where there is none. */
const device = z.union([z.string(), z.number()]);
/** nft 1.0.6 tells the device of a netdev table's `dup` as its address. */
const handingStatement = z.union([
  z.object({ fwd: z.object({ dev: device }) }).transform(({ fwd }) => fwd.dev),
  z.object({ dup: z.object({ addr: device }) }).transform(({ dup }) => dup.addr),
]);
const gotoStatement = z.object({ goto: z.object({ target: z.string() }) });

/** Numbers of raw keys are listed as decimals; we write them in hexadecimal. */
function setKey(name: string, element: string): string {
  return name.startsWith("quoted") ? `0x${BigInt(element).toString(16)}` : element;
}

/** What is known of a listing beside what it says. */
export interface Suspicion {
  /** Interfaces that rules may hand packets to. One that went and came back has another index than its rules. */
  readonly interfaces: ReadonlySet<string>;
  /** Whether somebody has changed a chain's rules, which the listing does not tell. */
  readonly isChanged: (chain: string) => boolean;
}

/** Number of rules of a chain that is not what its name says. */
const OTHER = -1;

/** @throws z.ZodError when the listing is not of the shape that libnftables documents. */
export function readTable(listing: unknown, suspicion?: Suspicion): ListedTable {
  const counters = new Set<string>();
  const chains = new Map<string, number>();
  const bases = new Map<string, { place: string; targets: string[] }>();
  const maps = new Map<string, { kind: "map" | "set"; elements: Map<string, string> }>();
  const luts = new Map<string, Slots>();
  const dynamic = new Map<string, "map" | "set">();
  const unreadable = new Set<string>();
  /** Of somebody else's elements it is enough to know that they are there. */
  const elementsOf = <T>(name: string, schema: z.ZodType<readonly T[]>, listed: unknown): readonly T[] => {
    const { data: read } = schema.safeParse(listed);
    if (read === undefined) unreadable.add(name);
    return read ?? [];
  };
  const rules: { chain: string; expr: unknown[] }[] = [];
  for (const object of objects.parse(listing).nftables) {
    if (object.counter) counters.add(object.counter.name);
    // nft 1.0.6 tells no flag in JSON. Only sets whose elements packets make have a size.
    if (object.set?.timeout !== undefined || object.set?.size !== undefined) {
      dynamic.set(object.set.name, "set");
    } else if (object.set) {
      const { name, elem } = object.set;
      maps.set(name, {
        kind: "set",
        elements: new Map(elementsOf(name, keys, elem).map((e) => [setKey(name, e), ""])),
      });
    }
    if (object.map?.timeout !== undefined) {
      dynamic.set(object.map.name, "map");
    } else if (object.map?.map === "mark") {
      const slots = new Uint32Array(object.map.size ?? 0);
      for (const [slot, leg] of elementsOf(object.map.name, elements, object.map.elem))
        if (typeof leg === "number") slots[slotKey(Number(slot))] = leg;
      luts.set(object.map.name, { slots });
    } else if (object.map) {
      const { name, elem } = object.map;
      const listed = new Map(elementsOf(name, elements, elem).map(([k, v]) => [k, String(v)]));
      maps.set(name, { kind: "map", elements: listed });
    }
    if (object.chain?.hook !== undefined) {
      const { name, hook, prio } = object.chain;
      bases.set(name, { place: `${hook} ${prio}`, targets: [] });
    } else if (object.chain) {
      chains.set(object.chain.name, 0);
    }
    if (object.rule) rules.push(object.rule);
  }
  for (const { chain, expr } of rules) {
    const base = bases.get(chain);
    if (base) {
      const target = expr.flatMap((statement) => gotoStatement.safeParse(statement).data?.goto.target ?? []);
      base.targets.push(target.join() || "unknown");
      continue;
    }
    const count = chains.get(chain) ?? 0;
    const leadsNowhere = expr.some((statement) => {
      const handedTo = handingStatement.safeParse(statement).data;
      return handedTo !== undefined && suspicion?.interfaces.has(String(handedTo)) === false;
    });
    chains.set(chain, leadsNowhere || count === OTHER ? OTHER : count + 1);
  }
  if (suspicion !== undefined) {
    for (const chain of chains.keys()) if (suspicion.isChanged(chain)) chains.set(chain, OTHER);
    // Made anew: its policy may be another one as well.
    for (const [chain, base] of bases) if (suspicion.isChanged(chain)) bases.set(chain, { ...base, place: "changed" });
  }
  return { counters, chains, bases, maps, luts, dynamic, unreadable };
}
