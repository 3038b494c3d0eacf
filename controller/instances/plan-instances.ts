import type { GatewayParameters } from "#shared/api/gateway-parameters.ts";
import { type AnyObject, describeRef, type ObjectRef, WORKLOAD_KINDS } from "#shared/api/kinds.ts";
import type { Condition } from "#shared/api/meta.ts";
import { CONTENT_ANNOTATION, CONTROLLER_NAME } from "#shared/api/names.ts";
import { FAMILIES, familyOf } from "#shared/net/ip.ts";
import type { GatewayAttachment } from "#shared/resolve/attachment-types.ts";
import { condition } from "#shared/resolve/conditions.ts";
import { refOf } from "#shared/store/object-index.ts";
import type { ObjectView } from "#shared/store/object-store.ts";
import { quote } from "#shared/store/problem.ts";
import { covers } from "../covers.ts";
import { type GatewayAddresses, gatewayKey } from "../plan-addresses.ts";
import {
  CLUSTER_BINDING,
  gatewayAccount,
  gatewayBinding,
  gatewayBudget,
  gatewayDeployment,
  instancesBinding,
  instancesName,
  MAX_LABEL,
} from "./instance-objects.ts";
import { type InstanceImage, PRIMARY_INTERFACE } from "./pod-template.ts";
import { quantityValue, sameQuantity } from "./quantity.ts";

/** Our own condition on a Gateway: its instances' Deployment is as it shall be, or why it is not. */
export const DEPLOYED_CONDITION = "causeway.dev/InstancesDeployed";

type Workload = Extract<AnyObject, { kind: (typeof WORKLOAD_KINDS)[number] }>;

export interface InstancePlan {
  readonly apply: readonly Workload[];
  readonly delete: readonly ObjectRef[];
  /** By {@link gatewayKey}; Gateways that are not accepted have none: what runs for them goes on. */
  readonly conditions: ReadonlyMap<string, Condition>;
}

/** What the API server holds says all that is wanted, and was made of the same. */
function isSame(seen: AnyObject | undefined, wanted: Workload): boolean {
  if (seen === undefined) return false;
  const { labels, annotations, ownerReferences } = wanted.metadata;
  const stated = { ...wanted, metadata: { labels, annotations, ...(ownerReferences && { ownerReferences }) } };
  return (
    seen.metadata.annotations[CONTENT_ANNOTATION] === annotations[CONTENT_ANNOTATION] &&
    covers(seen, stated, sameQuantity)
  );
}

/** What the API server would not take for resources. */
function badAmount({ metadata, spec }: GatewayParameters): string | undefined {
  const where = `of GatewayParameters ${metadata.namespace}/${metadata.name}`;
  for (const [kind, amounts] of Object.entries(spec.resources ?? {})) {
    if (kind !== "requests" && kind !== "limits") {
      return `resources.${kind.slice(0, 64)} ${where} is not known; write requests and limits`;
    }
    for (const [name, amount] of Object.entries(amounts)) {
      const value = quantityValue(String(amount));
      if (value !== undefined && value >= 0) continue;
      const field = `resources.${kind}.${name.slice(0, 64)}`;
      return `${field} ${where} is ${quote(amount)}; write a quantity such as 500m or 1Gi`;
    }
  }
  return undefined;
}

/** Why no instance can be made, with the field; undefined when there is no reason. */
function obstacle({ gateway, parameters }: GatewayAttachment): { reason: string; message: string } | undefined {
  const { name } = gateway.metadata;
  if (name.length > MAX_LABEL) {
    const message = `metadata.name has ${name.length} characters; the label by which instances are found holds ${MAX_LABEL}`;
    return { reason: "NameTooLong", message };
  }
  const amount = parameters && badAmount(parameters);
  if (amount !== undefined) return { reason: "InvalidResources", message: amount };
  const missing = (parameters?.spec.externalNetworks ?? []).findIndex(
    (entry) => entry.network === undefined && entry.interface !== PRIMARY_INTERFACE,
  );
  const device = parameters?.spec.externalNetworks[missing]?.interface;
  if (parameters === undefined || device === undefined) return undefined;
  const { namespace, name: theirs } = parameters.metadata;
  const message =
    `externalNetworks[${missing}].network of GatewayParameters ${namespace}/${theirs} is missing: name the ` +
    `NetworkAttachmentDefinition by which Multus makes ${device}`;
  return { reason: "NetworkMissing", message };
}

