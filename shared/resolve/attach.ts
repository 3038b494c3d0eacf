import type { Gateway, GatewayClass } from "../api/gateway.ts";
import type { Kind } from "../api/kinds.ts";
import type { Condition } from "../api/meta.ts";
import { CONTROLLER_NAME, GATEWAY_GROUP } from "../api/names.ts";
import type { ParentRef, Route } from "../api/routes.ts";
import { type Ip, parseIp } from "../net/ip.ts";
import type { ObjectView } from "../store/object-store.ts";
import { byAge, compareText } from "./age.ts";
import type { AttachedRoute, Attachments, GatewayAttachment, RouteParentReport } from "./attachment-types.ts";
import { type ResolvedBackends, resolveBackends } from "./backend-refs.ts";
import { condition } from "./conditions.ts";
import { gatewayAccepted, resolveParameters } from "./gateway-acceptance.ts";
import { admit, type EvaluatedListener, evaluateListeners } from "./listeners.ts";

/** What {@link attach} reads: whoever calls it watches these. */
export const ATTACH_KINDS = [
  "Namespace",
  "GatewayClass",
  "Gateway",
  "GatewayParameters",
  "TCPRoute",
  "UDPRoute",
  "FlowRoute",
  "ReferenceGrant",
  "Service",
  "Topic",
] as const satisfies readonly Kind[];

/**
 * Our own condition on a route's parent: an older route has a listener that this one also claims. The Gateway API keeps
 * such a route Accepted (and counted in attachedRoutes), and gives the listener's traffic to the oldest.
 */
export const SUPERSEDED_CONDITION = "causeway.dev/Superseded";

/** One admitted parentRef: by which listeners. */
interface Claim {
  readonly parentRef: ParentRef;
  readonly listeners: readonly EvaluatedListener[];
}

/** A route as one Gateway sees it. */
interface RouteOnGateway {
  readonly route: Route;
  readonly backends: ResolvedBackends;
  readonly refused: readonly RouteParentReport[];
  readonly claims: readonly Claim[];
}

function allRoutes(view: ObjectView): readonly Route[] {
  return [...view.list("TCPRoute"), ...view.list("UDPRoute"), ...view.list("FlowRoute")];
}

/** `namespace/name` of the Gateway that a parentRef names; undefined when it names something else. */
function gatewayKey(route: Route, { group, kind, namespace, name }: ParentRef): string | undefined {
  return group === GATEWAY_GROUP && kind === "Gateway" ? `${namespace ?? route.metadata.namespace}/${name}` : undefined;
}

function indexByGateway(routes: readonly Route[]): ReadonlyMap<string, ReadonlyMap<Route, readonly ParentRef[]>> {
  const index = new Map<string, Map<Route, ParentRef[]>>();
  for (const route of routes) {
    const seen = new Set<string>();
    for (const parentRef of route.spec.parentRefs) {
      const key = gatewayKey(route, parentRef);
      const identity = `${key} ${parentRef.sectionName} ${parentRef.port}`;
      // parentRefs must be distinct; saying the same twice means it once.
      if (key === undefined || seen.has(identity)) continue;
      seen.add(identity);
      const onGateway = index.get(key) ?? new Map<Route, ParentRef[]>();
      index.set(key, onGateway);
      onGateway.set(route, [...(onGateway.get(route) ?? []), parentRef]);
    }
  }
  return index;
}

function admitRoute(
  view: ObjectView,
  gateway: Gateway,
  listeners: readonly EvaluatedListener[],
  route: Route,
  parentRefs: readonly ParentRef[],
  backends: ResolvedBackends,
): RouteOnGateway {
  const refused: RouteParentReport[] = [];
  const claims: Claim[] = [];
  for (const parentRef of parentRefs) {
    const admission = admit(view, gateway, listeners, route, parentRef);
    if (admission.admitted) {
      claims.push({ parentRef, listeners: admission.listeners });
      continue;
    }
    const { reason, message } = admission;
    const accepted = condition("Accepted", "False", reason, message, route.metadata.generation);
    refused.push({ route, parentRef, conditions: [accepted, backends.resolvedRefs] });
  }
  return { route, backends, refused, claims };
}

function describeRoute(route: Route): string {
  return `${route.kind} ${route.metadata.namespace}/${route.metadata.name}`;
}

/** The oldest claimant of each TCP and UDP listener; FlowRoutes share theirs and are ordered by priority. */
function owners(routes: readonly RouteOnGateway[]): ReadonlyMap<EvaluatedListener, Route> {
  const owner = new Map<EvaluatedListener, Route>();
  for (const { route, claims } of routes) {
    if (route.kind === "FlowRoute") continue;
    for (const listener of claims.flatMap((claim) => claim.listeners)) {
      if (!owner.has(listener)) owner.set(listener, route);
    }
  }
  return owner;
}

