import type { Global as Global3 } from "./gen/gobgp3_pb.js";
import type { Global as Global4 } from "./gen/gobgp4_pb.js";
import type { BgpGlobal } from "./global.ts";
import { canonicalAddress } from "./ip.ts";

/** AS number 0 is how the daemon says that BGP is not started. */
export function globalFromWire(global: Global3 | Global4 | undefined): BgpGlobal | undefined {
  if (!global || global.asn === 0) return undefined;
  return {
    asn: global.asn,
    routerId: global.routerId,
    listenPort: global.listenPort,
    listenAddresses: global.listenAddresses.map((address) => canonicalAddress(address) ?? address),
    useMultiplePaths: global.useMultiplePaths,
  };
}
