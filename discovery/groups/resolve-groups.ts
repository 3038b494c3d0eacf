import type { Pod, Service } from "#shared/api/core.ts";
import type { DiscoveryDomain, ServiceGroupSpec } from "#shared/api/discovery-domain.ts";
import { selects } from "#shared/api/meta.ts";
import { GROUP_WEIGHT_ANNOTATION, SERVICE_NETWORK_ANNOTATION, SERVICE_PROXY_LABEL } from "#shared/api/names.ts";
import type { Ip } from "#shared/net/ip.ts";
import { compareText } from "#shared/resolve/age.ts";
import { SLICES_THAT_COUNT } from "#shared/resolve/slice-interest.ts";
import { indexSlices, podStates, serviceNetwork, type TargetState } from "#shared/resolve/targets.ts";
import type { Interest, ObjectView } from "#shared/store/object-store.ts";
import { addressesOf, hasEnded } from "../pods/pod-addresses.ts";
import type { MemberShare, MemberState } from "./assignment.ts";

/** What {@link resolveGroups} reads besides Pods. */
export const GROUP_INTERESTS: readonly Interest[] = [{ kind: "Service" }, SLICES_THAT_COUNT];

export interface GroupMember extends MemberShare {
  readonly addresses: readonly Ip[];
}

/** The pods behind a Service, among whom the participants of other pods are shared. */
export interface ServiceGroup {
  /** Name of the Service, in the namespace of the DiscoveryDomain. */
  readonly service: string;
  /** Place in the object's list: of two groups, the members of the first are clients of the second. */
  readonly index: number;
  readonly meet: boolean;
  readonly isolated: boolean;
  /** By `namespace/name` of the pod. */
  readonly members: ReadonlyMap<string, GroupMember>;
}

export interface ResolvedGroups {
  readonly groups: readonly ServiceGroup[];
  /** For people: object, field, and what to do. */
  readonly problems: readonly string[];
}

const MEMBER_STATES = { ready: "Ready", terminating: "Draining", unready: "NotReady" } as const;
const MOST_WEIGHT = 1_000;
/** Pods of one group. */
const MOST_MEMBERS = 1_000;
/** Of one group: more of the same kind help nobody. */
const MOST_PROBLEMS = 3;

/** Whether the Service's targets are published: it must be a service-i. @returns what it lacks. */
function lacks(service: Service): string | undefined {
  const { annotations, labels } = service.metadata;
  if (labels[SERVICE_PROXY_LABEL] === undefined) return `the label ${SERVICE_PROXY_LABEL}: causeway`;
  const network = serviceNetwork(service);
  if (network === undefined) return `the annotation ${SERVICE_NETWORK_ANNOTATION}: [namespace/]network`;
  if (network === null) {
    const text = JSON.stringify((annotations[SERVICE_NETWORK_ANNOTATION] ?? "").slice(0, 64));
    return `an annotation ${SERVICE_NETWORK_ANNOTATION} of the form [namespace/]network[@interface] instead of ${text}`;
  }
  return Object.keys(service.spec.selector ?? {}).length === 0
    ? "spec.selector, by which its pods are found"
    : undefined;
}

/** A pod that is being deleted drains from then on: the slices follow a moment later. */
function memberState(pod: Pod, state: TargetState | undefined, service: Service): MemberState {
  const { deletionTimestamp } = pod.metadata;
  if (state === undefined) return "NotReady";
  if (state === "ready" && deletionTimestamp !== undefined && !service.spec.publishNotReadyAddresses) return "Draining";
  return MEMBER_STATES[state];
}

function weightOf({ metadata }: Pod): { readonly weight: number; readonly problem?: string } {
  const text = metadata.annotations[GROUP_WEIGHT_ANNOTATION];
  if (text === undefined) return { weight: 1 };
  const weight = /^[0-9]{1,4}$/.test(text) ? Number(text) : Number.NaN;
  if (weight <= MOST_WEIGHT) return { weight };
  const wrong = JSON.stringify(text.slice(0, 32));
  const problem =
    `annotation ${GROUP_WEIGHT_ANNOTATION} of Pod ${metadata.namespace}/${metadata.name} is ${wrong}, which is no whole ` +
    `number from 0 to ${MOST_WEIGHT}; it counts as 1`;
  return { weight: 1, problem };
}

