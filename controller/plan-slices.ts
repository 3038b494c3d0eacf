import { createHash } from "node:crypto";
import { isDeepStrictEqual } from "node:util";
import type { Endpoint, EndpointSlice, Pod, Service } from "#shared/api/core.ts";
import {
  SERVICE_NETWORK_ANNOTATION,
  SERVICE_PROXY_LABEL,
  SERVICE_PROXY_VALUE,
  SLICE_MANAGED_BY_LABEL,
  SLICE_MANAGED_BY_VALUE,
  SLICE_SERVICE_LABEL,
} from "#shared/api/names.ts";
import { compareText } from "#shared/resolve/age.ts";
import {
  isServiceI,
  networkOf,
  OWN_PROXY_NAMES,
  type ProxyNames,
  serviceTargets,
  type TargetGroup,
} from "./service-targets.ts";

/** Kubernetes' convention; a slice that changes is sent to every watcher as a whole. */
const MAX_ENDPOINTS = 100;

export interface SlicePlan {
  readonly apply: readonly EndpointSlice[];
  /** Names, in the Service's namespace. */
  readonly delete: readonly string[];
  /** Targets that the slices hold when the plan is carried out. */
  readonly targets: number;
  readonly problems: readonly string[];
  /** After how many milliseconds a plan may come out differently from the same objects. */
  readonly againMs: number | undefined;
}

/** Who an endpoint is, whatever its address and state. */
function identity({ targetRef }: Endpoint): string {
  return targetRef === undefined ? "" : `${targetRef.namespace}/${targetRef.name}/${targetRef.uid}`;
}

function groupKey(addressType: string, ports: EndpointSlice["ports"]): string {
  return JSON.stringify([addressType, ports.map(({ name, protocol, port }) => [name ?? "", protocol, port])]);
}

/** A slice while the endpoints are dealt out. */
interface Draft {
  readonly name: string;
  readonly existing: EndpointSlice | undefined;
  readonly endpoints: Endpoint[];
}

/** The same Service, family and ports give the same names on every controller. */
function sliceName(service: Service, key: string, index: number): string {
  const { namespace, name } = service.metadata;
  const hash = createHash("sha256").update(`${namespace}/${name}\n${key}`).digest("hex").slice(0, 10);
  return `${name.slice(0, 230).replace(/[^a-z0-9]+$/, "")}-${hash}-${index}`;
}

/** Endpoints stay where they are; the gone are taken out, the new go where a write is due anyway or where it is fullest. */
function deal(service: Service, key: string, group: TargetGroup, existing: readonly EndpointSlice[]): readonly Draft[] {
  const wanted = new Map(group.endpoints.map((endpoint) => [identity(endpoint), endpoint]));
  const drafts = existing.map((slice): Draft => {
    const endpoints: Endpoint[] = [];
    for (const before of slice.endpoints) {
      const now = wanted.get(identity(before));
      if (now === undefined || endpoints.length === MAX_ENDPOINTS) continue;
      // Taken out of the map: a second copy elsewhere is dropped.
      wanted.delete(identity(before));
      endpoints.push(now);
    }
    return { name: slice.metadata.name, existing: slice, endpoints };
  });
  const newcomers = [...wanted.values()];
  const isChanged = ({ existing: slice, endpoints }: Draft): boolean => !isDeepStrictEqual(slice?.endpoints, endpoints);
  const withRoom = drafts
    .filter(({ endpoints }) => endpoints.length > 0 && endpoints.length < MAX_ENDPOINTS)
    .map((draft) => ({ draft, changed: isChanged(draft) }))
    .sort(
      (a, b) =>
        Number(b.changed) - Number(a.changed) ||
        b.draft.endpoints.length - a.draft.endpoints.length ||
        compareText(a.draft.name, b.draft.name),
    );
  for (const { draft } of withRoom) {
    draft.endpoints.push(...newcomers.splice(0, MAX_ENDPOINTS - draft.endpoints.length));
  }
  // A slice that lost all its endpoints is filled again before a new one is made.
  for (const draft of drafts) {
    if (draft.endpoints.length === 0) draft.endpoints.push(...newcomers.splice(0, MAX_ENDPOINTS));
  }
  const taken = new Set(drafts.map(({ name }) => name));
  const added: Draft[] = [];
  for (let index = 0; newcomers.length > 0; index += 1) {
    const name = sliceName(service, key, index);
    if (!taken.has(name)) added.push({ name, existing: undefined, endpoints: newcomers.splice(0, MAX_ENDPOINTS) });
  }
  return [...drafts, ...added];
}

