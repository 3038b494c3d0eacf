import { z } from "zod";
import { readTable } from "#shared/nft/read-table.ts";

/** The tables that a flow's packets are looked up in: its lookup table, and what is moved of it. */
export interface FlowTables {
  readonly owners: Uint32Array;
  readonly connection: Uint32Array | undefined;
  readonly datagram: Uint32Array | undefined;
}

/** Flows that the kernel has tables for, by the name of the counter that their packets are counted in, and by element. */
export interface FlowsInForce {
  readonly byCounter: ReadonlyMap<string, FlowTables>;
  /** By `VIP . protocol number . port`. */
  readonly byElement: ReadonlyMap<string, FlowTables>;
}

const rules = z.object({
  nftables: z.array(z.looseObject({ rule: z.object({ chain: z.string(), expr: z.array(z.unknown()) }).optional() })),
});
const EXACT_MAP = /^flow-exact[46]-/;

/**
 * Which tables the flows of the netdev table use: what a proxy that starts must know to tell which slots will move.
 * @param listing of the table `netdev causeway`, as libnftables makes it.
 */
export function flowsInForce(listing: unknown): FlowsInForce {
  const { luts, maps } = readTable(listing);
  const textOf = new Map<string, string>();
  for (const { rule } of rules.parse(listing).nftables) {
    if (rule?.chain.startsWith("flow-")) {
      textOf.set(rule.chain, `${textOf.get(rule.chain) ?? ""}${JSON.stringify(rule.expr)}`);
    }
  }
  const byChain = new Map<string, FlowTables>();
  const byCounter = new Map<string, FlowTables>();
  for (const [chain, text] of textOf) {
    const table = (prefix: string): Uint32Array | undefined => {
      const name = new RegExp(`"@(${prefix}-[0-9a-f]+)"`).exec(text)?.[1];
      return name === undefined ? undefined : luts.get(name)?.slots;
    };
    const owners = table("lut");
    if (owners === undefined) continue;
    const tables = { owners, connection: table("conn"), datagram: table("dgram") };
    byChain.set(chain, tables);
    const counter = /"(flow-[0-9a-f]+)"/.exec(text)?.[1];
    if (counter !== undefined) byCounter.set(counter, tables);
  }
  const byElement = new Map<string, FlowTables>();
  for (const [name, { elements }] of maps) {
    if (!EXACT_MAP.test(name)) continue;
    for (const [element, verdict] of elements) {
      const tables = byChain.get(verdict.replace("goto ", ""));
      if (tables !== undefined) byElement.set(element, tables);
    }
  }
  return { byCounter, byElement };
}