class Resolver {
  readonly #object: DiscoveryDomain;
  readonly #view: ObjectView;
  readonly #pods: readonly Pod[];
  readonly #slices: ReturnType<typeof indexSlices>;
  /** The Service for which a pod is a member. */
  readonly #taken = new Map<string, string>();
  readonly #problems: string[] = [];

  constructor(object: DiscoveryDomain, view: ObjectView) {
    this.#object = object;
    this.#view = view;
    const { namespace } = object.metadata;
    this.#pods = view.list("Pod").filter(({ metadata }) => metadata.namespace === namespace);
    this.#slices = indexSlices(view.list("EndpointSlice").filter(({ metadata }) => metadata.namespace === namespace));
  }

  resolve(): ResolvedGroups {
    const groups = this.#object.spec.serviceGroups.flatMap((spec, index) => this.#group(spec, index) ?? []);
    return { groups, problems: this.#problems };
  }

  #group({ isolation, members: meeting, service: name }: ServiceGroupSpec, index: number): ServiceGroup | undefined {
    const { namespace } = this.#object.metadata;
    const where = `spec.serviceGroups[${index}].service`;
    const service = this.#view.get("Service", namespace, name);
    if (service === undefined) {
      this.#problems.push(`${where}: there is no Service ${namespace}/${name}; create it, or name another one`);
      return undefined;
    }
    const missing = lacks(service);
    if (missing !== undefined) {
      this.#problems.push(`${where}: Service ${namespace}/${name} is no service-i; it lacks ${missing}`);
      return undefined;
    }
    const members = this.#members(service, where);
    if (members.size === 0) {
      this.#problems.push(
        `${where}: Service ${namespace}/${name} selects no pod, so nobody is introduced to its group; compare ` +
          "spec.selector of the Service with the pods' labels",
      );
    }
    return { service: name, index, meet: meeting === "Meet", isolated: isolation === "Enforce", members };
  }

  #members(service: Service, where: string): ReadonlyMap<string, GroupMember> {
    const { namespace, name } = service.metadata;
    const selector = { matchLabels: service.spec.selector ?? {}, matchExpressions: [] };
    const states = podStates(this.#slices.of(service));
    const members = new Map<string, GroupMember>();
    const problems: string[] = [];
    for (const pod of [...this.#pods].sort((a, b) => compareText(a.metadata.name, b.metadata.name))) {
      if (hasEnded(pod) || !selects(selector, pod.metadata.labels)) continue;
      const key = `${namespace}/${pod.metadata.name}`;
      const other = this.#taken.get(key);
      if (other !== undefined) {
        problems.push(
          `${where}: Pod ${key} is a member of the group of Service ${namespace}/${other} already and stays there; let one ` +
            "Service select it",
        );
        continue;
      }
      if (members.size === MOST_MEMBERS) {
        problems.push(
          `${where}: Service ${namespace}/${name} selects more than ${MOST_MEMBERS} pods; the rest is left out`,
        );
        break;
      }
      this.#taken.set(key, name);
      const { weight, problem } = weightOf(pod);
      if (problem !== undefined) problems.push(`${where}: ${problem}`);
      const addresses = [...new Set(addressesOf(pod).map(({ address }) => address))];
      members.set(key, { pod: key, state: memberState(pod, states.get(key), service), weight, addresses });
    }
    this.#problems.push(...problems.slice(0, MOST_PROBLEMS));
    return members;
  }
}

/**
 * The service groups of an object: members by the Service's selector, so that a pod is one before anything runs in it, and
 * their states by its EndpointSlices. Pure. A group that makes no sense is left out and told of; the others are not disturbed.
 */
export function resolveGroups(object: DiscoveryDomain, view: ObjectView): ResolvedGroups {
  if (object.spec.serviceGroups.length === 0) return { groups: [], problems: [] };
  return new Resolver(object, view).resolve();
}
