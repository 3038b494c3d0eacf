import { type Nftables, NftError, NftNotFoundError } from "nftables-ts";
import type { NetlinkSocket } from "#shared/kernel/netlink-socket.ts";
import { withNetns } from "#shared/kernel/network-namespace.ts";
import { changeElements } from "#shared/kernel/nftables-elements.ts";
import { chainFingerprints, type Fingerprints, fingerprintKey } from "#shared/kernel/nftables-fingerprints.ts";
import { rulesetGeneration } from "#shared/kernel/nftables-generation.ts";
import type { Log } from "#shared/process/log.ts";
import { plan } from "./plan.ts";
import { readTable } from "./read-table.ts";
import { asListed, type ListedTable, type TableState } from "./table-state.ts";

export interface TableKeeperOptions {
  /** What the tables are called, at most one of each family. */
  readonly name: string;
  readonly nft: Nftables;
  readonly netfilter: NetlinkSocket;
  /** Path of the network namespace in which both were opened; the caller's own when absent. */
  readonly netns: string | undefined;
  readonly log: Log;
  /** Names of the interfaces that are there: rules that hand packets to others are made anew. */
  readonly interfaces: () => ReadonlySet<string>;
  /** Elements for a map whose elements packets make, when it is made anew. */
  readonly restore?: (map: string) => readonly string[];
}

/**
 * Keeps nftables tables as they are wanted: reads what the kernel holds when that is not known, writes the difference, and
 * notices what others change.
 */
export class TableKeeper {
  readonly #options: TableKeeperOptions;
  /** What the kernel holds, by family; absent: to be listed first. */
  readonly #known = new Map<TableState["family"], ListedTable | undefined>();
  /** The ruleset's generation after our last change; undefined: not known to be ours. */
  #generation: number | undefined;
  /** Somebody else changed the ruleset while we did. */
  #disturbed = false;
  /** The chains after our last change; undefined: not looked at since. */
  #fingerprints: Fingerprints | undefined;

  constructor(options: TableKeeperOptions) {
    this.#options = options;
  }

  /** Forgets what nftables was last seen to hold: somebody else may have changed it. */
  forget(): void {
    this.#known.clear();
    this.#generation = undefined;
  }

  /**
   * Whether somebody else has changed the nftables ruleset since our last change, or beside it. False while no change of
   * ours has succeeded: then the next attempt reads everything anyway. Costs one system call.
   */
  changedByOthers(): boolean {
    const { netfilter } = this.#options;
    return this.#disturbed || (this.#generation !== undefined && rulesetGeneration(netfilter) !== this.#generation);
  }

  /**
   * Remembers how the rules of all chains look, for when somebody changes some. Not as part of a change, which it would
   * make longer; costs nothing when it is known.
   */
  lookAtRules(): void {
    if (this.#fingerprints !== undefined || this.#generation === undefined || this.changedByOthers()) return;
    const fingerprints = chainFingerprints(this.#options.netfilter, this.#options.name);
    if (!this.changedByOthers()) this.#fingerprints = fingerprints;
  }

  /**
   * Brings the tables to the wanted state. On failure nothing of the failed transaction is in force, and the tables are
   * listed anew before the next attempt.
   * @returns the number of transactions.
   * @throws NftError, KernelError
   */
  apply(tables: readonly TableState[]): number {
    const { nft, netfilter, netns, restore } = this.#options;
    const before = rulesetGeneration(netfilter);
    if (before !== this.#generation) this.forget();
    const isChanged = tables.some(({ family }) => !this.#known.has(family)) ? this.#changedChains() : () => false;
    const transactions = plan(
      tables.map((table) => ({
        table,
        listed: this.#known.has(table.family) ? this.#known.get(table.family) : this.#list(table, isChanged),
        ...(restore && { restore }),
      })),
    );
    if (transactions.length > 0) {
      // Rules stay where only elements change.
      if (transactions.some(({ changes }) => changes === undefined)) this.#fingerprints = undefined;
      for (const { family } of tables) this.#known.delete(family);
      // libnftables looks interface names up in the namespace of the caller, not in that of its socket.
      withNetns(netns, () => {
        for (const [index, transaction] of transactions.entries()) {
          const { changes } = transaction;
          if (changes === undefined) nft.run(transaction.text);
          else changeElements(netfilter, (before + index) >>> 0, changes);
        }
      });
    }
    for (const table of tables) this.#known.set(table.family, asListed(table));
    const after = rulesetGeneration(netfilter);
    // Anything else than one step for each of our transactions was somebody else's doing.
    this.#disturbed = after !== (before + transactions.length) >>> 0;
    if (this.#disturbed) this.forget();
    else this.#generation = after;
    return transactions.length;
  }

  /** Which chains have other rules than after our last change, as far as that was looked at. */
  #changedChains(): (family: string, chain: string) => boolean {
    const before = this.#fingerprints;
    if (before === undefined) return () => false;
    const now = chainFingerprints(this.#options.netfilter, this.#options.name);
    return (family, chain) => {
      const key = fingerprintKey(family, chain);
      return before.has(key) && before.get(key) !== now.get(key);
    };
  }

  #list({ family, name }: TableState, isChanged: (family: string, chain: string) => boolean): ListedTable | undefined {
    const { nft, netns, log } = this.#options;
    const interfaces = this.#options.interfaces();
    try {
      // libnftables looks interface names up in the namespace of the caller.
      const listing = withNetns(netns, () => nft.list({ table: { family, name } }));
      return readTable({ nftables: listing }, { interfaces, isChanged: (chain) => isChanged(family, chain) });
    } catch (error) {
      if (error instanceof NftNotFoundError) return undefined;
      if (!(error instanceof NftError)) throw error;
      log.error({ err: error, table: `${family} ${name}` }, "cannot read the table in the kernel");
      throw error;
    }
  }
}
