import { flowSlot } from "#shared/balance/flow-hash.ts";
import { type Family, familyOf } from "#shared/net/ip.ts";
import type { Intent, Leg, LegId } from "#shared/resolve/intent-types.ts";
import { type Location, locate, type Packet } from "#shared/resolve/locate.ts";
import { KEPT_HASHES, keptSeed } from "../nft/match.ts";
import { type FlowClass, isLearning } from "./flow-moves.ts";
import { keeps, type Moves } from "./moves.ts";

/** Where the packets of a flow go, with what is moved. */
export interface Whereabouts {
  /** By the lookup table: where a flow goes that begins now. */
  readonly location: Location;
  /** The slot changed hands lately: flows are being learned, or only known ones are exceptions. */
  readonly moved?: "learning" | "settled";
  /** The slot's owner before it changed hands; only while flows are learned. */
  readonly former?: Leg;
  /** The flow is known, and kept here; absent: it is not known. */
  readonly kept?: Leg;
  /** Where a packet goes that begins no flow; absent: it is dropped. */
  readonly leg?: Leg;
}

/** The leg that a map of kept flows holds for a flow's hash; asks the kernel. */
export type AskKept = (family: Family, hash: number) => LegId | undefined;

/** What the rules of kept-flows.ts do with a packet of the fast path that begins no flow. */
export function whereabouts(intent: Intent, moves: Moves, packet: Packet, askKept: AskKept): Whereabouts {
  const location = locate(intent, packet);
  const owner = location.kind === "target" ? { leg: location.leg } : {};
  if (!("slot" in location)) return { location };
  const flowClass: FlowClass = packet.protocol === "UDP" ? "datagram" : "connection";
  const moved = moves.get(location.flow.key)?.[flowClass]?.slots[location.slot] ?? 0;
  if (moved === 0) return { location, ...owner };
  const family = familyOf(packet.destination);
  const hash = flowSlot(packet, "tuple", KEPT_HASHES, keptSeed(flowClass, intent.hashSeed)).slot;
  const kept = intent.legs.get(askKept(family, hash) ?? 0);
  const former = isLearning(moved) ? intent.legs.get(moved) : undefined;
  const state = { location, moved: isLearning(moved) ? ("learning" as const) : ("settled" as const) };
  if (kept !== undefined && keeps(kept, flowClass)) return { ...state, kept, leg: kept, ...(former && { former }) };
  return former === undefined ? { ...state, ...owner } : { ...state, former, leg: former };
}
