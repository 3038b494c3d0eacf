import { FLOW_PROTOCOL, type Gateway, type Listener } from "../api/gateway.ts";
import { type Condition, selects } from "../api/meta.ts";
import { API_GROUP, GATEWAY_GROUP } from "../api/names.ts";
import type { Route } from "../api/routes.ts";
import type { ObjectView } from "../store/object-store.ts";
import { routeGroup } from "./backend-refs.ts";
import { condition, joinMessages } from "./conditions.ts";

interface RouteKind {
  readonly group: string;
  readonly kind: Route["kind"];
}

/** A listener on its own: what it is worth before routes come into play. */
export interface EvaluatedListener {
  readonly listener: Listener;
  readonly valid: boolean;
  readonly supportedKinds: readonly RouteKind[];
  readonly conditions: readonly Condition[];
}

const TCP_ROUTE: RouteKind = { group: GATEWAY_GROUP, kind: "TCPRoute" };
const UDP_ROUTE: RouteKind = { group: GATEWAY_GROUP, kind: "UDPRoute" };
const FLOW_ROUTE: RouteKind = { group: API_GROUP, kind: "FlowRoute" };

/** The kind of route that a listener protocol carries; undefined for protocols that are not supported. */
function kindOfProtocol(protocol: string): RouteKind | undefined {
  if (protocol === "TCP") return TCP_ROUTE;
  if (protocol === "UDP") return UDP_ROUTE;
  return protocol === FLOW_PROTOCOL ? FLOW_ROUTE : undefined;
}

/** Listeners of the Gateway that no flow can be told apart from this one. The port of a Flow listener says nothing. */
function indistinct(gateway: Gateway, listener: Listener): readonly Listener[] {
  if (listener.protocol === FLOW_PROTOCOL) return [];
  return gateway.spec.listeners.filter(
    (other) => other !== listener && other.port === listener.port && other.protocol === listener.protocol,
  );
}

function evaluate(gateway: Gateway, listener: Listener): EvaluatedListener {
  const { generation } = gateway.metadata;
  const native = kindOfProtocol(listener.protocol);
  const requested = listener.allowedRoutes.kinds;
  const unknown = requested.filter(({ group, kind }) => native?.group !== group || native.kind !== kind);
  const supportedKinds =
    native === undefined || (requested.length > 0 && unknown.length === requested.length) ? [] : [native];
  const rivals = native === undefined ? [] : indistinct(gateway, listener);

  let accepted = condition("Accepted", "True", "Accepted", "The listener is valid.", generation);
  if (native === undefined) {
    const message = `protocol ${listener.protocol} is not supported; use TCP, UDP or ${FLOW_PROTOCOL}`;
    accepted = condition("Accepted", "False", "UnsupportedProtocol", message, generation);
  } else if (listener.tls !== undefined) {
    const message = `tls is not supported with protocol ${listener.protocol}; remove the field: flows pass unopened`;
    accepted = condition("Accepted", "False", "UnsupportedValue", message, generation);
  } else if (rivals.length > 0) {
    const names = rivals.map(({ name }) => name).join(", ");
    const message = `port ${listener.port}/${listener.protocol} is also claimed by listener ${names}`;
    accepted = condition("Accepted", "False", "PortUnavailable", message, generation);
  }
  const conflicted =
    rivals.length > 0
      ? condition(
          "Conflicted",
          "True",
          "ProtocolConflict",
          `listeners ${[listener, ...rivals].map(({ name }) => name).join(", ")} all claim port ` +
            `${listener.port}/${listener.protocol}; none of them is used until only one does`,
          generation,
        )
      : condition("Conflicted", "False", "NoConflicts", "No other listener claims the port.", generation);
  const resolvedRefs =
    unknown.length > 0
      ? condition(
          "ResolvedRefs",
          "False",
          "InvalidRouteKinds",
          `allowedRoutes.kinds names ${unknown.map(({ group, kind }) => `${kind}.${group}`).join(", ")}, which a ` +
            `${listener.protocol} listener does not carry` +
            (native === undefined ? "" : `; it carries ${native.kind}.${native.group}`),
          generation,
        )
      : condition("ResolvedRefs", "True", "ResolvedRefs", "All references are resolved.", generation);
  return {
    listener,
    valid: accepted.status === "True",
    supportedKinds,
    conditions: [accepted, conflicted, resolvedRefs],
  };
}

