import { createHash } from "node:crypto";
import type { Gateway } from "#shared/api/gateway.ts";
import type { GatewayParameters } from "#shared/api/gateway-parameters.ts";
import {
  API_GROUP,
  CONTENT_ANNOTATION,
  GATEWAY_CLASS_LABEL,
  GATEWAY_NAME_LABEL,
  MANAGED_BY_LABEL,
  MANAGED_BY_VALUE,
} from "#shared/api/names.ts";
import type {
  ClusterRoleBinding,
  Deployment,
  DisruptionBudget,
  RoleBinding,
  ServiceAccount,
} from "#shared/api/workloads.ts";
import type { Family } from "#shared/net/ip.ts";
import { type InstanceImage, podTemplate } from "./pod-template.ts";

/** ClusterRoles of the installation: what an instance may in its own namespace, and what it may read everywhere. */
const NAMESPACE_ROLE = "causeway-gateway";
const CLUSTER_ROLE = "causeway-gateway-cluster";
const RBAC_GROUP = "rbac.authorization.k8s.io";
/** All instances of the cluster are subjects of this one. */
export const CLUSTER_BINDING = "causeway-gateways";

/** A label's value. */
export const MAX_LABEL = 63;

/** Room for what a Deployment adds to the names of its pods. */
const MAX_NAME = 52;

export interface DeploymentOptions extends InstanceImage {
  /** Families of the Gateway's VIPs. */
  readonly families: readonly Family[];
}

function digest(value: unknown): string {
  return createHash("sha256").update(JSON.stringify(value)).digest("hex").slice(0, 16);
}

/**
 * `GATEWAY-CLASS`, as the Gateway API recommends for what is generated (GEP-1762). With a hash where that is too long, or
 * where another Gateway and class could have the same.
 */
export function instancesName({ metadata, spec }: Gateway): string {
  const name = `${metadata.name}-${spec.gatewayClassName}`.replaceAll(".", "-");
  const isUnique = !metadata.name.includes(".") && !/[.-]/.test(spec.gatewayClassName);
  if (isUnique && name.length <= MAX_NAME) return name;
  const hash = digest([metadata.name, spec.gatewayClassName]).slice(0, 8);
  return `${name.slice(0, MAX_NAME - 9).replace(/-+$/, "")}-${hash}`;
}

/** By these the instances' Pods are found. */
function selectorOf({ metadata }: Gateway): Record<string, string> {
  return { [GATEWAY_NAME_LABEL]: metadata.name, [MANAGED_BY_LABEL]: MANAGED_BY_VALUE };
}

/** Metadata of what is made for a Gateway: it goes with the Gateway. `content` is everything else of the object. */
function metadataFor(gateway: Gateway, content: unknown): Deployment["metadata"] {
  const { name, namespace, uid } = gateway.metadata;
  const { gatewayClassName, infrastructure } = gateway.spec;
  const ofClass = gatewayClassName.length > MAX_LABEL ? {} : { [GATEWAY_CLASS_LABEL]: gatewayClassName };
  const labels = { ...infrastructure?.labels, ...selectorOf(gateway), ...ofClass };
  return {
    name: instancesName(gateway),
    namespace,
    labels,
    annotations: { ...infrastructure?.annotations, [CONTENT_ANNOTATION]: digest([labels, infrastructure, content]) },
    ownerReferences: [{ apiVersion: gateway.apiVersion, kind: "Gateway", name, uid, controller: true }],
    // The store's own.
    uid: "",
    resourceVersion: "",
    generation: 1,
  };
}

/**
 * The Deployment of a Gateway's instances.
 * @param gateway Its name is a label's value: 63 characters at most.
 */
export function gatewayDeployment(
  gateway: Gateway,
  parameters: GatewayParameters,
  options: DeploymentOptions,
): Deployment {
  const labels = selectorOf(gateway);
  const spec = {
    replicas: parameters.spec.replicas,
    revisionHistoryLimit: 3,
    // A router takes a moment from hearing of a VIP to sending packets for it.
    minReadySeconds: 5,
    selector: { matchLabels: labels },
    // Another instance attracts traffic before one is ended.
    strategy: { type: "RollingUpdate", rollingUpdate: { maxSurge: 1, maxUnavailable: 0 } },
    template: podTemplate(gateway, parameters, { ...options, labels, serviceAccount: instancesName(gateway) }),
  };
  return { apiVersion: "apps/v1", kind: "Deployment", metadata: metadataFor(gateway, spec), spec };
}

/** One instance is evicted at a time. Those that attract nothing do not stand in the way of a node's drain. */
export function gatewayBudget(gateway: Gateway): DisruptionBudget {
  const spec = {
    maxUnavailable: 1,
    selector: { matchLabels: selectorOf(gateway) },
    unhealthyPodEvictionPolicy: "AlwaysAllow",
  };
  return { apiVersion: "policy/v1", kind: "PodDisruptionBudget", metadata: metadataFor(gateway, spec), spec };
}

/** Whom a Gateway's instances are to the API server. */
export function gatewayAccount(gateway: Gateway): ServiceAccount {
  return { apiVersion: "v1", kind: "ServiceAccount", metadata: metadataFor(gateway, {}) };
}

/** What they may in the Gateway's namespace. */
export function gatewayBinding(gateway: Gateway): RoleBinding {
  const { namespace } = gateway.metadata;
  const content = {
    roleRef: { apiGroup: RBAC_GROUP, kind: "ClusterRole", name: NAMESPACE_ROLE },
    subjects: [{ kind: "ServiceAccount", name: instancesName(gateway), namespace }],
  };
  return {
    apiVersion: `${RBAC_GROUP}/v1`,
    kind: "RoleBinding",
    metadata: metadataFor(gateway, content),
    ...content,
  };
}

/** What all of them may read. @param accounts In any order. */
export function instancesBinding(
  accounts: readonly { readonly namespace: string; readonly name: string }[],
): ClusterRoleBinding {
  const subjects = accounts
    .map(({ namespace, name }) => ({ kind: "ServiceAccount", name, namespace }))
    .sort((a, b) => (`${a.namespace}/${a.name}` < `${b.namespace}/${b.name}` ? -1 : 1));
  const content = { roleRef: { apiGroup: RBAC_GROUP, kind: "ClusterRole", name: CLUSTER_ROLE }, subjects };
  return {
    apiVersion: `${RBAC_GROUP}/v1`,
    kind: "ClusterRoleBinding",
    metadata: {
      name: CLUSTER_BINDING,
      namespace: "",
      labels: { [MANAGED_BY_LABEL]: MANAGED_BY_VALUE, "app.kubernetes.io/part-of": API_GROUP },
      annotations: { [CONTENT_ANNOTATION]: digest(content) },
      uid: "",
      resourceVersion: "",
      generation: 1,
    },
    ...content,
  };
}
