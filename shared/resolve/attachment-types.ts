import type { Service, ServicePort } from "../api/core.ts";
import type { Gateway, Listener } from "../api/gateway.ts";
import type { GatewayParameters } from "../api/gateway-parameters.ts";
import type { Condition } from "../api/meta.ts";
import type { ParentRef, Route } from "../api/routes.ts";
import type { Ip } from "../net/ip.ts";

/** A backend that may be used: it exists, its port exists, and a ReferenceGrant allows it where one is needed. */
export interface AttachedBackend {
  readonly service: Service;
  readonly port: ServicePort;
  readonly weight: number;
}

/** A route that a Gateway carries. */
export interface AttachedRoute {
  readonly route: Route;
  /** Listeners that admitted it, in the Gateway's order. A FlowRoute may be admitted by the Gateway as a whole: then empty. */
  readonly listeners: readonly Listener[];
  readonly backends: readonly AttachedBackend[];
  /** Sum of the weights of backends that may not be used: that share of new flows is refused (Gateway API, BackendRef). */
  readonly invalidWeight: number;
}

/** Everything that is known about one Gateway of ours, and what to report about it. */
export interface GatewayAttachment {
  readonly gateway: Gateway;
  /** Absent when the reference does not resolve: nothing can be programmed then. */
  readonly parameters: GatewayParameters | undefined;
  /** From `status.addresses`: what the controller allocated. */
  readonly vips: readonly Ip[];
  readonly routes: readonly AttachedRoute[];
  readonly listeners: readonly {
    readonly listener: Listener;
    readonly attachedRoutes: number;
    readonly supportedKinds: readonly { readonly group: string; readonly kind: string }[];
    readonly conditions: readonly Condition[];
  }[];
}

/** What one parentRef of a route came to. */
export interface RouteParentReport {
  readonly route: Route;
  readonly parentRef: ParentRef;
  readonly conditions: readonly Condition[];
}

export interface Attachments {
  readonly gateways: readonly GatewayAttachment[];
  readonly routes: readonly RouteParentReport[];
}
