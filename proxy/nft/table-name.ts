/** What the proxy's nftables tables are called, those of the families netdev and inet. */
export const TABLE = "causeway";
