import { shortHash } from "#shared/balance/stable-hash.ts";
import type { Flow, Intent, Leg } from "#shared/resolve/intent-types.ts";
import {
  type FlowClass,
  type History,
  type MoveContext,
  nextEndMs,
  nextHistory,
  type TableInForce,
} from "./flow-moves.ts";

/** What was in force for each flow, by {@link historyKey}. */
export type Histories = ReadonlyMap<string, History>;

/** Slots that changed hands, as the ruleset has them: a map of its own for each class of flows. */
interface MovedMap {
  /** Stable while the change lasts, so that only changed slots are written. */
  readonly name: string;
  /** {@link MovedSlots.legs} */
  readonly slots: Uint32Array;
}
export type FlowMoves = Readonly<Partial<Record<FlowClass, MovedMap>>>;
/** By the flow's key; flows of which nothing moved are left out. */
export type Moves = ReadonlyMap<string, FlowMoves>;

export const NO_MOVES: Moves = new Map();

/** What maps of moved slots are called in the kernel, before the dash and the hash. */
const MAP_PREFIX: Readonly<Record<FlowClass, string>> = { connection: "conn", datagram: "dgram" };

/**
 * Names what packets of the same kind meet before and after a change, whatever route they are given to: VIP and port where
 * that is all that selects them, the route otherwise.
 */
export function historyKey(flow: Flow): string {
  const [port] = flow.destinationPorts;
  return flow.stage === "exact" && port !== undefined
    ? `${flow.vips[0]} ${flow.protocols.join("+")}/${port.from}`
    : flow.key;
}

/** Whether new flows are given to a leg, of some route. */
export const accepts = ({ state }: Leg): boolean => state === "accepting";

/** Whether a leg's target is given packets of the flows that it has. */
export const keeps = (leg: Leg, flowClass: FlowClass): boolean => flowClass === "connection" || leg.state !== "unready";

/** Packets of one flow may go by different routes where bytes are matched: nothing is kept then. */
const keepable = (flow: Flow): boolean => flow.byteMatches.length === 0;

/** The classes of flows that a route's packets can belong to. */
export function classesOf(flow: Flow): readonly FlowClass[] {
  const datagram = flow.protocols.includes("UDP");
  const connection = flow.protocols.some((protocol) => protocol !== "UDP");
  return [...(connection ? (["connection"] as const) : []), ...(datagram ? (["datagram"] as const) : [])];
}

export interface NextMoves {
  readonly histories: Histories;
  readonly moves: Moves;
  /** When an exception may end; undefined when time alone ends none. */
  readonly endMs: number | undefined;
}

/**
 * The exceptions that the ruleset needs beside an intent's lookup tables, so that no flow leaves a target that still
 * serves it.
 * @param context without `serving`, which the intent tells.
 */
export function nextMoves(before: Histories, intent: Intent, context: Omit<MoveContext, "serving">): NextMoves {
  const histories = new Map<string, History>();
  if (intent.flowKeeping.mode === "Off") return { histories, moves: NO_MOVES, endMs: undefined };
  const steps = new Steps(intent, context);
  const users = new Map<History, Flow[]>();
  for (const flow of intent.flows) {
    if (!keepable(flow)) continue;
    const key = historyKey(flow);
    const known = before.get(key);
    const table = flow.table === undefined ? undefined : intent.tables.get(flow.table);
    // Without a target there is no table: what was before is kept, should the targets come back.
    const history =
      table === undefined ? known : steps.next(known, { hash: flow.hash, slots: table.slots }, flow.family);
    if (history === undefined) continue;
    histories.set(key, history);
    if (table === undefined) continue;
    const list = users.get(history);
    if (list) list.push(flow);
    else users.set(history, [flow]);
  }
  const moves = new Map<string, FlowMoves>();
  for (const [history, flows] of users) {
    const maps = mapsOf(history, flows);
    if (maps !== undefined) for (const flow of flows) moves.set(flow.key, maps);
  }
  const ends = [...users.keys()].flatMap((history) => nextEndMs(history, context) ?? []);
  return {
    histories,
    moves,
    endMs: ends.length === 0 ? undefined : ends.reduce((a, b) => Math.min(a, b)),
  };
}

function mapsOf(history: History, flows: readonly Flow[]): FlowMoves | undefined {
  const maps: Partial<Record<FlowClass, MovedMap>> = {};
  for (const flowClass of ["connection", "datagram"] as const) {
    const moved = history.moved[flowClass];
    const keys = flows.filter((flow) => classesOf(flow).includes(flowClass)).map(historyKey);
    if (moved === undefined || keys.length === 0) continue;
    const name = `${MAP_PREFIX[flowClass]}-${shortHash(keys.reduce((a, b) => (b < a ? b : a)))}`;
    maps[flowClass] = { name, slots: moved.legs };
  }
  return Object.keys(maps).length === 0 ? undefined : maps;
}

/** Flows with the same past and the same table have the same future, and share it. */
class Steps {
  readonly #context: Omit<MoveContext, "serving">;
  readonly #intent: Intent;
  readonly #done = new Map<History | undefined, Map<Uint32Array, History>>();

  constructor(intent: Intent, context: Omit<MoveContext, "serving">) {
    this.#intent = intent;
    this.#context = context;
  }

  next(known: History | undefined, table: TableInForce, family: Flow["family"]): History {
    const known2 = this.#done.get(known) ?? new Map<Uint32Array, History>();
    this.#done.set(known, known2);
    const done = known2.get(table.slots);
    if (done !== undefined && done.hash === table.hash) return done;
    const serving = (id: number, flowClass: FlowClass): boolean => {
      const leg = this.#intent.legs.get(id);
      return leg?.addresses[family] !== undefined && keeps(leg, flowClass);
    };
    const next = nextHistory(known, table, { ...this.#context, serving });
    known2.set(table.slots, next);
    return next;
  }
}
