import type { Service, ServicePort } from "../api/core.ts";
import type { Gateway, Listener } from "../api/gateway.ts";
import type { GatewayParameters } from "../api/gateway-parameters.ts";
import type { Condition } from "../api/meta.ts";
import type { ParentRef, Route } from "../api/routes.ts";
import type { Ip } from "../net/ip.ts";

/**
 * A backend that may be used: it exists, its port exists, and a ReferenceGrant allows it where one is needed. A
 * backendRef of a FlowRoute gives one of these for every protocol that the route's match and the Service's port share.
 */
export interface AttachedBackend {
  readonly service: Service;
  readonly port: ServicePort;
  readonly weight: number;
}

/** A route that a Gateway carries. */
export interface AttachedRoute {
  readonly route: Route;
  /**
   * Listeners whose traffic the route gets, in the Gateway's order: they admitted it, they are valid, and (TCPRoute,
   * UDPRoute) no older route has them. Never empty for TCPRoute and UDPRoute. A FlowRoute applies to the whole Gateway;
   * here it has the `causeway.dev/Flow` listeners that admitted it, perhaps none.
   */
  readonly listeners: readonly Listener[];
  readonly backends: readonly AttachedBackend[];
  /** Sum of the weights of backends that may not be used: that share of new flows is refused (Gateway API, BackendRef). */
  readonly invalidWeight: number;
}

export interface ListenerAttachment {
  readonly listener: Listener;
  /** Accepted and without conflict: its port may be configured. */
  readonly valid: boolean;
  readonly attachedRoutes: number;
  readonly supportedKinds: readonly { readonly group: string; readonly kind: string }[];
  /** Accepted, Conflicted and ResolvedRefs; whether it is Programmed depends on what is known about the instances. */
  readonly conditions: readonly Condition[];
}

/** Everything that is known about one Gateway of ours, and what to report about it. */
export interface GatewayAttachment {
  readonly gateway: Gateway;
  /** The Gateway's condition Accepted. While it is False the Gateway is given no new VIP; what it has goes on. */
  readonly accepted: Condition;
  /** Absent when the reference does not resolve: nothing can be programmed then. */
  readonly parameters: GatewayParameters | undefined;
  /** From `status.addresses`: what the controller allocated. */
  readonly vips: readonly Ip[];
  /** Oldest first, then by namespace, name and kind. */
  readonly routes: readonly AttachedRoute[];
  readonly listeners: readonly ListenerAttachment[];
}

/** What one parentRef of a route came to. */
export interface RouteParentReport {
  readonly route: Route;
  readonly parentRef: ParentRef;
  readonly conditions: readonly Condition[];
}

export interface Attachments {
  /** In order of namespace, then name. */
  readonly gateways: readonly GatewayAttachment[];
  /** Only parentRefs that name a Gateway of ours. By kind of route, namespace, name, then the route's own order. */
  readonly routes: readonly RouteParentReport[];
}
