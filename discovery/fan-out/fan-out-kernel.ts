import { Nftables, NftNotFoundError } from "nftables-ts";
import { listAddresses } from "#shared/kernel/addresses.ts";
import { KernelPermissionError } from "#shared/kernel/kernel-error.ts";
import { listLinks } from "#shared/kernel/links.ts";
import { type NetlinkSocket, openNetfilter, openNetlink } from "#shared/kernel/netlink-socket.ts";
import { listCounters } from "#shared/kernel/nftables-dump.ts";
import { chainFingerprints } from "#shared/kernel/nftables-fingerprints.ts";
import { parseCidr, parseIp } from "#shared/net/ip.ts";
import { TableKeeper } from "#shared/nft/table-keeper.ts";
import type { TableState } from "#shared/nft/table-state.ts";
import type { Log } from "#shared/process/log.ts";
import type { Copy } from "./audience.ts";
import type { KernelInterface } from "./plan-networks.ts";
import { copiesOf } from "./read-copies.ts";
import { type FanOutNetwork, TABLE } from "./ruleset.ts";

/** Whether an earlier process has left a table with rules; "forbidden": this one may not even look. */
export function lookForTable(): "there" | "absent" | "forbidden" {
  let netfilter: NetlinkSocket | undefined;
  try {
    netfilter = openNetfilter();
    return chainFingerprints(netfilter, TABLE).size > 0 ? "there" : "absent";
  } catch (error) {
    if (error instanceof KernelPermissionError) return "forbidden";
    throw error;
  } finally {
    netfilter?.close();
  }
}

/** Interfaces and the nftables table of the fan-out: the only place of it that touches the kernel. */
export class FanOutKernel {
  readonly #nft: Nftables;
  readonly #netlink: NetlinkSocket;
  readonly #netfilter: NetlinkSocket;
  readonly #table: TableKeeper;
  #interfaces: readonly KernelInterface[] | undefined;

  constructor(log: Log) {
    this.#nft = new Nftables();
    this.#netlink = openNetlink();
    this.#netfilter = openNetfilter();
    this.#table = new TableKeeper({
      name: TABLE,
      nft: this.#nft,
      netfilter: this.#netfilter,
      netns: undefined,
      log,
      interfaces: () => new Set(this.interfaces().map(({ name }) => name)),
    });
  }

  close(): void {
    this.#nft.close();
    this.#netlink.close();
    this.#netfilter.close();
  }

  /** Links or addresses may have changed. A device that went took its chains along. */
  networkChanged(): void {
    this.#interfaces = undefined;
    this.#table.forget();
  }

  /** Read once until {@link networkChanged}. */
  interfaces(): readonly KernelInterface[] {
    if (this.#interfaces !== undefined) return this.#interfaces;
    const addresses = listAddresses(this.#netlink);
    this.#interfaces = listLinks(this.#netlink).map(({ ifindex, name, up, mac, mtu }) => ({
      ifindex,
      name,
      up,
      mac,
      mtu,
      addresses: addresses
        .filter((one) => one.ifindex === ifindex)
        .flatMap(({ address: text, prefixLength }) => {
          const address = parseIp(text);
          const prefix = parseCidr(`${text}/${prefixLength}`);
          return address === undefined || prefix === undefined ? [] : [{ address, prefix }];
        }),
    }));
    return this.#interfaces;
  }

  /** Whether somebody else has changed the ruleset. Remembers how it looks when it is ours. */
  disturbed(): boolean {
    this.#table.lookAtRules();
    return this.#table.changedByOthers();
  }

  /** @returns the number of transactions. @throws NftError */
  apply(table: TableState): number {
    return this.#table.apply([table]);
  }

  /** The copies that the table makes now, of the networks that are given; none without a table. */
  copies(networks: readonly FanOutNetwork[]): readonly Copy[] {
    try {
      return copiesOf({ nftables: this.#nft.list({ table: { family: "netdev", name: TABLE } }) }, networks);
    } catch (error) {
      if (error instanceof NftNotFoundError) return [];
      throw error;
    }
  }

  /** Packets by counter name. */
  counters(): ReadonlyMap<string, number> {
    return new Map(listCounters(this.#netfilter, "netdev", TABLE).map(({ name, packets }) => [name, packets]));
  }
}
