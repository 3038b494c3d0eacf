import type { Service } from "../api/core.ts";
import { describeRef } from "../api/kinds.ts";
import type { Condition } from "../api/meta.ts";
import { API_GROUP, GATEWAY_GROUP, SERVICE_NETWORK_ANNOTATION } from "../api/names.ts";
import type { BackendRef, Protocol, ReferenceGrant, Route } from "../api/routes.ts";
import type { ObjectView } from "../store/object-store.ts";
import type { AttachedBackend } from "./attachment-types.ts";
import { condition, joinMessages } from "./conditions.ts";
import { isOrdinary } from "./targets.ts";

/** Reasons of a route's condition ResolvedRefs, as the Gateway API names them. */
type BackendProblemReason = "InvalidKind" | "RefNotPermitted" | "BackendNotFound" | "UnsupportedProtocol";

export interface ResolvedBackends {
  readonly backends: readonly AttachedBackend[];
  readonly invalidWeight: number;
  readonly resolvedRefs: Condition;
}

export function routeGroup(route: Route): string {
  return route.kind === "FlowRoute" ? API_GROUP : GATEWAY_GROUP;
}

function backendRefsOf(route: Route): readonly BackendRef[] {
  return route.kind === "FlowRoute" ? route.spec.backendRefs : route.spec.rules.flatMap((rule) => rule.backendRefs);
}

function protocolsOf(route: Route): readonly Protocol[] {
  switch (route.kind) {
    case "TCPRoute":
      return ["TCP"];
    case "UDPRoute":
      return ["UDP"];
    case "FlowRoute":
      return route.spec.match.protocols;
  }
}

/** What a backendRef may name: a Service, or a Topic, which leads to one. */
interface BackendKind {
  readonly kind: "Service" | "Topic";
  readonly group: string;
}

/** Whether a grant in the backend's namespace lets routes of this kind and namespace refer to it. */
function permits(
  grant: ReferenceGrant,
  route: Route,
  { kind, group }: BackendKind,
  namespace: string,
  name: string,
): boolean {
  return (
    grant.metadata.namespace === namespace &&
    grant.spec.from.some(
      (from) =>
        from.group === routeGroup(route) && from.kind === route.kind && from.namespace === route.metadata.namespace,
    ) &&
    grant.spec.to.some((to) => to.group === group && to.kind === kind && (to.name === undefined || to.name === name))
  );
}

function portsText(service: Service): string {
  const ports = service.spec.ports.map(({ port, protocol }) => `${port}/${protocol}`);
  return ports.length === 0 ? "it has none" : `it has ${ports.join(", ")}`;
}

type Resolution =
  | { readonly backends: readonly AttachedBackend[] }
  | { readonly reason: BackendProblemReason; readonly message: string };

function backendKind({ group, kind }: BackendRef): BackendKind | undefined {
  if (group === "" && kind === "Service") return { kind, group };
  if (group === API_GROUP && kind === "Topic") return { kind, group };
  return undefined;
}

function resolve(view: ObjectView, route: Route, ref: BackendRef): Resolution {
  const wanted = backendKind(ref);
  if (wanted === undefined) {
    const group = ref.group === "" ? "core" : ref.group;
    return {
      reason: "InvalidKind",
      message: `${ref.kind} (group ${group}) ${ref.name} cannot be a backend; refer to a Service, or to a Topic of group ${API_GROUP}`,
    };
  }
  const { kind } = wanted;
  const namespace = ref.namespace ?? route.metadata.namespace;
  const where = describeRef({ kind, namespace, name: ref.name });
  // The grant comes first: without it a route must not learn whether the backend exists.
  if (
    namespace !== route.metadata.namespace &&
    !view.list("ReferenceGrant").some((grant) => permits(grant, route, wanted, namespace, ref.name))
  ) {
    return {
      reason: "RefNotPermitted",
      message:
        `${where} is in another namespace and no ReferenceGrant there allows it; create one in namespace ${namespace} ` +
        `from ${route.kind} in namespace ${route.metadata.namespace} to ${kind}`,
    };
  }
  if (kind === "Topic") return resolveTopic(view, route, ref, namespace);
  const service = view.get("Service", namespace, ref.name);
  if (service === undefined) return { reason: "BackendNotFound", message: `${where} does not exist` };
  if (service.spec.type === "ExternalName") {
    const message = `${where} is of type ExternalName, which leads to a name instead of to targets; refer to another Service`;
    return { reason: "InvalidKind", message };
  }
  if (ref.port === undefined) {
    return { reason: "BackendNotFound", message: `the reference to ${where} names no port; ${portsText(service)}` };
  }
  return resolvePort(service, ref.port, protocolsOf(route), ref.weight);
}

