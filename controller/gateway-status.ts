import type { GatewayClass } from "#shared/api/gateway.ts";
import type { GatewayParameters } from "#shared/api/gateway-parameters.ts";
import type { Condition } from "#shared/api/meta.ts";
import { API_GROUP, CONTROLLER_NAME, GATEWAY_NAME_LABEL } from "#shared/api/names.ts";
import type { Route } from "#shared/api/routes.ts";
import type { GatewayAttachment, ListenerAttachment, RouteParentReport } from "#shared/resolve/attachment-types.ts";
import { condition, joinMessages } from "#shared/resolve/conditions.ts";
import { isInstanceUp } from "#shared/resolve/instance-up.ts";
import type { ObjectView, StatusOf } from "#shared/store/object-store.ts";
import { type GatewayAddresses, gatewayKey, type PoolUsage } from "./plan-addresses.ts";

/** What is known about the Pods that a Gateway's instances run in. */
export interface Instances {
  readonly total: number;
  /** Whose processes are up. */
  readonly ready: number;
  /** Why the scheduler finds no node for one of them. */
  readonly unschedulable: string | undefined;
}

const NO_INSTANCES: Instances = { total: 0, ready: 0, unschedulable: undefined };

/** Features of the Gateway API that we have, by the names of its conformance profiles, in order. */
const SUPPORTED_FEATURES = [
  "Gateway",
  "GatewayAddressEmpty",
  "GatewayPort8080",
  "GatewayStaticAddresses",
  "ReferenceGrant",
  "TCPRoute",
  "UDPRoute",
] as const;

/** By the key of the Gateway. */
export function instancesByGateway(view: ObjectView): ReadonlyMap<string, Instances> {
  const found = new Map<string, Instances>();
  for (const pod of view.list("Pod")) {
    const name = pod.metadata.labels[GATEWAY_NAME_LABEL];
    if (name === undefined) continue;
    const key = `${pod.metadata.namespace}/${name}`;
    const before = found.get(key) ?? NO_INSTANCES;
    const stuck = (pod.status?.conditions ?? []).find(
      (entry) => entry.type === "PodScheduled" && entry.status === "False",
    );
    found.set(key, {
      total: before.total + 1,
      ready: before.ready + (isInstanceUp(pod) ? 1 : 0),
      unschedulable: before.unschedulable ?? (stuck && `Pod ${pod.metadata.name}: ${stuck.message || stuck.reason}`),
    });
  }
  return found;
}

export function gatewayProgrammed(
  { gateway, accepted }: GatewayAttachment,
  { addresses, problems }: GatewayAddresses,
  instances: Instances = NO_INSTANCES,
): Condition {
  const { generation } = gateway.metadata;
  const not = (reason: string, message: string): Condition =>
    condition("Programmed", "False", reason, message, generation);
  if (accepted.status !== "True") return not("Invalid", `The Gateway is not accepted: ${accepted.message}`);
  // What a user asked for weighs more than what pools could not give.
  const first = problems.find(({ reason }) => reason === "AddressNotUsable") ?? problems[0];
  if (first !== undefined) return not(first.reason, joinMessages(problems.map(({ message }) => message)));
  if (addresses.length === 0) return not("AddressNotAssigned", "the Gateway asks for no address; see spec.addresses");
  if (instances.ready > 0) {
    const message = `${addresses.join(", ")} on ${instances.ready} of ${instances.total} instances.`;
    return condition("Programmed", "True", "Programmed", message, generation);
  }
  if (instances.unschedulable !== undefined) return not("NoResources", instances.unschedulable);
  const { namespace, name } = gateway.metadata;
  return not(
    "Pending",
    instances.total === 0
      ? `no Pod in namespace ${namespace} has the label ${GATEWAY_NAME_LABEL}=${name}: there is no instance yet`
      : `none of ${instances.total} instances is ready`,
  );
}

function listenerProgrammed(listener: ListenerAttachment, programmed: Condition, generation: number): Condition {
  if (!listener.valid || listener.supportedKinds.length === 0) {
    return condition(
      "Programmed",
      "False",
      "Invalid",
      "The listener is not valid; see its other conditions.",
      generation,
    );
  }
  return programmed.status === "True"
    ? condition("Programmed", "True", "Programmed", "The listener is programmed.", generation)
    : condition("Programmed", "False", "Pending", "The Gateway is not programmed; see its conditions.", generation);
}

