import type { Gateway } from "#shared/api/gateway.ts";
import type { GatewayParameters } from "#shared/api/gateway-parameters.ts";
import { cidr, cidrContains, type Family, familyOf, type Ip } from "#shared/net/ip.ts";
import type { ObjectView } from "#shared/store/object-store.ts";

/** An interface of this instance on an external network, with the addresses that sessions and next hops may use. */
export interface ExternalInterface {
  readonly name: string;
  readonly addresses: readonly { readonly address: Ip; readonly prefixLength: number }[];
}

/** The parameters of a Gateway: its own, or those of its class. */
export function parametersOf(view: ObjectView, gateway: Gateway): GatewayParameters | undefined {
  const own = gateway.spec.infrastructure?.parametersRef;
  if (own !== undefined) return view.get("GatewayParameters", gateway.metadata.namespace, own.name);
  const ofClass = view.get("GatewayClass", "", gateway.spec.gatewayClassName)?.spec.parametersRef;
  if (ofClass === undefined) return undefined;
  return view.get("GatewayParameters", ofClass.namespace ?? gateway.metadata.namespace, ofClass.name);
}

/** The first address of a family on these interfaces. */
export function ownAddress(interfaces: readonly ExternalInterface[], family: Family): Ip | undefined {
  for (const { addresses } of interfaces) {
    for (const { address } of addresses) if (familyOf(address) === family) return address;
  }
  return undefined;
}

/** Where a router is reached: the interface, and our own address there. */
export interface RouterLink {
  readonly interface: string;
  readonly localAddress: Ip;
}

/**
 * The link to a router: on the named interface, else on the one whose prefix holds the router's address, else (a router
 * beyond the link) on the first one with an address of its family. The answer is a reason when there is none.
 */
export function linkTo(
  interfaces: readonly ExternalInterface[],
  router: Ip,
  wanted: { readonly interface: string | undefined; readonly beyondLink: boolean },
): RouterLink | { readonly problem: string } {
  const candidates =
    wanted.interface === undefined ? interfaces : interfaces.filter((i) => i.name === wanted.interface);
  if (candidates.length === 0) {
    const names = interfaces.map((i) => i.name).join(", ") || "none";
    return {
      problem:
        wanted.interface === undefined
          ? "this instance has no external interface yet"
          : `spec.interface: ${wanted.interface} is no external interface of this instance (${names})`,
    };
  }
  for (const candidate of candidates) {
    for (const { address, prefixLength } of candidate.addresses) {
      if (familyOf(address) === familyOf(router) && cidrContains(cidr(`${address}/${prefixLength}`), router)) {
        return { interface: candidate.name, localAddress: address };
      }
    }
  }
  if (wanted.beyondLink) {
    for (const candidate of candidates) {
      const localAddress = ownAddress([candidate], familyOf(router));
      if (localAddress !== undefined) return { interface: candidate.name, localAddress };
    }
  }
  const hint = wanted.beyondLink ? "" : "; for a router beyond the link set spec.multihopTtl";
  return { problem: `spec.address: no external interface has an address in a prefix that holds ${router}${hint}` };
}
