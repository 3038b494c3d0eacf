import type { Endpoint, EndpointSlice, Pod, Service } from "#shared/api/core.ts";
import { SERVICE_NETWORK_ANNOTATION, SERVICE_PROXY_LABEL, SERVICE_PROXY_VALUE } from "#shared/api/names.ts";
import { FAMILIES, type Family } from "#shared/net/ip.ts";
import { compareText } from "#shared/resolve/age.ts";
import { type NetworkRef, parseNetworkRef, secondaryAddresses } from "#shared/resolve/secondary-address.ts";
import { targetPort } from "#shared/resolve/target-port.ts";

const ZONE_LABEL = "topology.kubernetes.io/zone";

type TargetPorts = EndpointSlice["ports"];

/** Targets of one family that are reached on the same ports: they may stand in one EndpointSlice. */
export interface TargetGroup {
  readonly family: Family;
  readonly ports: TargetPorts;
  /** In order of the pods' names. */
  readonly endpoints: readonly Endpoint[];
}

export interface ServiceTargets {
  readonly groups: readonly TargetGroup[];
  /** What keeps pods from being targets, each naming the pod and the field. */
  readonly problems: readonly string[];
  /** After how many milliseconds the first of the terminating targets ends to be one; undefined without any. */
  readonly againMs: number | undefined;
}

/** A kubelet begins to count when it sees the deletion, and lets a preStop hook overrun by 2 s; clocks differ, too. */
const GRACE_SLACK_MS = 10_000;

/** Values of the label that mark Services as ours. */
export type ProxyNames = ReadonlySet<string>;
export const OWN_PROXY_NAMES: ProxyNames = new Set([SERVICE_PROXY_VALUE]);

/** Whether the Service is a service-i: its targets are ours to publish. */
export function isServiceI(service: Service, names: ProxyNames): boolean {
  return (
    names.has(service.metadata.labels[SERVICE_PROXY_LABEL] ?? "") &&
    service.metadata.annotations[SERVICE_NETWORK_ANNOTATION] !== undefined &&
    Object.keys(service.spec.selector ?? {}).length > 0
  );
}

/** The network that a service-i's annotation names; undefined when the annotation does not parse. */
export function networkOf(service: Service): NetworkRef | undefined {
  return parseNetworkRef(service.metadata.annotations[SERVICE_NETWORK_ANNOTATION] ?? "", service.metadata.namespace);
}

/** Pods that have ended never come back: they are no targets, and nothing is wrong with that. */
function hasEnded({ status }: Pod): boolean {
  return status?.phase === "Succeeded" || status?.phase === "Failed";
}

/**
 * For how long a terminating pod may still have flows: `deletionTimestamp` is the time at which its grace period ends. One
 * whose object stays beyond that (a node that is gone, a finalizer) serves nobody any more. Undefined when it is not
 * terminating; 0 or less when it is over.
 */
function graceLeftMs({ metadata }: Pod, nowMs: number): number | undefined {
  if (metadata.deletionTimestamp === undefined) return undefined;
  return Date.parse(metadata.deletionTimestamp) + GRACE_SLACK_MS - nowMs;
}

/** As the EndpointSlice API defines them; a terminating pod may still serve. */
function conditionsOf(pod: Pod, service: Service): Endpoint["conditions"] {
  const serving = (pod.status?.conditions ?? []).some(({ type, status }) => type === "Ready" && status === "True");
  const terminating = pod.metadata.deletionTimestamp !== undefined;
  return { ready: service.spec.publishNotReadyAddresses || (serving && !terminating), serving, terminating };
}

/** `hostname` is published only under the Service that the pod names as its subdomain. */
function hostnameOf(pod: Pod, service: Service): { hostname?: string } {
  const { hostname, subdomain } = pod.spec;
  return typeof hostname === "string" && subdomain === service.metadata.name ? { hostname } : {};
}

function endpointOf(pod: Pod, service: Service, address: Endpoint["addresses"][number]): Endpoint {
  const { namespace, name, uid, labels } = pod.metadata;
  const zone = labels[ZONE_LABEL];
  return {
    addresses: [address],
    conditions: conditionsOf(pod, service),
    ...hostnameOf(pod, service),
    ...(pod.spec.nodeName === undefined ? {} : { nodeName: pod.spec.nodeName }),
    ...(zone === undefined ? {} : { zone }),
    targetRef: { kind: "Pod", namespace, name, uid },
  };
}

/**
 * The targets of a service-i among the pods that its selector selects. A pod that cannot be a target is reported and
 * left out; the others are unaffected.
 * @param nowMs ends the grace periods of terminating pods.
 */
export function serviceTargets(
  service: Service,
  network: NetworkRef,
  pods: readonly Pod[],
  nowMs: number,
): ServiceTargets {
  const groups = new Map<string, { family: Family; ports: TargetPorts; endpoints: Endpoint[] }>();
  const problems: string[] = [];
  let againMs: number | undefined;
  for (const pod of [...pods].sort((a, b) => compareText(a.metadata.name, b.metadata.name))) {
    const leftMs = graceLeftMs(pod, nowMs);
    if (hasEnded(pod) || (leftMs !== undefined && leftMs <= 0)) continue;
    if (leftMs !== undefined) againMs = Math.min(leftMs, againMs ?? leftMs);
    const where = `Pod ${pod.metadata.namespace}/${pod.metadata.name}`;
    const found = secondaryAddresses(pod, network);
    if ("problem" in found) {
      // A pod that is being created has no addresses yet.
      if (pod.status?.phase !== "Pending") problems.push(`${where}: ${found.problem}`);
      continue;
    }
    const ports: TargetPorts = [];
    for (const wanted of service.spec.ports) {
      const port = targetPort(pod, wanted);
      if (port !== undefined) ports.push({ name: wanted.name ?? "", protocol: wanted.protocol, port });
      else problems.push(`${where}: no container has a ${wanted.protocol} port named ${wanted.targetPort}`);
    }
    for (const family of FAMILIES) {
      const address = found.addresses[family];
      if (address === undefined) continue;
      const key = JSON.stringify([family, ports]);
      const group = groups.get(key) ?? { family, ports, endpoints: [] };
      groups.set(key, group);
      group.endpoints.push(endpointOf(pod, service, address));
    }
  }
  return { groups: [...groups].sort(([a], [b]) => compareText(a, b)).map(([, group]) => group), problems, againMs };
}
