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

  constructor(netfilter: NetlinkSocket) {
    this.#netfilter = netfilter;
  }

  /**
   * What a map held at the last look, as nft writes elements. A flow may be known to one of the paths or both; put back,
   * both know it: either may be in force first.
   */
  elements(map: string): readonly string[] {
    const legs = new Map<number, number>();
    for (const pairs of this.#found.get(map) ?? []) {
      for (let at = 0; at + 1 < pairs.length && legs.size < RESTORED_FLOWS; at += 2) {
        legs.set(pairs[at] ?? 0, pairs[at + 1] ?? 0);
      }
    }
    return [...legs].map(([hash, leg]) => `${slotKey(hash)} timeout ${this.#timeoutSeconds}s : ${leg}`);
  }

  /** The leg at which the fast path keeps the flow with this hash. */
  at(intent: Intent, family: Family, hash: number): LegId | undefined {
    return lookUpNumber(this.#netfilter, "netdev", TABLE, keptName(intent, family), hash);
  }

  /** How many flows are kept at each leg. Remembers them, should the ruleset be flushed. */
  look(intent: Intent): ReadonlyMap<LegId, number> {
    this.#timeoutSeconds = intent.flowKeeping.idleTimeoutSeconds;
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
