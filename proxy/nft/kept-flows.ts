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
  /** For the leg of a known flow that begins anew: does nothing when that leg is given no new flows. */
  readonly accepting: string;
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
 * Rules for packets of slots that changed hands. Packets of other slots come out at the end, and so do those of settled
 * slots that nobody keeps: the slot's owner has them.
 * @param steady rules that look up the slot's owner.
 */
export function movedRules(
  builder: TableBuilder,
  intent: Intent,
  flow: Flow,
  moves: FlowMoves,
  fields: Fields,
  finish: Finish,
  common: CommonChains,
  steady: { readonly table: string; readonly size: number },
): string[] {
  const hash = hashExpression(fields, flow, steady.size, intent.hashSeed);
  const owner = `meta mark set ${hash} map @${steady.table}`;
  const classes = classesOf(flow);
  return classes.flatMap((flowClass) => {
    const moved = moves[flowClass];
    if (moved === undefined) return [];
    builder.lut(moved.name, moved.slots);
    const former = `meta mark set ${hash} map @${moved.name}`;
    const chain = fields.raw
      ? errorChain(builder, intent, fields, flowClass, finish)
      : packetChain(builder, finish, common.of(flowClass, flow), { owner, former });
    // One class: the flow's own protocols have been matched already.
    const condition = classes.length === 1 ? "" : `${fields.protocol} ${flowClass === "datagram" ? "17" : "!= 17"} `;
    return [`${condition}${former} jump ${chain}`];
  });
}

/** In a packet's mark: the flow was known, and is not any more. */
const FORGOTTEN = "0x0";
const IS_SETTLED = `meta mark 0x${SETTLED_MARK.toString(16)} return`;

/** What chains of kept flows have in common. */
interface Common {
  /** Names of chains. */
  readonly learn: string;
  /** For packets that begin a flow. */
  readonly born: string | undefined;
  /** To `known`, for a flow that is. */
  readonly lookUp: string;
  /** What tells that a packet begins a flow. */
  readonly begins: readonly string[];
}

/**
 * Chains that all flows share, as they do not name a flow's own tables: with every service on the move, they are most of the
 * rules. Nothing in them changes when a target's state does.
 */
export class CommonChains {
  readonly #made = new Map<string, Common>();
  readonly #builder: TableBuilder;
  readonly #intent: Intent;
  readonly #fields: Fields;
  readonly #finish: Finish;

  constructor(builder: TableBuilder, intent: Intent, fields: Fields, finish: Finish) {
    this.#builder = builder;
    this.#intent = intent;
    this.#fields = fields;
    this.#finish = finish;
  }

  of(flowClass: FlowClass, { protocols }: Flow): Common {
    const connection = flowClass === "connection";
    const isTcp = connection && protocols.includes("TCP");
    const isSctp = connection && protocols.includes("SCTP");
    const key = [flowClass, isTcp, isSctp].join();
    const common = this.#made.get(key) ?? this.#make(flowClass, isTcp, isSctp);
    this.#made.set(key, common);
    return common;
  }

  #make(flowClass: FlowClass, isTcp: boolean, isSctp: boolean): Common {
    const [builder, intent, fields, finish] = [this.#builder, this.#intent, this.#fields, this.#finish];
    const { idleTimeoutSeconds, datagramIdleTimeoutSeconds } = intent.flowKeeping;
    const idle = flowClass === "connection" ? idleTimeoutSeconds : datagramIdleTimeoutSeconds;
    const birth = Math.min(BIRTH_TIMEOUT_S, idle);
    const kept = `@${keptMap(builder, intent, fields.family)}`;
    const key = keptExpression(fields, flowClass, intent.hashSeed);
    const keep = (seconds: number): string => `update ${kept} { ${key} timeout ${seconds}s : meta mark }`;
    const tcpBegins = isTcp ? ["tcp flags & (syn | ack) == syn"] : [];
    // The first chunk is INIT (RFC 9260 section 3.2).
    const sctpBegins = isSctp ? ["meta l4proto sctp @th,96,8 == 1"] : [];
    // Its target is gone: as if it had never been known. The slot's owner tells the client by a reset.
    const forget = [`delete ${kept} { ${key} : meta mark }`, `meta mark set ${FORGOTTEN}`];
    const known = [keep(idle), finish.kept(flowClass), ...forget];
    if (flowClass === "connection") {
      // A SYN that is sent again goes where the first one went. A client that uses a port again is not given to a target
      // that takes nobody any more, or not yet.
      const again = builder.chain("again", [keep(birth), finish.accepting, ...forget]);
      known.unshift(...sctpBegins.map((begin) => `${begin} goto ${again}`));
      if (isTcp) {
        const ends = [keep(Math.min(END_TIMEOUT_S, idle)), finish.kept(flowClass), ...forget];
        const edge = builder.chain("edge", [...tcpBegins.map((begin) => `${begin} goto ${again}`), ...ends]);
        known.unshift(`tcp flags & (syn | fin | rst) != 0x0 goto ${edge}`);
      }
    }
    const full = builder.count(KEPT_FULL);
    return {
      learn: builder.chain("learn", [`${keep(idle)} ${finish.slot}`, full, finish.slot]),
      born: flowClass === "datagram" ? undefined : builder.chain("born", [`${keep(birth)} ${finish.slot}`]),
      lookUp: `meta mark set ${key} map ${kept} jump ${builder.chain("known", known)}`,
      begins: [...tcpBegins, ...sctpBegins],
    };
  }
}

/** For packets whose mark is the former owner of their slot, or {@link SETTLED_MARK}. */
function packetChain(
  builder: TableBuilder,
  finish: Finish,
  { begins, born, learn, lookUp }: Common,
  steps: { readonly owner: string; readonly former: string },
): string {
  const rules = [lookUp, `meta mark ${FORGOTTEN} ${steps.former}`, IS_SETTLED];
  if (born !== undefined) {
    // Kept with the new owner, or else with the former one: its next packets, which tell no beginning, go the same way.
    const full = builder.count(KEPT_FULL);
    const fresh = builder.chain("fresh", [`${steps.owner} jump ${born}`, full, steps.former, finish.slot]);
    rules.push(...begins.map((begin) => `${begin} goto ${fresh}`));
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
): string {
  const kept = keptMap(builder, intent, fields.family);
  const known = builder.chain("known-error", [finish.kept(flowClass), "drop"]);
  return builder.chain("moved-error", [
    `meta mark set ${keptExpression(fields, flowClass, intent.hashSeed)} map @${kept} goto ${known}`,
    IS_SETTLED,
    finish.slot,
  ]);
}