function sliceOf(service: Service, group: TargetGroup, { name, existing, endpoints }: Draft): EndpointSlice {
  const { namespace, name: serviceName, uid } = service.metadata;
  return {
    apiVersion: "discovery.k8s.io/v1",
    kind: "EndpointSlice",
    metadata: {
      name,
      namespace,
      labels: {
        [SLICE_SERVICE_LABEL]: serviceName,
        [SLICE_MANAGED_BY_LABEL]: SLICE_MANAGED_BY_VALUE,
        // Keeps the cluster's own service proxy away, as it does on the Service.
        [SERVICE_PROXY_LABEL]: service.metadata.labels[SERVICE_PROXY_LABEL] ?? SERVICE_PROXY_VALUE,
      },
      annotations: {},
      uid: existing?.metadata.uid ?? "",
      resourceVersion: existing?.metadata.resourceVersion ?? "",
      generation: existing?.metadata.generation ?? 1,
      ownerReferences: [
        { apiVersion: "v1", kind: "Service", name: serviceName, uid, controller: true, blockOwnerDeletion: true },
      ],
    },
    addressType: group.family === 4 ? "IPv4" : "IPv6",
    endpoints: [...endpoints],
    ports: group.ports,
  };
}

function isSame(next: EndpointSlice, existing: EndpointSlice | undefined): boolean {
  const stated = ({ metadata, addressType, endpoints, ports }: EndpointSlice): unknown => ({
    labels: metadata.labels,
    ownerReferences: metadata.ownerReferences,
    addressType,
    endpoints,
    ports,
  });
  return existing !== undefined && isDeepStrictEqual(stated(next), stated(existing));
}

function planGroup(
  service: Service,
  group: TargetGroup,
  existing: readonly EndpointSlice[],
): Omit<SlicePlan, "problems" | "againMs"> {
  const key = groupKey(group.family === 4 ? "IPv4" : "IPv6", group.ports);
  const drafts = deal(service, key, group, existing);
  return {
    apply: drafts.flatMap((draft) => {
      const slice = sliceOf(service, group, draft);
      return draft.endpoints.length === 0 || isSame(slice, draft.existing) ? [] : [slice];
    }),
    delete: drafts.filter(({ endpoints }) => endpoints.length === 0).map(({ name }) => name),
    targets: drafts.reduce((sum, { endpoints }) => sum + endpoints.length, 0),
  };
}

/**
 * The writes that make a service-i's EndpointSlices hold its targets.
 * @param service undefined when it is gone; one that is no service-i has no slices either.
 * @param pods Those that the Service's selector selects, from its namespace.
 * @param existing The Service's slices that are ours.
 * @param nowMs Ends the grace periods of terminating pods.
 * @param names Labels of Services that are ours.
 */
export function planSlices(
  service: Service | undefined,
  pods: readonly Pod[],
  existing: readonly EndpointSlice[],
  nowMs: number,
  names: ProxyNames = OWN_PROXY_NAMES,
): SlicePlan {
  if (service === undefined || !isServiceI(service, names)) {
    const all = existing.map(({ metadata }) => metadata.name);
    return { apply: [], delete: all, targets: 0, problems: [], againMs: undefined };
  }
  const network = networkOf(service);
  if (network === undefined) {
    const text = service.metadata.annotations[SERVICE_NETWORK_ANNOTATION] ?? "";
    const problem =
      `annotation ${SERVICE_NETWORK_ANNOTATION} is ${JSON.stringify(text.slice(0, 128))}; it must be ` +
      "[namespace/]network[@interface]; its EndpointSlices stay as they are until it is";
    const targets = existing.reduce((sum, { endpoints }) => sum + endpoints.length, 0);
    return { apply: [], delete: [], targets, problems: [problem], againMs: undefined };
  }
  const { groups, problems, againMs } = serviceTargets(service, network, pods, nowMs);
  const byKey = new Map<string, EndpointSlice[]>();
  for (const slice of existing) {
    const key = groupKey(slice.addressType, slice.ports);
    byKey.set(key, [...(byKey.get(key) ?? []), slice]);
  }
  const plans = groups.map((group) => {
    const key = groupKey(group.family === 4 ? "IPv4" : "IPv6", group.ports);
    const mine = byKey.get(key) ?? [];
    byKey.delete(key);
    return planGroup(service, group, mine);
  });
  // Families and ports that no target has any more.
  const stale = [...byKey.values()].flat().map(({ metadata }) => metadata.name);
  return {
    apply: plans.flatMap((plan) => plan.apply),
    delete: [...plans.flatMap((plan) => plan.delete), ...stale].sort(compareText),
    targets: plans.reduce((sum, plan) => sum + plan.targets, 0),
    problems,
    againMs,
  };
}
