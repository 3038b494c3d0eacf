import type { EndpointSlice } from "#shared/api/core.ts";
import { describeRef } from "#shared/api/kinds.ts";
import type { Condition } from "#shared/api/meta.ts";
import type { Attachments, RouteParentReport } from "#shared/resolve/attachment-types.ts";
import { condition } from "#shared/resolve/conditions.ts";
import { resolveIntent } from "#shared/resolve/intent.ts";
import type { Problem } from "#shared/resolve/intent-types.ts";
import { TableCache } from "#shared/resolve/tables.ts";
import { gatewayKey } from "./plan-addresses.ts";

/**
 * Our own condition on a route's parent: False while instances cannot forward the route as it asks, though the Gateway
 * API accepts it (a port that DSR would have to translate, a reply that NAT could not tell apart, a network without an
 * interface). Absent while all is well.
 */
const PROGRAMMED_CONDITION = "causeway.dev/Programmed";

/** What instances of all Gateways could not forward, found by the function that the instances themselves use. */
export class ForwardingProblems {
  readonly #caches = new Map<string, TableCache>();
  #byGateway: ReadonlyMap<string, readonly Problem[]> = new Map();

  /** @returns whether anything is different from the last time. */
  refresh(attachments: Attachments, slices: readonly EndpointSlice[]): boolean {
    const before = JSON.stringify([...this.#byGateway]);
    this.#byGateway = new Map(
      attachments.gateways.flatMap(({ gateway }) => {
        const key = gatewayKey(gateway);
        const cache = this.#caches.get(key) ?? new TableCache();
        this.#caches.set(key, cache);
        const problems = resolveIntent(attachments, slices, gateway.metadata, cache)?.problems ?? [];
        return problems.length === 0 ? [] : [[key, problems] as const];
      }),
    );
    const known = new Set(attachments.gateways.map(({ gateway }) => gatewayKey(gateway)));
    for (const key of this.#caches.keys()) if (!known.has(key)) this.#caches.delete(key);
    return JSON.stringify([...this.#byGateway]) !== before;
  }

  /** The report's own conditions, and ours where the Gateway's instances cannot do as the route asks. */
  conditionsOf({ route, parentRef, conditions }: RouteParentReport): readonly Condition[] {
    const gateway = `${parentRef.namespace ?? route.metadata.namespace}/${parentRef.name}`;
    const { namespace, name, generation } = route.metadata;
    const own = (this.#byGateway.get(gateway) ?? []).filter(
      (problem) =>
        problem.route.kind === route.kind && problem.route.namespace === namespace && problem.route.name === name,
    );
    const [first] = own;
    if (first === undefined) return conditions;
    const message = own.map((problem) => `${describeRef(problem.object)}: ${problem.message}`).join("; ");
    return [...conditions, condition(PROGRAMMED_CONDITION, "False", first.reason, message, generation)];
  }
}
