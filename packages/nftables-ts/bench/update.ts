/**
 * Times updates of a lookup map: `node bench/update.ts [--json]`, as root of a private network namespace, for example
 * `unshare --user --map-root-user --net node bench/update.ts`. The ways are interleaved, so that a noisy machine
 * disturbs all of them.
 */
import { parseArgs } from "node:util";
import { Nftables, type NftablesRunner, openNftables } from "../src/index.ts";

const SLOTS = 997;
const there = { family: "netdev", table: "cw-bench", name: "lut" } as const;
const element = `${there.family} ${there.table} ${there.name}`;

type Case = { readonly name: string; readonly rounds: number; readonly update: (round: number) => unknown };
type Row = { readonly name: string; readonly rounds: number; readonly medianMs: number; readonly p99Ms: number };

function oneElement(round: number): string {
  const slot = round % SLOTS;
  return `delete element ${element} { ${slot} }; add element ${element} { ${slot} : ${round} }`;
}

function allElements(round: number): string {
  const elements = Array.from({ length: SLOTS }, (_, slot) => `${slot} : ${(slot + round) % 100}`).join(", ");
  return `flush map ${element}; add element ${element} { ${elements} }`;
}

function oneElementTyped(round: number): Parameters<Nftables["transaction"]>[0] {
  const slot = round % SLOTS;
  return [
    { delete: { element: { ...there, elem: [slot] } } },
    { add: { element: { ...there, elem: [[slot, round]] } } },
  ];
}

function cases(nft: Nftables, runners: readonly NftablesRunner[]): readonly Case[] {
  return [
    { name: "one element, Nftables.run", rounds: 3000, update: (round) => nft.run(oneElement(round)) },
    { name: "one element, two lines", rounds: 3000, update: (round) => nft.run(oneElement(round).replace("; ", "\n")) },
    {
      name: "one element, Nftables.transaction",
      rounds: 3000,
      update: (round) => nft.transaction(oneElementTyped(round)),
    },
    ...runners.map((runner) => ({
      name: `one element, via ${runner.via}`,
      rounds: runner.via === "spawn" ? 60 : 1500,
      update: (round: number) => runner.run(oneElement(round)),
    })),
    { name: "all elements, Nftables.run", rounds: 200, update: (round) => nft.run(allElements(round)) },
    ...runners.map((runner) => ({
      name: `all elements, via ${runner.via}`,
      rounds: runner.via === "spawn" ? 30 : 100,
      update: (round: number) => runner.run(allElements(round)),
    })),
    { name: "list the map", rounds: 200, update: () => nft.list({ map: there }) },
  ];
}

async function measure(all: readonly Case[]): Promise<readonly Row[]> {
  const times = all.map((): number[] => []);
  const longest = Math.max(...all.map(({ rounds }) => rounds));
  for (let round = 0; round < longest; round += 1) {
    for (const [index, { rounds, update }] of all.entries()) {
      // Spread the rarer cases evenly over the run.
      if (Math.floor((round * rounds) / longest) === Math.floor(((round + 1) * rounds) / longest)) continue;
      const start = performance.now();
      await update(round);
      times[index]?.push(performance.now() - start);
    }
  }
  return all.map(({ name }, index) => {
    const sorted = (times[index] ?? []).toSorted((a, b) => a - b);
    const at = (share: number) => Number((sorted[Math.floor(sorted.length * share)] ?? Number.NaN).toFixed(3));
    return { name, rounds: sorted.length, medianMs: at(0.5), p99Ms: at(0.99) };
  });
}

const { values } = parseArgs({ options: { json: { type: "boolean", default: false } } });
using nft = new Nftables();
await using inline = await openNftables({ via: "library" });
await using worker = await openNftables({ via: "worker" });
await using spawn = await openNftables({ via: "spawn" });
nft.run(`add table ${there.family} ${there.table}; add map ${element} { type mark : mark; size ${SLOTS}; }`);
try {
  nft.run(allElements(0));
  const rows = await measure(cases(nft, [inline, worker, spawn]));
  if (values.json) console.log(JSON.stringify({ slots: SLOTS, rows }));
  else console.table(rows);
} finally {
  nft.run(`delete table ${there.family} ${there.table}`);
}
