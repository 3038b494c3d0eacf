import type { z } from "zod";
import { addressPoolSchema } from "./address-pool.ts";
import { bgpPeerSchema } from "./bgp-peer.ts";
import {
  configMapSchema,
  endpointSliceSchema,
  namespaceSchema,
  podSchema,
  secretSchema,
  serviceSchema,
} from "./core.ts";
import { discoveryDomainSchema } from "./discovery-domain.ts";
import { gatewayClassSchema, gatewaySchema } from "./gateway.ts";
import { gatewayParametersSchema } from "./gateway-parameters.ts";
import { healthCheckSchema } from "./health-check.ts";
import { flowRouteSchema, referenceGrantSchema, tcpRouteSchema, udpRouteSchema } from "./routes.ts";
import { topicSchema } from "./topic.ts";
import {
  clusterRoleBindingSchema,
  deploymentSchema,
  disruptionBudgetSchema,
  roleBindingSchema,
  serviceAccountSchema,
} from "./workloads.ts";

/** Every kind that is read or written: its schema, its plural and whether it lives in a namespace. */
export const KINDS = {
  Namespace: { schema: namespaceSchema, plural: "namespaces", namespaced: false },
  Service: { schema: serviceSchema, plural: "services", namespaced: true },
  EndpointSlice: { schema: endpointSliceSchema, plural: "endpointslices", namespaced: true },
  Pod: { schema: podSchema, plural: "pods", namespaced: true },
  ConfigMap: { schema: configMapSchema, plural: "configmaps", namespaced: true },
  Secret: { schema: secretSchema, plural: "secrets", namespaced: true },
  GatewayClass: { schema: gatewayClassSchema, plural: "gatewayclasses", namespaced: false },
  Gateway: { schema: gatewaySchema, plural: "gateways", namespaced: true },
  TCPRoute: { schema: tcpRouteSchema, plural: "tcproutes", namespaced: true },
  UDPRoute: { schema: udpRouteSchema, plural: "udproutes", namespaced: true },
  ReferenceGrant: { schema: referenceGrantSchema, plural: "referencegrants", namespaced: true },
  GatewayParameters: { schema: gatewayParametersSchema, plural: "gatewayparameters", namespaced: true },
  AddressPool: { schema: addressPoolSchema, plural: "addresspools", namespaced: false },
  BgpPeer: { schema: bgpPeerSchema, plural: "bgppeers", namespaced: true },
  FlowRoute: { schema: flowRouteSchema, plural: "flowroutes", namespaced: true },
  HealthCheck: { schema: healthCheckSchema, plural: "healthchecks", namespaced: true },
  DiscoveryDomain: { schema: discoveryDomainSchema, plural: "discoverydomains", namespaced: true },
  Topic: { schema: topicSchema, plural: "topics", namespaced: true },
  Deployment: { schema: deploymentSchema, plural: "deployments", namespaced: true },
  PodDisruptionBudget: { schema: disruptionBudgetSchema, plural: "poddisruptionbudgets", namespaced: true },
  ServiceAccount: { schema: serviceAccountSchema, plural: "serviceaccounts", namespaced: true },
  RoleBinding: { schema: roleBindingSchema, plural: "rolebindings", namespaced: true },
  ClusterRoleBinding: { schema: clusterRoleBindingSchema, plural: "clusterrolebindings", namespaced: false },
} as const;

export type Kind = keyof typeof KINDS;

/** What only a cluster runs: generated there, and other programs' objects anywhere else. */
export const WORKLOAD_KINDS = [
  "Deployment",
  "PodDisruptionBudget",
  "ServiceAccount",
  "RoleBinding",
  "ClusterRoleBinding",
] as const satisfies readonly Kind[];
/** The parsed object of a kind. */
export type ObjectOf<K extends Kind> = z.infer<(typeof KINDS)[K]["schema"]>;
export type AnyObject = { [K in Kind]: ObjectOf<K> }[Kind];

/** Names one object. `namespace` is "" for cluster-scoped kinds. */
export interface ObjectRef<K extends Kind = Kind> {
  readonly kind: K;
  readonly namespace: string;
  readonly name: string;
}

export function isKind(text: string): text is Kind {
  return Object.hasOwn(KINDS, text);
}

/** `Kind namespace/name`, as messages and logs name an object. */
export function describeRef(ref: ObjectRef): string {
  return ref.namespace === "" ? `${ref.kind} ${ref.name}` : `${ref.kind} ${ref.namespace}/${ref.name}`;
}
