import { createHash, type Hash } from "node:crypto";
import { type Attributes, type MessageWriter, parseAttributes, readU8 } from "./netlink-message.ts";
import type { NetlinkSocket } from "./netlink-socket.ts";

/** linux/netfilter/nf_tables.h. */
const NFNL_SUBSYS_NFTABLES = 10;
const NFT_MSG_GETCHAIN = 4;
const NFT_MSG_GETRULE = 7;
const NFGENMSG_BYTES = 4;
const NFTA_RULE = { table: 1, chain: 2, expressions: 4 } as const;
const NFTA_CHAIN = { table: 1, name: 3, hook: 4, policy: 5 } as const;
/** NFPROTO_*: what the first byte of a message says of the family of its table. */
const FAMILIES = new Map([
  [1, "inet"],
  [5, "netdev"],
]);

/** By `FAMILY CHAIN`: equal when hook, policy and rules are, in the kernel's own representation. */
export type Fingerprints = ReadonlyMap<string, string>;

export const fingerprintKey = (family: string, chain: string): string => `${family} ${chain}`;

/**
 * Fingerprints of the chains of all tables of one name. It takes two dumps and reads no elements of sets, and unlike a
 * listing it tells rules apart, whatever nft would print.
 */
export function chainFingerprints(netfilter: NetlinkSocket, table: string): Fingerprints {
  const parts = [
    ...dump(netfilter, NFT_MSG_GETCHAIN, "chains", (attributes) =>
      attributes.string(NFTA_CHAIN.table) === table
        ? [NFTA_CHAIN.name, [attributes.bytes(NFTA_CHAIN.hook), attributes.bytes(NFTA_CHAIN.policy)]]
        : undefined,
    ),
    ...dump(netfilter, NFT_MSG_GETRULE, "rules", (attributes) =>
      attributes.string(NFTA_RULE.table) === table
        ? [NFTA_RULE.chain, [attributes.bytes(NFTA_RULE.expressions)]]
        : undefined,
    ),
  ];
  const hashes = new Map<string, Hash>();
  for (const [key, part] of parts) {
    const hash = hashes.get(key) ?? createHash("sha1");
    hashes.set(key, hash.update(part));
  }
  return new Map([...hashes].map(([key, hash]) => [key, hash.digest("base64")]));
}

/** @returns chains and what was hashed of one message about each, in the kernel's order. */
function dump(
  netfilter: NetlinkSocket,
  message: number,
  what: string,
  pick: (attributes: Attributes) => readonly [number, readonly (Uint8Array | undefined)[]] | undefined,
): (readonly [string, string])[] {
  const request = {
    type: (NFNL_SUBSYS_NFTABLES << 8) | message,
    flags: 0,
    describe: () => `nftables ${what}`,
    write: (writer: MessageWriter) => void writer.u8(0).u8(0).u8(0).u8(0),
  };
  return netfilter.dump(request, ({ payload }) => {
    const family = FAMILIES.get(readU8(payload, 0));
    const attributes = parseAttributes(payload, NFGENMSG_BYTES);
    const picked = family === undefined ? undefined : pick(attributes);
    const name = picked && attributes.string(picked[0]);
    if (family === undefined || picked === undefined || name === undefined) return undefined;
    // At once: the bytes are the receive buffer's.
    const hash = createHash("sha1");
    for (const bytes of picked[1]) hash.update(`${bytes?.length ?? "none"}:`).update(bytes ?? new Uint8Array());
    return [fingerprintKey(family, name), hash.digest("base64")] as const;
  });
}
