import { expect, test } from "vitest";
import { ip } from "#shared/net/ip.ts";
import { SLOT } from "#shared/nft/slot-key.ts";
import type { TableState } from "#shared/nft/table-state.ts";
import { type Intent, REFUSED } from "#shared/resolve/intent-types.ts";
import { TableCache } from "#shared/resolve/tables.ts";
import { intentOf, type ScenarioOptions, scenario } from "../../test/support/scenario.ts";
import { nextMoves } from "../moves/moves.ts";
import type { Environment } from "./environment.ts";
import { fastPath } from "./fast-path.ts";
import { slowPath } from "./slow-path.ts";

/*
 * The whole ruleset of typical Gateways, as text to read in a review. `vitest run --project unit -u` writes it anew.
 */

const environment: Environment = {
  interfaces: new Map([
    ["ext0", { mtu: 1500 }],
    ["svc0", { mtu: 1450 }],
  ]),
  nextHops: new Map([["10.1.0.2", ip("10.1.0.254")]]),
  own: [ip("10.1.0.200"), ip("fd00:1::c8")],
  returnVia: { 4: [{ interface: "ext0", nextHop: ip("192.0.2.1") }], 6: [] },
};

const block = (head: string, lines: readonly string[]): string[] => [
  `  ${head} {`,
  ...lines.map((line) => `    ${line}`),
  "  }",
];

/** A table in nft's notation, but for lookup tables: of those, how many slots each leg has. */
function render(table: TableState, intent: Intent): string {
  const nameOf = (id: number) =>
    id === REFUSED ? "refused" : id === 0 ? "not moved" : (intent.legs.get(id)?.key ?? "nobody");
  const luts = [...table.luts].flatMap(([name, { slots }]) => {
    const counts = new Map<string, number>();
    for (const id of slots) counts.set(nameOf(id), (counts.get(nameOf(id)) ?? 0) + 1);
    const owners = [...counts]
      .sort(([a], [b]) => (a < b ? -1 : 1))
      .map(([owner, count]) => `# ${owner}: ${count} slots`);
    return block(`map ${name}`, [`typeof ${SLOT} : meta mark; size ${slots.length};`, ...owners]);
  });
  const maps = [...table.maps].flatMap(([name, { kind, declaration, elements }]) => {
    const entries = [...elements].map(([key, value]) => {
      const leg = kind === "map" && declaration.startsWith("type mark") ? `  # ${nameOf(Number(key))}` : "";
      return value === "" ? key : `${key} : ${value}${leg}`;
    });
    return block(`${kind} ${name}`, [declaration, ...entries]);
  });
  const dynamic = [...table.dynamic].flatMap(([name, { kind, declaration }]) =>
    block(`${kind} ${name}`, [declaration]),
  );
  return [
    `table ${table.family} ${table.name} {`,
    ...[...table.counters].map((name) => `  counter ${name} {}`),
    ...luts,
    ...dynamic,
    ...maps,
    ...[...table.bases].flatMap(([name, { hook, rules }]) =>
      block(`chain ${name}`, [hook, ...rules.map(({ match, chain }) => `${match} goto ${chain}`.trim())]),
    ),
    ...[...table.chains].flatMap(([name, rules]) => block(`chain ${name}`, rules)),
    "}",
    "",
  ].join("\n");
}

const CASES: readonly (readonly [string, ScenarioOptions])[] = [
  ["dsr-dual-stack", { targets: 2 }],
  [
    "primary",
    {
      targets: 2,
      targetPort: 80,
      mode: "NAT",
      listeners: [
        { protocol: "TCP", port: 8080 },
        { protocol: "UDP", port: 8080 },
        { protocol: "TCP", port: 9090 },
      ],
      ordinary: (index) => index < 2,
    },
  ],
  ["nat", { targets: 2, mode: "NAT", targetPort: 80, listeners: [{ protocol: "TCP", port: 8080 }] }],
  [
    "flow-routes",
    {
      targets: 2,
      flowRoutes: [
        {
          name: "voice",
          spec: {
            priority: 10,
            match: {
              protocols: ["UDP", "SCTP"],
              sources: ["10.0.0.0/8", "192.0.2.7/32", "2001:db8::/32"],
              destinationPorts: [5060, "16384-32767"],
              sourcePorts: ["1024-65535"],
              byteMatches: [{ offset: 8, width: 1, mask: "0xf0", value: "0x40" }],
            },
            backendRefs: [{ name: "udp-8080", port: 8080 }],
          },
        },
        { name: "rest", spec: { priority: -5, backendRefs: [{ name: "tcp-8080", port: 8080 }] } },
      ],
    },
  ],
];

/** Names that end in a hash of their content, numbered: so that a change shows where it is, and not wherever it is named. */
function numbered(text: string): string {
  const names = new Map<string, string>();
  const counts = new Map<string, number>();
  return text.replace(/\b([a-z]+[46]?)-[0-9a-f]{12}\b/g, (hashed, prefix: string) => {
    const known = names.get(hashed);
    if (known !== undefined) return known;
    const count = (counts.get(prefix) ?? 0) + 1;
    counts.set(prefix, count);
    names.set(hashed, `${prefix}-${count}`);
    return `${prefix}-${count}`;
  });
}

test("the ruleset while slots move, from two targets to three", async () => {
  const cache = new TableCache();
  const context = { nowMs: 0, windowMs: { connection: 300_000, datagram: 10_000 } };
  const before = await intentOf(scenario({ targets: 2, tableSize: 251 }), cache);
  const { histories } = nextMoves(new Map(), before, context);
  const intent = await intentOf(scenario({ targets: 3, tableSize: 251 }), cache);
  const { moves } = nextMoves(histories, intent, context);
  const tables = [fastPath(intent, environment, moves), slowPath(intent, moves)];
  await expect(numbered(tables.map((table) => render(table, intent)).join("\n"))).toMatchFileSnapshot(
    "goldens/moves.nft",
  );
});

test.each(CASES)("the ruleset of %s", async (name, options) => {
  const intent = await intentOf(scenario({ ...options, tableSize: 251 }));
  const text = [fastPath(intent, environment), slowPath(intent)].map((table) => render(table, intent)).join("\n");
  await expect(numbered(text)).toMatchFileSnapshot(`goldens/${name}.nft`);
});
