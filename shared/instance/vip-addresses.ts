import type { InterfaceAddress } from "../kernel/addresses.ts";
import { bitsOf, familyOf, type Ip } from "../net/ip.ts";
import { ROUTE_PROTOCOL } from "./marks.ts";

/**
 * VIPs as host addresses of a loopback, usable at once: on an instance, so that its stack answers echo requests; on a
 * target in DSR mode, so that it takes the packets.
 */
export function vipAddresses(vips: readonly Ip[], loopback: number): readonly InterfaceAddress[] {
  return vips.map((vip) => ({
    ifindex: loopback,
    address: vip,
    prefixLength: bitsOf(familyOf(vip)),
    scope: "global",
    noDad: true,
    protocol: ROUTE_PROTOCOL,
  }));
}
