import { Nftables } from "nftables-ts";
import { type NetlinkSocket, openNetfilter } from "#shared/kernel/netlink-socket.ts";
import { withNetns } from "#shared/kernel/network-namespace.ts";
import { listCounters } from "#shared/kernel/nftables-dump.ts";
import { TableKeeper } from "#shared/nft/table-keeper.ts";
import type { Log } from "#shared/process/log.ts";
import type { RtpsFilter } from "./rtps-filter.ts";
import { COUNTER, rtpsRuleset, TABLE } from "./rtps-ruleset.ts";

/** The nftables table of one pod's network namespace: the only place of it that touches the kernel. */
export class PodFilter {
  readonly #netns: string;
  readonly #nft: Nftables;
  readonly #netfilter: NetlinkSocket;
  readonly #table: TableKeeper;
  #isThere = true;

  /** @throws KernelError, NftError when the namespace cannot be entered or has no nftables. */
  constructor(netns: string, log: Log) {
    this.#netns = netns;
    this.#nft = withNetns(netns, () => new Nftables());
    this.#netfilter = openNetfilter({ netns });
    const interfaces = (): ReadonlySet<string> => new Set();
    this.#table = new TableKeeper({ name: TABLE, nft: this.#nft, netfilter: this.#netfilter, netns, log, interfaces });
  }

  close(): void {
    this.#nft.close();
    this.#netfilter.close();
  }

  /** Whether somebody else has changed the ruleset since. One system call. */
  disturbed(): boolean {
    return this.#isThere && this.#table.changedByOthers();
  }

  /** @returns the number of transactions. @throws NftError */
  apply(filter: RtpsFilter | undefined): number {
    if (filter !== undefined) {
      this.#isThere = true;
      return this.#table.apply([rtpsRuleset(filter.rules)]);
    }
    if (!this.#isThere) return 0;
    // Whether it is there or not.
    withNetns(this.#netns, () => this.#nft.run(`add table inet ${TABLE}\ndelete table inet ${TABLE}\n`));
    this.#table.forget();
    this.#isThere = false;
    return 1;
  }

  /** Datagrams that were dropped since the table was made. */
  keptOut(): number {
    const counters = listCounters(this.#netfilter, "inet", TABLE);
    return counters.find(({ name }) => name === COUNTER)?.packets ?? 0;
  }
}