/** What the Deployment itself complains of: a quota, or a namespace that admits no such pods. */
function failureOf(view: ObjectView, { gateway }: GatewayAttachment): string | undefined {
  const seen = view.get("Deployment", gateway.metadata.namespace, instancesName(gateway));
  const failure = (seen?.status?.conditions ?? []).find(
    ({ type, status }) => type === "ReplicaFailure" && status === "True",
  );
  return failure && `Deployment ${instancesName(gateway)}: ${failure.message || failure.reason}`;
}

/** What was made for a Gateway that now wants another, or none: it has another class or another name of it. */
function stale(view: ObjectView, isWanted: (ref: ObjectRef) => boolean): readonly ObjectRef[] {
  const owners = new Map(view.list("Gateway").map((gateway) => [gateway.metadata.uid, gateway]));
  return WORKLOAD_KINDS.flatMap((kind) => [...view.list(kind)]).flatMap((object) => {
    const ref = refOf(object);
    // One whose Gateway is gone goes with it; one whose Gateway or class cannot be read stays.
    const owner = (object.metadata.ownerReferences ?? []).map(({ uid }) => owners.get(uid)).find((found) => found);
    if (owner === undefined || isWanted(ref)) return [];
    const gatewayClass = view.get("GatewayClass", "", owner.spec.gatewayClassName);
    if (gatewayClass === undefined) return [];
    const isOurs = gatewayClass.spec.controllerName === CONTROLLER_NAME;
    return isOurs && ref.name === instancesName(owner) ? [] : [ref];
  });
}

/**
 * The writes by which every accepted Gateway has its instances. A Gateway that is not accepted keeps those that it has,
 * as they are.
 */
export function planInstances(
  view: ObjectView,
  gateways: readonly GatewayAttachment[],
  addresses: ReadonlyMap<string, GatewayAddresses>,
  options: InstanceImage,
): InstancePlan {
  const wanted: Workload[] = [];
  const conditions = new Map<string, Condition>();
  for (const attachment of gateways) {
    const { gateway, parameters, accepted } = attachment;
    const { generation, deletionTimestamp } = gateway.metadata;
    if (parameters === undefined || accepted.status !== "True" || deletionTimestamp !== undefined) continue;
    const key = gatewayKey(gateway);
    const not = (reason: string, message: string): unknown =>
      conditions.set(key, condition(DEPLOYED_CONDITION, "False", reason, message, generation));
    const problem = obstacle(attachment);
    if (problem !== undefined) {
      not(problem.reason, problem.message);
      continue;
    }
    const vips = addresses.get(key)?.addresses ?? [];
    const families = FAMILIES.filter((family) => vips.some((vip) => familyOf(vip) === family));
    const deployment = gatewayDeployment(gateway, parameters, { ...options, families });
    // Whom the instances are comes before them.
    wanted.push(gatewayAccount(gateway), gatewayBinding(gateway), gatewayBudget(gateway), deployment);
    const failure = failureOf(view, attachment);
    const message = `Deployment ${deployment.metadata.name} holds ${parameters.spec.replicas} instances.`;
    if (failure !== undefined) not("ReplicaFailure", failure);
    else conditions.set(key, condition(DEPLOYED_CONDITION, "True", "Deployed", message, generation));
  }
  const names = new Set(wanted.map((object) => describeRef(refOf(object))));
  const isWanted = (ref: ObjectRef): boolean => names.has(describeRef(ref));
  const leaving = stale(view, isWanted);
  const left = new Set(leaving.map(describeRef));
  const accounts = [...view.list("ServiceAccount"), ...wanted.filter((object) => object.kind === "ServiceAccount")]
    .filter((account) => !left.has(describeRef(refOf(account))))
    .map(({ metadata }) => metadata);
  const distinct = [...new Map(accounts.map((account) => [`${account.namespace}/${account.name}`, account])).values()];
  // Without a Gateway it stays as it was: empty bindings are made for nobody.
  if (distinct.length > 0 || view.get("ClusterRoleBinding", "", CLUSTER_BINDING) !== undefined) {
    wanted.unshift(instancesBinding(distinct));
  }
  return {
    apply: wanted.filter((object) => {
      const { kind, namespace, name } = refOf(object);
      return !isSame(view.get(kind, namespace, name), object);
    }),
    delete: leaving,
    conditions,
  };
}
