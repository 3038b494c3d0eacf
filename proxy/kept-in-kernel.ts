import type { NetlinkSocket } from "#shared/kernel/netlink-socket.ts";
import { listNumberMap, lookUpNumber } from "#shared/kernel/nftables-dump.ts";
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
  #elements: ReadonlyMap<string, readonly string[]> = new Map();

  constructor(netfilter: NetlinkSocket) {
    this.#netfilter = netfilter;
  }

  /** What the maps held at the last look, by map, as nft writes elements. */
  get elements(): ReadonlyMap<string, readonly string[]> {
    return this.#elements;
  }

  /** The leg at which the fast path keeps the flow with this hash. */
  at(intent: Intent, family: Family, hash: number): LegId | undefined {
    return lookUpNumber(this.#netfilter, "netdev", TABLE, keptName(intent, family), hash);
  }

  /** How many flows are kept at each leg. Remembers them, should the ruleset be flushed. */
  look(intent: Intent): ReadonlyMap<LegId, number> {
    const counts = new Map<LegId, number>();
    const timeout = `timeout ${intent.flowKeeping.idleTimeoutSeconds}s`;
    this.#elements = new Map(
      FAMILIES.map((family) => {
        const name = keptName(intent, family);
        // A flow may be known to one of the paths or both; put back, both know it: either may be in force first.
        const elements = new Map<number, string>();
        for (const path of ["inet", "netdev"] as const) {
          const pairs = listNumberMap(this.#netfilter, path, TABLE, name);
          for (let at = 0; at + 1 < pairs.length; at += 2) {
            const [hash = 0, leg = 0] = pairs.subarray(at, at + 2);
            counts.set(leg, (counts.get(leg) ?? 0) + 1);
            if (elements.size < RESTORED_FLOWS) elements.set(hash, `${slotKey(hash)} ${timeout} : ${leg}`);
          }
        }
        return [name, [...elements.values()]];
      }),
    );
    return counts;
  }

  /** No flow is kept any more: none is to be put back. */
  forget(): void {
    this.#elements = new Map();
  }
}
