import { flowSlot } from "#shared/balance/flow-hash.ts";
import { type Family, familyOf } from "#shared/net/ip.ts";
import type { Intent, Leg, LegId } from "#shared/resolve/intent-types.ts";
import { type Location, locate, type Packet } from "#shared/resolve/locate.ts";
import { isPrimary } from "#shared/resolve/primary-network.ts";
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
  /** The connection is tracked here, and to this target; absent: it is not, or no target is on the primary network. */
  readonly tracked?: Leg;
  /** Where a packet goes that begins no flow; absent: it is dropped, or refused. */
  readonly leg?: Leg;
}

/** The leg that a map of kept flows holds for a flow's hash; asks the kernel. */
export type AskKept = (family: Family, hash: number) => LegId | undefined;

/** The leg of a connection that the kernel tracks; asks the kernel. */
export type AskTracked = (packet: Packet) => LegId | undefined;

/** What the rules of kept-flows.ts, and those of primary-path.ts, do with a packet that begins no flow. */
export function whereabouts(
  intent: Intent,
  moves: Moves,
  packet: Packet,
  askKept: AskKept,
  askTracked: AskTracked,
): Whereabouts {
  const { leg, ...rest } = inFastPath(intent, moves, packet, askKept);
  if (leg === undefined || !isPrimary(leg)) return { ...rest, ...(leg && { leg }) };
  const tracked = intent.legs.get(askTracked(packet) ?? 0);
  if (tracked !== undefined) return { ...rest, tracked, leg: tracked };
  // A TCP connection that is not known is reset. A datagram begins anew.
  return packet.protocol === "TCP" ? rest : { ...rest, leg };
}

/** What the rules of kept-flows.ts do with a packet of the fast path that begins no flow. */
function inFastPath(intent: Intent, moves: Moves, packet: Packet, askKept: AskKept): Whereabouts {
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
