import type { Endpoint, EndpointSlice, Service } from "../api/core.ts";
import {
  BUILT_IN_SLICES,
  SERVICE_NETWORK_ANNOTATION,
  SLICE_MANAGED_BY_LABEL,
  SLICE_MANAGED_BY_VALUE,
  SLICE_SERVICE_LABEL,
} from "../api/names.ts";
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

/**
 * What a target may be given: `ready` new flows; `terminating` only those that it has, and new ones when nobody is ready
 * (KEP-1669); `unready` only those that it has.
 */
export type TargetState = (typeof STATES)[number];
const STATES = ["ready", "terminating", "unready"] as const;

/** An endpoint of a Service in one family. */
export interface Target {
  /** `namespace/name` of the pod, or the address where no pod is named: what a flow's slot is tied to. */
  readonly identity: string;
  readonly address: Ip;
  /** The number of the asked port at this target. */
  readonly port: number | undefined;
  readonly state: TargetState;
}

function identityOf(endpoint: Endpoint, slice: EndpointSlice, address: string): string {
  const ref = endpoint.targetRef;
  return ref?.kind === "Pod" ? `${ref.namespace ?? slice.metadata.namespace}/${ref.name}` : address;
}

/**
 * Whether a Service has no service network: it is reached on the primary one, as any Service is. An annotation that does
 * not parse was meant to name one.
 */
export function isOrdinary(service: Service): boolean {
  return serviceNetwork(service) === undefined;
}

/** Slices by Service, so that each finds its own without a search. */
export interface SliceIndex {
  of(service: Service): readonly EndpointSlice[];
}

/**
 * Slices that hold a Service's targets. Kubernetes' own controller publishes primary addresses for every Service with a
 * selector: they count for ordinary Services only. Ours count for service-is only: they outlive the annotation by a moment.
 */
export function indexSlices(slices: readonly EndpointSlice[]): SliceIndex {
  const index = new Map<string, EndpointSlice[]>();
  for (const slice of slices) {
    const name = slice.metadata.labels[SLICE_SERVICE_LABEL];
    if (name === undefined) continue;
    const key = `${slice.metadata.namespace}/${name}`;
    const list = index.get(key);
    if (list) list.push(slice);
    else index.set(key, [slice]);
  }
  return {
    of: (service) => {
      const foreign = isOrdinary(service) ? SLICE_MANAGED_BY_VALUE : BUILT_IN_SLICES;
      const all = index.get(`${service.metadata.namespace}/${service.metadata.name}`) ?? [];
      return all.filter(({ metadata }) => metadata.labels[SLICE_MANAGED_BY_LABEL] !== foreign);
    },
  };
}

/** Absent conditions mean ready, serving and not terminating (EndpointConditions of discovery.k8s.io/v1). */
export function stateOf({ conditions }: Endpoint): TargetState {
  if (conditions.ready ?? true) return "ready";
  const serving = conditions.serving ?? conditions.ready ?? true;
  return serving && conditions.terminating === true ? "terminating" : "unready";
}

/** The pods of a Service's slices with the best of their states, by `namespace/name`, whatever the ports. */
export function podStates(slices: readonly EndpointSlice[]): ReadonlyMap<string, TargetState> {
  const found = new Map<string, TargetState>();
  for (const slice of slices) {
    for (const endpoint of slice.endpoints) {
      if (endpoint.targetRef?.kind !== "Pod") continue;
      const pod = identityOf(endpoint, slice, "");
      const state = stateOf(endpoint);
      const known = found.get(pod);
      if (known === undefined || STATES.indexOf(state) < STATES.indexOf(known)) found.set(pod, state);
    }
  }
  return found;
}

/**
 * Targets of one family, one per identity, in order of identity. Several addresses of one pod in one family count once:
 * the lowest.
 * @param port name (possibly "") and protocol of the Service's port.
 */
export function targetsOf(
  slices: readonly EndpointSlice[],
  family: Family,
  port: { readonly name: string; readonly protocol: Protocol },
): readonly Target[] {
  const found = new Map<string, Target>();
  // A pod's endpoint that moves from slice to slice may be in two. A named port may differ from pod to pod: such a pod is
  // in the slice that has its port. Then the lower address.
  const rank = ({ state, port, address }: Target): string =>
    [STATES.indexOf(state), port === undefined ? 1 : 0, address].join();
  for (const slice of slices) {
    if (slice.addressType !== `IPv${family}`) continue;
    const slicePort = slice.ports.find((p) => (p.name ?? "") === port.name && p.protocol === port.protocol);
    for (const endpoint of slice.endpoints) {
      const address = endpoint.addresses[0];
      if (address === undefined) continue;
      const identity = identityOf(endpoint, slice, address);
      const target = { identity, address, port: slicePort?.port ?? undefined, state: stateOf(endpoint) };
      const known = found.get(identity);
      const better = known === undefined || rank(target) < rank(known);
      if (better) found.set(identity, target);
    }
  }
  return [...found.values()].sort((a, b) => (a.identity < b.identity ? -1 : 1));
}