function acceptedReport(
  gateway: Gateway,
  { route, backends }: RouteOnGateway,
  { parentRef, listeners }: Claim,
  owner: ReadonlyMap<EvaluatedListener, Route>,
): RouteParentReport {
  const { generation } = route.metadata;
  const { namespace, name } = gateway.metadata;
  const where =
    listeners.length === 0 ? "as a whole" : `by listeners ${listeners.map(({ listener }) => listener.name).join(", ")}`;
  const message = `The route is attached to Gateway ${namespace}/${name} ${where}.`;
  const conditions: Condition[] = [condition("Accepted", "True", "Accepted", message, generation)];
  conditions.push(backends.resolvedRefs);
  const lost = listeners.flatMap((entry) => {
    const winner = owner.get(entry);
    return winner === undefined || winner === route
      ? []
      : [`the traffic of listener ${entry.listener.name} goes to ${describeRoute(winner)}, which is older`];
  });
  if (lost.length > 0) {
    const advice = "only one route can have a listener: attach this one elsewhere or delete the other";
    const text = `${lost.join("; ")}; ${advice}`;
    conditions.push(condition(SUPERSEDED_CONDITION, "True", "OlderRouteWins", text, generation));
  }
  return { route, parentRef, conditions };
}

/** What the data plane gets of a route: its backends on the listeners that are valid and its own. */
function attachedRoute(
  listeners: readonly EvaluatedListener[],
  { route, backends, claims }: RouteOnGateway,
  owner: ReadonlyMap<EvaluatedListener, Route>,
): readonly AttachedRoute[] {
  const claimed = new Set(claims.flatMap((claim) => claim.listeners));
  const mine = listeners.filter((entry) => claimed.has(entry) && entry.valid && (owner.get(entry) ?? route) === route);
  // A FlowRoute that attached to the Gateway as a whole needs no listener; one that chose listeners needs a valid one.
  const whole = route.kind === "FlowRoute" && claims.some((claim) => claim.listeners.length === 0);
  if (mine.length === 0 && !whole) return [];
  return [
    {
      route,
      listeners: mine.map(({ listener }) => listener),
      backends: backends.backends,
      invalidWeight: backends.invalidWeight,
    },
  ];
}

function vipsOf(gateway: Gateway): readonly Ip[] {
  return (gateway.status?.addresses ?? []).flatMap(({ type, value }) => {
    const vip = type === undefined || type === "IPAddress" ? parseIp(value) : undefined;
    return vip === undefined ? [] : [vip];
  });
}

interface AttachedGateway {
  readonly attachment: GatewayAttachment;
  readonly reports: readonly RouteParentReport[];
}

function attachGateway(
  view: ObjectView,
  gateway: Gateway,
  gatewayClass: GatewayClass,
  refs: ReadonlyMap<Route, readonly ParentRef[]>,
  backendsOf: (route: Route) => ResolvedBackends,
): AttachedGateway {
  const parameters = resolveParameters(view, gateway, gatewayClass);
  const evaluated = evaluateListeners(gateway);
  const routes = [...refs]
    .map(([route, parentRefs]) => admitRoute(view, gateway, evaluated, route, parentRefs, backendsOf(route)))
    .sort((a, b) => byAge(a.route, b.route) || compareText(a.route.kind, b.route.kind));
  const owner = owners(routes);
  const reports = routes.flatMap((entry) => [
    ...entry.refused,
    ...entry.claims.map((claim) => acceptedReport(gateway, entry, claim, owner)),
  ]);
  return {
    attachment: {
      gateway,
      accepted: gatewayAccepted(gateway, parameters, evaluated),
      parameters: parameters.parameters,
      vips: vipsOf(gateway),
      routes: routes.flatMap((entry) => attachedRoute(evaluated, entry, owner)),
      listeners: evaluated.map((entry) => ({
        listener: entry.listener,
        valid: entry.valid,
        supportedKinds: entry.supportedKinds,
        conditions: entry.conditions,
        attachedRoutes: routes.filter(({ claims }) => claims.some((claim) => claim.listeners.includes(entry))).length,
      })),
    },
    reports,
  };
}

/** Reports in the order of the routes' listing and of each route's own parentRefs, whatever Gateway they name. */
function inRouteOrder(routes: readonly Route[], reports: readonly RouteParentReport[]): readonly RouteParentReport[] {
  const byRef = new Map(reports.map((report) => [report.parentRef, report]));
  return routes.flatMap((route) =>
    route.spec.parentRefs.flatMap((parentRef) => {
      const report = byRef.get(parentRef);
      return report === undefined ? [] : [report];
    }),
  );
}

/**
 * Which routes every Gateway of ours carries, by the attachment rules of the Gateway API v1, and what to report about
 * Gateways, listeners and routes. Pure: the same objects give the same answer in the same order.
 */
export function attach(view: ObjectView): Attachments {
  const routes = allRoutes(view);
  const refsByGateway = indexByGateway(routes);
  const cache = new Map<Route, ResolvedBackends>();
  const backendsOf = (route: Route): ResolvedBackends => {
    const resolved = cache.get(route) ?? resolveBackends(view, route);
    cache.set(route, resolved);
    return resolved;
  };
  const attached = view.list("Gateway").flatMap((gateway) => {
    const gatewayClass = view.get("GatewayClass", "", gateway.spec.gatewayClassName);
    if (gatewayClass?.spec.controllerName !== CONTROLLER_NAME) return [];
    const refs =
      refsByGateway.get(`${gateway.metadata.namespace}/${gateway.metadata.name}`) ??
      new Map<Route, readonly ParentRef[]>();
    return [attachGateway(view, gateway, gatewayClass, refs, backendsOf)];
  });
  return {
    gateways: attached.map(({ attachment }) => attachment),
    routes: inRouteOrder(
      routes,
      attached.flatMap(({ reports }) => reports),
    ),
  };
}
