import { addressKey, type InterfaceAddress } from "./addresses.ts";
import { compareText, type Plan } from "./apply-plan.ts";

/**
 * The changes that turn `actual` (our addresses) into `desired`. An address is the same when device, address and prefix
 * length are; its other properties hold from its making. Additions come before deletions. Of several IPv4 addresses in one
 * subnet the kernel deletes the later ones with the first unless net/ipv4/conf/DEVICE/promote_secondaries is 1.
 */
export function planAddresses(
  desired: readonly InterfaceAddress[],
  actual: readonly InterfaceAddress[],
): Plan<InterfaceAddress> {
  const wanted = new Map(desired.map((address) => [addressKey(address), address]));
  const present = new Map(actual.map((address) => [addressKey(address), address]));
  return { add: sortedWithout(wanted, present), replace: [], delete: sortedWithout(present, wanted) };
}

function sortedWithout(
  addresses: ReadonlyMap<string, InterfaceAddress>,
  others: ReadonlyMap<string, InterfaceAddress>,
): InterfaceAddress[] {
  const left = [...addresses].filter(([key]) => !others.has(key));
  return left.sort(([a], [b]) => compareText(a, b)).map(([, address]) => address);
}
