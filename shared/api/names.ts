/** Labels, annotations and well-known names: each is written once, here. */

export const API_GROUP = "causeway.dev";
export const API_VERSION = "causeway.dev/v1alpha1";
export const GATEWAY_GROUP = "gateway.networking.k8s.io";
export const CONTROLLER_NAME = "causeway.dev/gateway-controller";

/** Marks a Service as ours (the well-known label that keeps other service proxies away). */
export const SERVICE_PROXY_LABEL = "service.kubernetes.io/service-proxy-name";
export const SERVICE_PROXY_VALUE = "causeway";
/** The value by which multus-service's users mark their Services; ours, too, where the controller is told so. */
export const MULTUS_PROXY_VALUE = "multus-proxy";
/** `[namespace/]network[@interface]`: the secondary network on which a service-i finds its targets. */
export const SERVICE_NETWORK_ANNOTATION = "k8s.v1.cni.cncf.io/service-network";
/** Multus writes each pod's attachments and their addresses here, as JSON. */
export const NETWORK_STATUS_ANNOTATION = "k8s.v1.cni.cncf.io/network-status";
/** Slots of a service's lookup table, when the Gateway's own size does not suit it. */
export const TABLE_SIZE_ANNOTATION = "causeway.dev/lookup-table-size";

/** Of a pod: its share of its service group's clients, a whole number from 0 to 1000; 1 when absent. */
export const GROUP_WEIGHT_ANNOTATION = "causeway.dev/group-weight";

/** The Gateway API's own label for what an implementation generates for a Gateway; our instances' Pods carry it. */
export const GATEWAY_NAME_LABEL = "gateway.networking.k8s.io/gateway-name";

export const GATEWAY_CLASS_LABEL = "gateway.networking.k8s.io/gateway-class-name";
/** Kubernetes' label for who looks after an object; ours are found by it. */
export const MANAGED_BY_LABEL = "app.kubernetes.io/managed-by";
export const MANAGED_BY_VALUE = "causeway";
/** Multus attaches a pod to the networks that this JSON list names. */
export const NETWORKS_ANNOTATION = "k8s.v1.cni.cncf.io/networks";
/** What a generated object was made of: it is written again when that changes. */
export const CONTENT_ANNOTATION = "causeway.dev/content";

export const SLICE_SERVICE_LABEL = "kubernetes.io/service-name";
export const SLICE_MANAGED_BY_LABEL = "endpointslice.kubernetes.io/managed-by";
export const SLICE_MANAGED_BY_VALUE = "causeway.dev";
/** The slices of Kubernetes' own controller hold primary addresses, also for annotated Services: they do not count. */
export const BUILT_IN_SLICES = "endpointslice-controller.k8s.io";

/** Pod conditions of a gateway instance: it forwards and attracts traffic of that address family. */
export const POD_READY_CONDITION = { 4: "causeway.dev/ipv4-ready", 6: "causeway.dev/ipv6-ready" } as const;
