import { type MessageWriter, NetlinkDecodeError, parseAttributes } from "./netlink-message.ts";
import type { NetlinkSocket } from "./netlink-socket.ts";

/** linux/netfilter/nfnetlink.h and nf_tables.h. */
const NFNL_SUBSYS_NFTABLES = 10;
const NFT_MSG_GETGEN = 16;
const NFGENMSG_BYTES = 4;
const NFTA_GEN_ID = 1;

/**
 * The generation of the namespace's nftables ruleset: a 32-bit number that grows by one with every transaction of
 * anybody. Costs one system call.
 */
export function rulesetGeneration(netfilter: NetlinkSocket): number {
  const request = {
    type: (NFNL_SUBSYS_NFTABLES << 8) | NFT_MSG_GETGEN,
    flags: 0,
    describe: () => "generation of the nftables ruleset",
    write: (writer: MessageWriter) => void writer.u8(0).u8(0).u8(0).u8(0),
  };
  return netfilter.query(request, ({ payload }) => {
    const id = parseAttributes(payload, NFGENMSG_BYTES).bytes(NFTA_GEN_ID);
    if (id === undefined || id.length !== 4) throw new NetlinkDecodeError("the ruleset's generation has no id");
    // Netfilter's attributes are in network order.
    return new DataView(id.buffer, id.byteOffset, 4).getUint32(0);
  });
}
