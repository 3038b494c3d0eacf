import type { Endpoint, EndpointSlice, Service } from "../api/core.ts";
import { SERVICE_NETWORK_ANNOTATION, SLICE_MANAGED_BY_LABEL, SLICE_SERVICE_LABEL } from "../api/names.ts";
import type { Protocol } from "../api/routes.ts";
import type { Family, Ip } from "../net/ip.ts";
import { parseNetworkRef } from "./secondary-address.ts";

/** A Service's annotation `[namespace/]network[@interface]`, read. */
export interface ServiceNetworkRef {
  /** `namespace/name` of the NetworkAttachmentDefinition. */
  readonly network: string;
  /** The pod's interface, where a pod is attached to the network more than once. */
  readonly interface: string | undefined;
}

/** The service network of a service-i; undefined when the annotation is absent, null when it does not parse. */
export function serviceNetwork(service: Service): ServiceNetworkRef | undefined | null {
  const text = service.metadata.annotations[SERVICE_NETWORK_ANNOTATION];
  if (text === undefined) return undefined;
  const ref = parseNetworkRef(text, service.metadata.namespace);
  return ref === undefined ? null : { network: `${ref.namespace}/${ref.name}`, interface: ref.interface };
}

/** A ready endpoint of a Service in one family. */
export interface ReadyTarget {
  /** `namespace/name` of the pod, or the address where no pod is named: what a flow's slot is tied to. */
  readonly identity: string;
  readonly address: Ip;
  /** The number of the asked port at this target. */
  readonly port: number | undefined;
}

/** The slices of the built-in controller hold primary addresses, also for annotated Services: they do not count. */
const BUILT_IN = "endpointslice-controller.k8s.io";

function identityOf(endpoint: Endpoint, slice: EndpointSlice, address: Ip): string {
  const ref = endpoint.targetRef;
  return ref?.kind === "Pod" ? `${ref.namespace ?? slice.metadata.namespace}/${ref.name}` : address;
}

/** Slices by `namespace/service`, so that each Service finds its own without a search. */
export function indexSlices(slices: readonly EndpointSlice[]): ReadonlyMap<string, readonly EndpointSlice[]> {
  const index = new Map<string, EndpointSlice[]>();
  for (const slice of slices) {
    const name = slice.metadata.labels[SLICE_SERVICE_LABEL];
    if (name === undefined || slice.metadata.labels[SLICE_MANAGED_BY_LABEL] === BUILT_IN) continue;
    const key = `${slice.metadata.namespace}/${name}`;
    const list = index.get(key);
    if (list) list.push(slice);
    else index.set(key, [slice]);
  }
  return index;
}

/**
 * Ready targets of one family, one per identity, in order of identity. Several addresses of one pod in one family
 * count once: the lowest.
 * @param port name (possibly "") and protocol of the Service's port.
 */
export function readyTargets(
  slices: readonly EndpointSlice[],
  family: Family,
  port: { readonly name: string; readonly protocol: Protocol },
): readonly ReadyTarget[] {
  const found = new Map<string, ReadyTarget>();
  for (const slice of slices) {
    if (slice.addressType !== `IPv${family}`) continue;
    const slicePort = slice.ports.find((p) => (p.name ?? "") === port.name && p.protocol === port.protocol);
    for (const endpoint of slice.endpoints) {
      const address = endpoint.addresses[0];
      if (address === undefined || endpoint.conditions.ready === false) continue;
      const identity = identityOf(endpoint, slice, address);
      const known = found.get(identity);
      const port = slicePort?.port ?? undefined;
      // A named port may differ from pod to pod: such a pod is in the slice that has its port. Then the lower address.
      const rank = [port === undefined ? 1 : 0, address].join();
      const better = known === undefined || rank < [known.port === undefined ? 1 : 0, known.address].join();
      if (better) found.set(identity, { identity, address, port });
    }
  }
  return [...found.values()].sort((a, b) => (a.identity < b.identity ? -1 : 1));
}