/** @param port of the Service, that packets of one of the protocols are for. */
function resolvePort(service: Service, port: number, wanted: readonly Protocol[], weight: number): Resolution {
  const { namespace, name } = service.metadata;
  const where = describeRef({ kind: "Service", namespace, name });
  const sameNumber = service.spec.ports.filter((one) => one.port === port);
  if (sameNumber.length === 0) {
    return { reason: "BackendNotFound", message: `${where} has no port ${port}; ${portsText(service)}` };
  }
  const usable = sameNumber.filter(({ protocol }) => wanted.includes(protocol));
  if (usable.length === 0) {
    return {
      reason: "UnsupportedProtocol",
      message: `port ${port} of ${where} is not ${wanted.join(" or ")}; ${portsText(service)}`,
    };
  }
  return { backends: usable.map((one) => ({ service, port: one, weight })) };
}

/**
 * A Topic is served by the pods of a Service of its own namespace, so that needs no grant: flows go to that Service's
 * targets, ready or draining like any others.
 */
function resolveTopic(view: ObjectView, route: Route, ref: BackendRef, namespace: string): Resolution {
  const where = describeRef({ kind: "Topic", namespace, name: ref.name });
  const topic = view.get("Topic", namespace, ref.name);
  if (topic === undefined) return { reason: "BackendNotFound", message: `${where} does not exist` };
  const { name, port } = topic.spec.service;
  if (ref.port !== undefined && ref.port !== port) {
    return {
      reason: "BackendNotFound",
      message: `${where} has port ${port} (spec.service.port), not ${ref.port}; leave the reference's port out`,
    };
  }
  if (!protocolsOf(route).includes("TCP")) {
    return { reason: "UnsupportedProtocol", message: `${where} is served over TCP; refer to it from a TCPRoute` };
  }
  const service = view.get("Service", namespace, name);
  if (service === undefined) {
    const missing = describeRef({ kind: "Service", namespace, name });
    return { reason: "BackendNotFound", message: `spec.service.name of ${where}: ${missing} does not exist` };
  }
  const resolved = resolvePort(service, port, ["TCP"], ref.weight);
  return "backends" in resolved ? resolved : { ...resolved, message: `spec.service of ${where}: ${resolved.message}` };
}

/** A forgotten annotation is told here: it is no fault. */
function onPrimary(backends: readonly AttachedBackend[]): string {
  const ordinary = backends.filter(({ service }) => isOrdinary(service)).map(({ service }) => service.metadata);
  const names = [...new Set(ordinary.map(({ namespace, name }) => `${namespace}/${name}`))];
  if (names.length === 0) return "";
  return ` Without annotation ${SERVICE_NETWORK_ANNOTATION}, and so reached on the primary network: ${joinMessages(names)}.`;
}

/** Which of a route's backendRefs may be used, and the route's condition ResolvedRefs. */
export function resolveBackends(view: ObjectView, route: Route): ResolvedBackends {
  const backends: AttachedBackend[] = [];
  const problems: { reason: BackendProblemReason; message: string }[] = [];
  let invalidWeight = 0;
  for (const ref of backendRefsOf(route)) {
    const result = resolve(view, route, ref);
    if ("backends" in result) {
      backends.push(...result.backends);
    } else {
      problems.push(result);
      invalidWeight += ref.weight;
    }
  }
  const { generation } = route.metadata;
  const [first] = problems;
  const resolvedRefs =
    first === undefined
      ? condition(
          "ResolvedRefs",
          "True",
          "ResolvedRefs",
          `All backends are resolved.${onPrimary(backends)}`,
          generation,
        )
      : condition(
          "ResolvedRefs",
          "False",
          first.reason,
          joinMessages(problems.map(({ message }) => message)),
          generation,
        );
  return { backends, invalidWeight, resolvedRefs };
}
