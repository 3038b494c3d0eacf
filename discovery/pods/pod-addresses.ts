import type { Pod } from "#shared/api/core.ts";
import { type Ip, parseIp } from "#shared/net/ip.ts";
import { podAttachments } from "#shared/resolve/pod-attachments.ts";
import type { PodOwners } from "../relay/participant-table.ts";

/** One address of a pod. The network is undefined for the cluster's own. */
interface OwnAddress {
  readonly address: Ip;
  readonly network: string | undefined;
}

interface KnownPod {
  readonly uid: string;
  readonly addresses: readonly OwnAddress[];
}

/** Whether everything in the pod has ended, although the object may still be there. */
export function hasEnded({ status }: Pod): boolean {
  return status?.phase === "Succeeded" || status?.phase === "Failed";
}

export function addressesOf(pod: Pod): readonly OwnAddress[] {
  const secondary = podAttachments(pod).flatMap(({ addresses, network }) =>
    addresses.map((address) => ({ address, network })),
  );
  const primary = (pod.status?.podIPs ?? []).flatMap(({ ip }): OwnAddress[] => {
    const address = parseIp(ip);
    return address === undefined ? [] : [{ address, network: undefined }];
  });
  return [...secondary, ...primary];
}

/** Which pod has which addresses, as Multus and the kubelet wrote them on the pods. */
export class PodAddresses implements PodOwners {
  readonly #pods = new Map<string, KnownPod>();
  /** Pods by address, with the network that the address is on. */
  readonly #byAddress = new Map<Ip, Map<string, string | undefined>>();

  /**
   * A pod as it is now; undefined: it is not there.
   * @param key `namespace/name`
   * @returns whether the pod that had this name before has ended.
   */
  see(key: string, pod: Pod | undefined): boolean {
    const before = this.#pods.get(key);
    if (before !== undefined) this.#forget(key, before);
    if (pod === undefined || hasEnded(pod)) return before !== undefined;
    const known = { uid: pod.metadata.uid, addresses: addressesOf(pod) };
    this.#pods.set(key, known);
    for (const { address, network } of known.addresses) {
      const owners = this.#byAddress.get(address) ?? new Map<string, string | undefined>();
      // The address on a secondary network says more than the same one as the pod's own.
      this.#byAddress.set(address, owners.set(key, owners.get(key) ?? network));
    }
    return before !== undefined && before.uid !== known.uid;
  }

  ownerOf(address: Ip, network: string | undefined): string | undefined {
    const owners = this.#byAddress.get(address);
    if (owners === undefined) return undefined;
    const [first, second] = owners.keys();
    if (second === undefined) return first;
    // One address on several networks: the one on the network that it was heard on.
    const here = [...owners].filter(([, on]) => on !== undefined && on === network);
    return here.length === 1 ? here[0]?.[0] : undefined;
  }

  #forget(key: string, { addresses }: KnownPod): void {
    this.#pods.delete(key);
    for (const { address } of addresses) {
      const owners = this.#byAddress.get(address);
      owners?.delete(key);
      if (owners?.size === 0) this.#byAddress.delete(address);
    }
  }
}