export function gatewayStatus(
  attachment: GatewayAttachment,
  { addresses }: GatewayAddresses,
  programmed: Condition,
  deployed: Condition | undefined,
): StatusOf {
  const { generation } = attachment.gateway.metadata;
  return {
    addresses: addresses.map((value) => ({ type: "IPAddress", value })),
    conditions: [attachment.accepted, programmed, ...(deployed === undefined ? [] : [deployed])],
    listeners: attachment.listeners.map((entry) => ({
      name: entry.listener.name,
      attachedRoutes: entry.attachedRoutes,
      supportedKinds: entry.supportedKinds.map(({ group, kind }) => ({ group, kind })),
      conditions: [...entry.conditions, listenerProgrammed(entry, programmed, generation)],
    })),
  };
}

/** Undefined when there is nothing to say and nothing was said. Other controllers' entries of the atomic list stay. */
export function routeStatus(route: Route, reports: readonly RouteParentReport[]): StatusOf | undefined {
  const before = route.status?.parents ?? [];
  const foreign = before.filter(({ controllerName }) => controllerName !== CONTROLLER_NAME);
  if (reports.length === 0 && foreign.length === before.length) return undefined;
  const ours = reports.map(({ parentRef, conditions }) => ({ parentRef, controllerName: CONTROLLER_NAME, conditions }));
  return { parents: [...foreign, ...ours] };
}

export function gatewayClassStatus(view: ObjectView, { metadata, spec }: GatewayClass): StatusOf {
  const ref = spec.parametersRef;
  const found =
    ref === undefined ||
    (ref.group === API_GROUP &&
      ref.kind === "GatewayParameters" &&
      view.get("GatewayParameters", ref.namespace ?? "", ref.name) !== undefined);
  const accepted = found
    ? condition("Accepted", "True", "Accepted", "Gateways of this class are handled.", metadata.generation)
    : condition(
        "Accepted",
        "False",
        "InvalidParameters",
        `parametersRef must name a GatewayParameters (group ${API_GROUP}) with its namespace; there is no ` +
          `${ref.kind} ${ref.namespace ?? "?"}/${ref.name} of that kind`,
        metadata.generation,
      );
  return { conditions: [accepted], supportedFeatures: SUPPORTED_FEATURES.map((name) => ({ name })) };
}

export function parametersStatus(
  { metadata }: GatewayParameters,
  users: readonly GatewayAttachment[],
  instances: ReadonlyMap<string, Instances>,
): StatusOf {
  const names = users.map(({ gateway }) => gatewayKey(gateway));
  const inUse =
    names.length === 0
      ? condition("InUse", "False", "NotReferenced", "No Gateway uses these parameters.", metadata.generation)
      : condition("InUse", "True", "Referenced", `Used by Gateways ${names.join(", ")}.`, metadata.generation);
  return {
    replicas: names.reduce((sum, name) => sum + (instances.get(name)?.total ?? 0), 0),
    conditions: [condition("Accepted", "True", "Accepted", "The parameters are valid.", metadata.generation), inUse],
  };
}

export function poolStatus({ pool, unusable, families }: PoolUsage): StatusOf {
  const { generation } = pool.metadata;
  const accepted =
    unusable.length === 0
      ? condition("Accepted", "True", "Accepted", "All blocks of the pool are used.", generation)
      : condition("Accepted", "False", "BlocksNotUsable", joinMessages(unusable), generation);
  const full = families.filter(({ free }) => free <= 0n).map(({ family }) => `IPv${family}`);
  const available =
    full.length === 0 && families.length > 0
      ? condition("Available", "True", "AddressesFree", "Every family of the pool has free addresses.", generation)
      : condition(
          "Available",
          "False",
          "Exhausted",
          families.length === 0 ? "No block of the pool is usable." : `No ${full.join(" and no ")} address is free.`,
          generation,
        );
  const counts = families.map(({ family, used, free }) => [
    `ipv${family}`,
    { used: String(used), free: String(free < 0n ? 0n : free) },
  ]);
  return { ...Object.fromEntries(counts), conditions: [accepted, available] };
}
