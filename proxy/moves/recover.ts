import type { Flow, Intent, LegId } from "#shared/resolve/intent-types.ts";
import { counterName } from "../nft/counters.ts";
import { protocolNumber } from "../nft/match.ts";
import type { FlowsInForce, FlowTables } from "../nft/read-flows.ts";
import { type FlowClass, type History, isLearning, type MovedSlots, movedSlots } from "./flow-moves.ts";
import { type Histories, historyKey } from "./moves.ts";

function tablesOf(flow: Flow, found: FlowsInForce): FlowTables | undefined {
  const [port] = flow.destinationPorts;
  const [protocol] = flow.protocols;
  if (flow.stage !== "exact" || port === undefined || protocol === undefined) {
    return found.byCounter.get(counterName("flow", flow.key));
  }
  return found.byElement.get(`${flow.vips[0]} . ${protocolNumber(protocol)} . ${port.from}`);
}

/**
 * What a proxy that starts knows of the flows under way: the tables that the kernel works with. How long they have been
 * learned it does not know: it begins anew.
 */
export function recoverHistories(
  intent: Intent,
  found: FlowsInForce,
  nowMs: number,
  windowMs: Readonly<Record<FlowClass, number>>,
): Histories {
  const origins: ReadonlySet<LegId> = new Set(intent.legs.keys());
  const made = new Map<Uint32Array, MovedSlots>();
  const movedOf = (flowClass: FlowClass, legs: Uint32Array): MovedSlots => {
    const known = made.get(legs);
    if (known !== undefined) return known;
    const until = Float64Array.from(legs, (leg) => (isLearning(leg) ? nowMs + windowMs[flowClass] : 0));
    const moved = movedSlots({ legs, until, origins });
    made.set(legs, moved);
    return moved;
  };
  const shared = new Map<Uint32Array, History[]>();
  const histories = new Map<string, History>();
  for (const flow of intent.flows) {
    const tables = tablesOf(flow, found);
    if (tables === undefined) continue;
    const moved = {
      ...(tables.connection && { connection: movedOf("connection", tables.connection) }),
      ...(tables.datagram && { datagram: movedOf("datagram", tables.datagram) }),
    };
    const list = shared.get(tables.owners) ?? [];
    shared.set(tables.owners, list);
    // Flows with the same past share it, so that they go on sharing their maps.
    const same = list.find(
      (known) =>
        known.hash === flow.hash &&
        known.moved.connection === moved.connection &&
        known.moved.datagram === moved.datagram,
    );
    const history = same ?? { hash: flow.hash, slots: tables.owners, moved };
    if (same === undefined) list.push(history);
    histories.set(historyKey(flow), history);
  }
  return histories;
}
