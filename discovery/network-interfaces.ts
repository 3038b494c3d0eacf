import { networkInterfaces } from "node:os";
import type { DiscoveryDomain } from "#shared/api/discovery-domain.ts";
import { type Cidr, type Ip, parseCidr, parseIp } from "#shared/net/ip.ts";
import type { NetworkInterface } from "./relay/source-book.ts";

/** An interface of ours with its addresses. */
export interface LocalInterface {
  readonly name: string;
  readonly addresses: readonly { readonly address: Ip; readonly prefix: Cidr }[];
}

/** What the kernel has now. */
export function localInterfaces(): readonly LocalInterface[] {
  return Object.entries(networkInterfaces()).map(([name, addresses = []]) => ({
    name,
    addresses: addresses.flatMap(({ address: text, cidr }) => {
      const address = parseIp(text);
      const prefix = cidr === null ? undefined : parseCidr(cidr);
      return address === undefined || prefix === undefined ? [] : [{ address, prefix }];
    }),
  }));
}

/** The interfaces that an object names and the relay has. */
export function interfacesOf(
  { metadata, spec }: DiscoveryDomain,
  local: readonly LocalInterface[],
): readonly NetworkInterface[] {
  return spec.networks.flatMap(({ network, interface: device }) => {
    const found = local.find(({ name }) => name === device);
    if (found === undefined) return [];
    const qualified = network.includes("/") ? network : `${metadata.namespace}/${network}`;
    return [{ network: qualified, interface: device, prefixes: found.addresses.map(({ prefix }) => prefix) }];
  });
}
