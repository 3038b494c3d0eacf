import { z } from "zod";
import { type Condition, conditionSchema } from "#shared/api/meta.ts";
import { CONTROLLER_NAME, GATEWAY_GROUP } from "#shared/api/names.ts";
import { condition } from "#shared/resolve/conditions.ts";
import type { ObjectView, StatusOf } from "#shared/store/object-store.ts";
import type { Refusal } from "#shared/store/refusals.ts";
import { isRecord } from "./covers.ts";

/** What can be read of an object that cannot be read. */
const routeSchema = z.looseObject({
  metadata: z.looseObject({ namespace: z.string() }),
  spec: z.looseObject({
    parentRefs: z.array(
      z.looseObject({
        group: z.string().default(GATEWAY_GROUP),
        kind: z.string().default("Gateway"),
        namespace: z.string().optional(),
        name: z.string(),
      }),
    ),
  }),
});
const gatewaySchema = z.looseObject({
  spec: z.looseObject({ gatewayClassName: z.string() }),
  status: z.looseObject({ conditions: z.array(conditionSchema).default([]) }).prefault({}),
});
const statusSchema = z.looseObject({ status: z.looseObject({}) });

function isOurs(view: ObjectView, className: string): boolean {
  return view.get("GatewayClass", "", className)?.spec.controllerName === CONTROLLER_NAME;
}

function replaced(conditions: unknown, next: Condition): readonly unknown[] {
  const others = Array.isArray(conditions) ? conditions : [];
  return [next, ...others.filter((entry: unknown) => !isRecord(entry) || entry.type !== next.type)];
}

/** The object's status as the API server holds it. */
export function currentStatus({ value }: Refusal): unknown {
  const parsed = statusSchema.safeParse(value);
  return parsed.success ? parsed.data.status : {};
}

function routeParents(view: ObjectView, refusal: Refusal, accepted: Condition): StatusOf | undefined {
  const route = routeSchema.safeParse(refusal.value);
  if (!route.success) return undefined;
  const { metadata, spec } = route.data;
  const parents = spec.parentRefs.flatMap((parentRef) => {
    const { group, kind, namespace = metadata.namespace, name } = parentRef;
    const gateway = view.get("Gateway", namespace, name);
    const isParent = group === GATEWAY_GROUP && kind === "Gateway" && gateway !== undefined;
    return isParent && isOurs(view, gateway.spec.gatewayClassName)
      ? [{ parentRef, controllerName: CONTROLLER_NAME, conditions: [accepted] }]
      : [];
  });
  return parents.length === 0 ? undefined : { parents };
}

/**
 * What an object that is refused says in its status: `Accepted` is False, with field and fix.
 * @param status What its last good version, which stays in force, would say; undefined: there is none.
 * @returns undefined when it is not ours to speak of.
 */
export function refusedStatus(view: ObjectView, refusal: Refusal, status: StatusOf | undefined): StatusOf | undefined {
  const { ref, message, generation } = refusal;
  const say = (reason: string): Condition =>
    condition(
      "Accepted",
      "False",
      reason,
      `${message}; the last version without this, if there was one, stays in force`,
      generation,
    );
  switch (ref.kind) {
    case "AddressPool":
    case "BgpPeer":
    case "GatewayParameters":
    case "HealthCheck":
      return { ...status, conditions: replaced(status?.conditions, say("Invalid")) };
    case "FlowRoute":
    case "TCPRoute":
    case "UDPRoute": {
      const accepted = say("UnsupportedValue");
      if (!Array.isArray(status?.parents)) return routeParents(view, refusal, accepted);
      const parents = status.parents.map((entry: unknown) =>
        isRecord(entry) && entry.controllerName === CONTROLLER_NAME
          ? { ...entry, conditions: replaced(entry.conditions, accepted) }
          : entry,
      );
      return { ...status, parents };
    }
    case "Gateway": {
      const accepted = say("Invalid");
      if (status !== undefined) return { ...status, conditions: replaced(status.conditions, accepted) };
      const gateway = gatewaySchema.safeParse(refusal.value);
      if (!gateway.success || !isOurs(view, gateway.data.spec.gatewayClassName)) return undefined;
      // Its VIPs stay its own.
      const { addresses, listeners } = gateway.data.status;
      return { addresses: addresses ?? [], listeners: listeners ?? [], conditions: [accepted] };
    }
    default:
      return undefined;
  }
}
