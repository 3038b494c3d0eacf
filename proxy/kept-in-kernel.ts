import type { NetlinkSocket } from "#shared/kernel/netlink-socket.ts";
import { listNumberMap, lookUpNumber, type NumberPairs } from "#shared/kernel/nftables-dump.ts";
import { FAMILIES, type Family } from "#shared/net/ip.ts";
import { slotKey } from "#shared/nft/slot-key.ts";
import type { Intent, LegId } from "#shared/resolve/intent-types.ts";
import { keptName } from "./nft/kept-flows.ts";
import { TABLE } from "./nft/table-name.ts";

/** Flows that are put back after somebody has flushed the ruleset, each family. */
const RESTORED_FLOWS = 50_000;

/** The maps of kept flows, whose elements packets make. */
export class KeptInKernel {
  readonly #netfilter: NetlinkSocket;
  /** What the maps held at the last look, by name: those of both paths. */
  #found: ReadonlyMap<string, readonly NumberPairs[]> = new Map();
  #timeoutSeconds = 0;
  #maxFlows = 0;

  constructor(netfilter: NetlinkSocket) {
    this.#netfilter = netfilter;
  }

  /** What a map held at the last look, as nft writes elements. */
  elements(map: string): readonly string[] {
    const flows = restoredFlows(this.#found.get(map) ?? [], Math.min(RESTORED_FLOWS, this.#maxFlows));
    return [...flows].map(([hash, leg]) => `${slotKey(hash)} timeout ${this.#timeoutSeconds}s : ${leg}`);
  }

  /** The leg at which the fast path keeps the flow with this hash. */
  at(intent: Intent, family: Family, hash: number): LegId | undefined {
    return lookUpNumber(this.#netfilter, "netdev", TABLE, keptName(intent, family), hash);
  }

  /** How many flows are kept at each leg. Remembers them, should the ruleset be flushed. */
  look(intent: Intent): ReadonlyMap<LegId, number> {
    this.#timeoutSeconds = intent.flowKeeping.idleTimeoutSeconds;
    this.#maxFlows = intent.flowKeeping.maxFlows;
    this.#found = new Map(
      FAMILIES.map((family) => {
        const name = keptName(intent, family);
        const paths = ["inet", "netdev"] as const;
        return [name, paths.map((path) => listNumberMap(this.#netfilter, path, TABLE, name))];
      }),
    );
    const counts = new Map<LegId, number>();
    for (const pairs of [...this.#found.values()].flat()) {
      for (let at = 1; at < pairs.length; at += 2) {
        const leg = pairs[at] ?? 0;
        counts.set(leg, (counts.get(leg) ?? 0) + 1);
      }
    }
    return counts;
  }

  /** No flow is kept any more: none is to be put back. */
  forget(): void {
    this.#found = new Map();
  }
}

/**
 * The legs of flows to put back, by hash. A flow may be known to one of the paths or both; put back, both know it: either may
 * be in force first. Together they may know more than one map has room for, and the kernel would refuse all of them.
 * @param paths what each path's map held; of the last one, the fast path, nothing is left out for another's sake.
 */
export function restoredFlows(paths: readonly NumberPairs[], most: number): ReadonlyMap<number, LegId> {
  const legs = new Map<number, LegId>();
  for (const pairs of paths.toReversed()) {
    for (let at = 0; at + 1 < pairs.length && legs.size < most; at += 2) {
      const hash = pairs[at] ?? 0;
      if (!legs.has(hash)) legs.set(hash, pairs[at + 1] ?? 0);
    }
  }
  return legs;
}