/** Every listener of a Gateway, in the Gateway's order. */
export function evaluateListeners(gateway: Gateway): readonly EvaluatedListener[] {
  return gateway.spec.listeners.map((listener) => evaluate(gateway, listener));
}

/** Whether `allowedRoutes.namespaces` of the listener admits routes of that namespace. */
function allowsNamespace(view: ObjectView, gateway: Gateway, listener: Listener, namespace: string): boolean {
  const { from, selector } = listener.allowedRoutes.namespaces;
  switch (from) {
    case "All":
      return true;
    case "None":
      return false;
    case "Same":
      return namespace === gateway.metadata.namespace;
    case "Selector": {
      const labels = view.get("Namespace", "", namespace)?.metadata.labels ?? {};
      // The API server gives every Namespace this label; a directory of manifests may not even list the Namespace.
      return selector !== undefined && selects(selector, { ...labels, "kubernetes.io/metadata.name": namespace });
    }
  }
}

export type Admission =
  | { readonly admitted: true; readonly listeners: readonly EvaluatedListener[] }
  | {
      readonly admitted: false;
      readonly reason: "NoMatchingParent" | "NotAllowedByListeners";
      readonly message: string;
    };

function refusal(gateway: Gateway, candidates: readonly EvaluatedListener[], route: Route): string {
  const why = candidates.map(({ listener, supportedKinds }) => {
    const kinds = supportedKinds.map(({ kind }) => kind).join(", ") || "no kind of route";
    const { from } = listener.allowedRoutes.namespaces;
    return `${listener.name} (${listener.protocol}) admits ${kinds} from namespaces: ${from}`;
  });
  const { namespace, name } = gateway.metadata;
  return (
    `no listener of Gateway ${namespace}/${name} admits a ${route.kind} from namespace ` +
    `${route.metadata.namespace}: ${joinMessages(why)}`
  );
}

/**
 * Which listeners of a Gateway one parentRef of a route attaches to (Gateway API, ParentReference and AllowedRoutes).
 *
 * A FlowRoute whose parentRef selects no listener attaches to the Gateway as a whole. Who may do that is said by the
 * Gateway's Flow listeners; where it has none, by the namespaces that any of its listeners allows.
 */
export function admit(
  view: ObjectView,
  gateway: Gateway,
  listeners: readonly EvaluatedListener[],
  route: Route,
  parentRef: { readonly sectionName?: string | undefined; readonly port?: number | undefined },
): Admission {
  const { sectionName, port } = parentRef;
  const candidates = listeners.filter(
    ({ listener }) =>
      (sectionName === undefined || listener.name === sectionName) && (port === undefined || listener.port === port),
  );
  if (candidates.length === 0) {
    const wanted = [sectionName !== undefined && `name ${sectionName}`, port !== undefined && `port ${port}`];
    const { namespace, name } = gateway.metadata;
    return {
      admitted: false,
      reason: "NoMatchingParent",
      message:
        `Gateway ${namespace}/${name} has no listener with ${wanted.filter((part) => part !== false).join(" and ")}; ` +
        `it has ${joinMessages(listeners.map(({ listener }) => `${listener.name} (port ${listener.port})`))}`,
    };
  }
  const { namespace } = route.metadata;
  const group = routeGroup(route);
  const admitting = candidates.filter(
    ({ listener, supportedKinds }) =>
      supportedKinds.some((supported) => supported.kind === route.kind && supported.group === group) &&
      allowsNamespace(view, gateway, listener, namespace),
  );
  if (admitting.length > 0) return { admitted: true, listeners: admitting };
  const wholeGateway = route.kind === "FlowRoute" && sectionName === undefined && port === undefined;
  if (
    wholeGateway &&
    !listeners.some(({ listener }) => listener.protocol === FLOW_PROTOCOL) &&
    listeners.some(
      ({ listener }) =>
        kindOfProtocol(listener.protocol) !== undefined && allowsNamespace(view, gateway, listener, namespace),
    )
  ) {
    return { admitted: true, listeners: [] };
  }
  return { admitted: false, reason: "NotAllowedByListeners", message: refusal(gateway, candidates, route) };
}
