import type { Family } from "#shared/net/ip.ts";
import type { TableBuilder } from "#shared/nft/table-builder.ts";
import type { Flow, Intent } from "#shared/resolve/intent-types.ts";
import type { Moves } from "../moves/moves.ts";
import { counterName, NO_TARGET } from "./counters.ts";
import { CommonChains, type Finish, movedRules } from "./kept-flows.ts";
import { conditions, type Fields, hashExpression, protocolNumber } from "./match.ts";

/** Names and words of one way to find the leg of a packet. */
interface Way {
  readonly fields: Fields;
  /** Prefix of map names: `flow` for packets, `error` for ICMP errors about flows. */
  readonly prefix: "flow" | "error";
  readonly finish: Finish;
  readonly moves: Moves;
  readonly common: CommonChains;
}

/** The map of flows that are known by VIP, protocol and port. */
function exactMap(
  builder: TableBuilder,
  { fields, prefix }: Way,
  count: number,
): { readonly name: string; readonly elements: Map<string, string> } {
  const name = `${prefix}-exact${fields.family}`;
  const address = fields.family === 4 ? "ipv4_addr" : "ipv6_addr";
  if (prefix === "flow") return builder.sizedMap(name, `${address} . inet_proto . inet_service`, count);
  // Raw expressions have no type name: the kernel is told by the expressions themselves.
  const key = `${fields.family === 4 ? "ip" : "ip6"} daddr . ${fields.protocol} . ${fields.destinationPort}`;
  return { name, elements: builder.map(name, `typeof ${key} : verdict;`) };
}

/** The chain that puts the leg of a flow into the packet's mark, and ends the search. */
function markChain(builder: TableBuilder, intent: Intent, way: Way, flow: Flow): string {
  const count = builder.count(counterName(way.prefix, flow.key));
  const table = flow.table === undefined ? undefined : intent.tables.get(flow.table);
  if (table === undefined) return builder.chain("none", [count, builder.count(NO_TARGET), "drop"]);
  const hash = hashExpression(way.fields, flow, table.size, intent.hashSeed);
  const moves = way.moves.get(flow.key);
  const moved =
    moves === undefined
      ? []
      : movedRules(builder, intent, flow, moves, way.fields, way.finish, way.common, {
          table: table.name,
          size: table.size,
        });
  return builder.chain(way.prefix, [count, ...moved, `meta mark set ${hash} map @${table.name}`, way.finish.slot]);
}

/** Flows of one stage that are looked at one after the other: a chain for each VIP. */
function sequence(
  builder: TableBuilder,
  intent: Intent,
  way: Way,
  flows: readonly Flow[],
  stage: "early" | "late",
): string[] {
  const map = `${way.prefix}-${stage}${way.fields.family}`;
  const own = flows.filter((flow) => flow.stage === stage);
  if (own.length === 0) return [];
  const type = way.fields.family === 4 ? "ipv4_addr" : "ipv6_addr";
  const elements = builder.map(map, `type ${type} : verdict;`);
  const chains = new Map(own.map((flow) => [flow, markChain(builder, intent, way, flow)]));
  for (const vip of new Set(own.flatMap((flow) => flow.vips))) {
    const rules = own
      .filter((flow) => flow.vips.includes(vip))
      .map((flow) => `${conditions(way.fields, flow)} goto ${chains.get(flow)}`);
    elements.set(vip, `jump ${builder.chain(stage, rules)}`);
  }
  // The outer destination of an ICMP error is the VIP, too.
  const destination = way.fields.family === 4 ? "ip daddr" : "ip6 daddr";
  return [`${destination} vmap @${map}`];
}

/**
 * Rules that give a packet to `finish`, rules that keep it, with the id of its leg or {@link REFUSED} in its mark.
 * Packets of flows without a ready target are dropped; those that no flow wants come out at the end. Chains are gone to
 * and not returned from: that, and no mark to clear and to test, saves a rule's time or two for each packet.
 */
export function dispatch(
  builder: TableBuilder,
  intent: Intent,
  family: Family,
  fields: Fields,
  finish: Finish,
  moves: Moves,
): string[] {
  const common = new CommonChains(builder, intent, fields, finish);
  const way: Way = { fields, prefix: fields.raw ? "error" : "flow", finish, moves, common };
  const flows = intent.flows.filter((flow) => flow.family === family);
  const early = sequence(builder, intent, way, flows, "early");
  const late = sequence(builder, intent, way, flows, "late");
  const exact = flows.filter((flow) => flow.stage === "exact");
  const count = exact.reduce(
    (sum, flow) => sum + flow.vips.length * flow.protocols.length * flow.destinationPorts.length,
    0,
  );
  const { name: map, elements } = exactMap(builder, way, count);
  for (const flow of exact) {
    const verdict = `goto ${markChain(builder, intent, way, flow)}`;
    for (const vip of flow.vips) {
      for (const protocol of flow.protocols) {
        for (const { from } of flow.destinationPorts)
          elements.set(`${vip} . ${protocolNumber(protocol)} . ${from}`, verdict);
      }
    }
  }
  const destination = family === 4 ? "ip daddr" : "ip6 daddr";
  const key = `${destination} . ${fields.protocol} . ${fields.destinationPort}`;
  return [...early, `${key} vmap @${map}`, ...late];
}
