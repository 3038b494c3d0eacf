import { type Cidr, cidrSpan, familyOf, type Ip, rangesOverlap } from "#shared/net/ip.ts";
import type { FanOutNetwork } from "./ruleset.ts";

/** A network that an object names. */
export interface WantedNetwork {
  /** `namespace/name` of the NetworkAttachmentDefinition. */
  readonly name: string;
  readonly interface: string;
}

/** An interface as the kernel has it. */
export interface KernelInterface {
  readonly name: string;
  readonly ifindex: number;
  readonly up: boolean;
  /** Undefined where links have no addresses: those cannot be copied to. */
  readonly mac: string | undefined;
  readonly mtu: number;
  readonly addresses: readonly { readonly address: Ip; readonly prefix: Cidr }[];
}

/** A network that takes part, and how this gateway is on it. */
export interface AttachedNetwork extends FanOutNetwork {
  readonly ifindex: number;
  /** Our first IPv4 address there. */
  readonly address: Ip;
}

export interface Networks {
  readonly attached: readonly AttachedNetwork[];
  /** Why others are left out: a sentence each. */
  readonly problems: readonly string[];
}

function attach(
  { name, interface: device }: WantedNetwork,
  interfaces: readonly KernelInterface[],
): AttachedNetwork | string {
  const found = interfaces.find((one) => one.name === device);
  if (found === undefined) return `network ${name}: there is no interface ${device}`;
  const { ifindex, mac, mtu, up } = found;
  if (!up) return `network ${name}: ${device} is down`;
  if (mac === undefined)
    return `network ${name}: ${device} is no Ethernet interface; multicast is not copied to or from it`;
  const ipv4 = found.addresses.filter(({ address }) => familyOf(address) === 4);
  const [first] = ipv4;
  if (first === undefined)
    return `network ${name}: ${device} has no IPv4 address; give it one, by which its network is known`;
  const prefixes = [...new Set(ipv4.map(({ prefix }) => prefix))].sort();
  return { name, interface: device, ifindex, mac, mtu, prefixes, address: first.address };
}

function overlap(a: AttachedNetwork, b: AttachedNetwork): boolean {
  return a.prefixes.some((one) => b.prefixes.some((other) => rangesOverlap(cidrSpan(one), cidrSpan(other))));
}

/**
 * The networks that take part. Two that share addresses do not: by its source address a copy is told from what is native to a
 * network, and is not copied again.
 */
export function planNetworks(wanted: readonly WantedNetwork[], interfaces: readonly KernelInterface[]): Networks {
  const found: AttachedNetwork[] = [];
  const problems: string[] = [];
  for (const network of wanted) {
    const attached = attach(network, interfaces);
    if (typeof attached === "string") problems.push(attached);
    else found.push(attached);
  }
  const clashing = new Set<AttachedNetwork>();
  for (const [index, one] of found.entries()) {
    for (const other of found.slice(index + 1)) {
      if (one.interface !== other.interface && !overlap(one, other)) continue;
      clashing.add(one).add(other);
      problems.push(
        `networks ${one.name} and ${other.name} have addresses in common (${one.prefixes.join(", ")}; ` +
          `${other.prefixes.join(", ")}): multicast of neither is copied; give each network its own prefix`,
      );
    }
  }
  return { attached: found.filter((network) => !clashing.has(network)), problems };
}
