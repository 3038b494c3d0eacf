import { SETTLED_MARK } from "#shared/instance/marks.ts";
import type { Family } from "#shared/net/ip.ts";
import { SLOT } from "#shared/nft/slot-key.ts";
import type { TableBuilder } from "#shared/nft/table-builder.ts";
import type { Flow, Intent } from "#shared/resolve/intent-types.ts";
import type { FlowClass } from "../moves/flow-moves.ts";
import { classesOf, type FlowMoves } from "../moves/moves.ts";
import { KEPT_FULL } from "./counters.ts";
import { type Fields, hashExpression, keptExpression } from "./match.ts";

/** A flow that was seen to begin has this long until its second packet, and no longer than any flow. */
const BIRTH_TIMEOUT_S = 60;
/** A TCP flow that was seen to end has this long for its last packets. */
const END_TIMEOUT_S = 30;

/** How a packet that has its leg in its mark goes on. */
export interface Finish {
  /** For the leg of a slot, which is there. */
  readonly slot: string;
  /** For the leg at which a flow is kept, by class: does nothing when that leg is given nothing any more. */
  kept(flowClass: FlowClass): string;
}

/** A map of kept flows: 32 bits of a second hash of the flow, to the leg. Packets make its elements, and time ends them. */
export function keptMap(builder: TableBuilder, intent: Intent, family: Family): string {
  const name = keptName(intent, family);
  const { maxFlows } = intent.flowKeeping;
  builder.dynamic(name, "map", `typeof ${SLOT} : meta mark; size ${maxFlows}; flags dynamic,timeout; timeout 5m;`);
  return name;
}

/** A map keeps its size, so its name tells it. */
export function keptName({ flowKeeping }: Intent, family: Family): string {
  return `kept${family}-${flowKeeping.maxFlows}`;
}

/**
 * Rules for packets of slots that changed hands; packets of other slots come out at the end.
 * @param steady rules that look up the slot's owner.
 */
export function movedRules(
  builder: TableBuilder,
  intent: Intent,
  flow: Flow,
  moves: FlowMoves,
  fields: Fields,
  finish: Finish,
  steady: { readonly table: string; readonly size: number },
): string[] {
  const hash = hashExpression(fields, flow, steady.size, intent.hashSeed);
  const owner = `meta mark set ${hash} map @${steady.table}`;
  const settled = builder.chain("settled", [owner, finish.slot]);
  const classes = classesOf(flow);
  return classes.flatMap((flowClass) => {
    const moved = moves[flowClass];
    if (moved === undefined) return [];
    builder.lut(moved.name, moved.slots);
    const former = `meta mark set ${hash} map @${moved.name}`;
    const chain = fields.raw
      ? errorChain(builder, intent, fields, flowClass, finish, settled)
      : packetChain(builder, intent, fields, flowClass, finish, { flow, settled, owner, former });
    // One class: the flow's own protocols have been matched already.
    const condition = classes.length === 1 ? "" : `${fields.protocol} ${flowClass === "datagram" ? "17" : "!= 17"} `;
    return [`${condition}${former} goto ${chain}`];
  });
}

/** For packets whose mark is the former owner of their slot, or {@link SETTLED_MARK}. */
function packetChain(
  builder: TableBuilder,
  intent: Intent,
  fields: Fields,
  flowClass: FlowClass,
  finish: Finish,
  steps: { readonly flow: Flow; readonly settled: string; readonly owner: string; readonly former: string },
): string {
  const { idleTimeoutSeconds, datagramIdleTimeoutSeconds } = intent.flowKeeping;
  const idle = flowClass === "connection" ? idleTimeoutSeconds : datagramIdleTimeoutSeconds;
  const kept = `@${keptMap(builder, intent, fields.family)}`;
  const key = keptExpression(fields, flowClass, intent.hashSeed);
  const keep = (seconds: number): string => `update ${kept} { ${key} timeout ${seconds}s : meta mark }`;
  const full = builder.count(KEPT_FULL);
  const known = builder.chain("known", [
    ...(flowClass === "connection"
      ? [`tcp flags & (fin | rst) != 0x0 ${keep(Math.min(END_TIMEOUT_S, idle))} ${finish.kept(flowClass)}`]
      : []),
    keep(idle),
    finish.kept(flowClass),
    // Its target is gone. The next packet finds the slot's owner, which refuses it: so the client need not wait.
    `delete ${kept} { ${key} : meta mark } drop`,
  ]);
  const learn = builder.chain("learn", [`${keep(idle)} ${finish.slot}`, full, finish.slot]);
  const rules = [
    `meta mark set ${key} map ${kept} goto ${known}`,
    `meta mark 0x${SETTLED_MARK.toString(16)} goto ${steps.settled}`,
  ];
  const { protocols } = steps.flow;
  if (flowClass === "connection") {
    // Kept with the new owner, or else with the former one: its next packets, which tell no beginning, go the same way.
    const born = builder.chain("born", [`${keep(Math.min(BIRTH_TIMEOUT_S, idle))} ${finish.slot}`]);
    const fresh = builder.chain("fresh", [`${steps.owner} jump ${born}`, full, steps.former, finish.slot]);
    if (protocols.includes("TCP")) rules.push(`tcp flags & (syn | ack) == syn goto ${fresh}`);
    // The first chunk is INIT (RFC 9260 section 3.2).
    if (protocols.includes("SCTP")) rules.push(`meta l4proto sctp @th,96,8 == 1 goto ${fresh}`);
  }
  return builder.chain("moved", [...rules, `goto ${learn}`]);
}

/** For ICMP errors about flows of moved slots: they learn nothing and end nothing. */
function errorChain(
  builder: TableBuilder,
  intent: Intent,
  fields: Fields,
  flowClass: FlowClass,
  finish: Finish,
  settled: string,
): string {
  const kept = keptMap(builder, intent, fields.family);
  const known = builder.chain("known-error", [finish.kept(flowClass), "drop"]);
  return builder.chain("moved-error", [
    `meta mark set ${keptExpression(fields, flowClass, intent.hashSeed)} map @${kept} goto ${known}`,
    `meta mark 0x${SETTLED_MARK.toString(16)} goto ${settled}`,
    finish.slot,
  ]);
}
