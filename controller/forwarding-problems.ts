import type { EndpointSlice } from "#shared/api/core.ts";
import { describeRef } from "#shared/api/kinds.ts";
import type { Condition } from "#shared/api/meta.ts";
import type { Attachments, RouteParentReport } from "#shared/resolve/attachment-types.ts";
import { condition } from "#shared/resolve/conditions.ts";
import { resolveIntent } from "#shared/resolve/intent.ts";
import type { Problem } from "#shared/resolve/intent-types.ts";
import { TableCache } from "#shared/resolve/tables.ts";
import { ForwardingInputs } from "./forwarding-inputs.ts";
import { gatewayKey } from "./plan-addresses.ts";

/** What was found for a Gateway, and of what. */
interface Finding {
  readonly inputs: readonly string[];
  readonly problems: readonly Problem[];
}

/**
 * Our own condition on a route's parent: False while instances cannot forward the route as it asks, though the Gateway
 * API accepts it (a port that DSR would have to translate, a reply that NAT could not tell apart, a network without an
 * interface). Absent while all is well.
 */
const PROGRAMMED_CONDITION = "causeway.dev/Programmed";

/** What instances of all Gateways could not forward, found by the function that the instances themselves use. */
export class ForwardingProblems {
  readonly #caches = new Map<string, TableCache>();
  readonly #inputs = new ForwardingInputs();
  readonly #resolve: typeof resolveIntent;
  #byGateway: ReadonlyMap<string, Finding> = new Map();

  constructor(resolve: typeof resolveIntent = resolveIntent) {
    this.#resolve = resolve;
  }

  /** Whether a slice's change can have changed anything. @param slice undefined when it is gone. */
  concerns(key: string, slice: EndpointSlice | undefined): boolean {
    return this.#inputs.matters(key, slice);
  }

  /**
   * Of a Gateway for which nothing is different that could matter, the last findings stand: resolving hundreds of routes
   * takes a quarter of a second, in which no change of a pod would be passed on.
   * @returns whether anything is different from the last time.
   */
  refresh(attachments: Attachments, slices: readonly EndpointSlice[]): boolean {
    const before = this.#byGateway;
    const inputsOf = this.#inputs.reader(attachments, slices);
    this.#byGateway = new Map(
      attachments.gateways.map(({ gateway }) => {
        const key = gatewayKey(gateway);
        const inputs = inputsOf(gateway.metadata);
        const last = before.get(key);
        if (last !== undefined && sameTexts(last.inputs, inputs)) return [key, last];
        const cache = this.#caches.get(key) ?? new TableCache();
        this.#caches.set(key, cache);
        return [key, { inputs, problems: this.#resolve(attachments, slices, gateway.metadata, cache)?.problems ?? [] }];
      }),
    );
    for (const key of this.#caches.keys()) if (!this.#byGateway.has(key)) this.#caches.delete(key);
    return JSON.stringify(problemsOf(before)) !== JSON.stringify(problemsOf(this.#byGateway));
  }

  /** The report's own conditions, and ours where the Gateway's instances cannot do as the route asks. */
  conditionsOf({ route, parentRef, conditions }: RouteParentReport): readonly Condition[] {
    const gateway = `${parentRef.namespace ?? route.metadata.namespace}/${parentRef.name}`;
    const { namespace, name, generation } = route.metadata;
    const own = (this.#byGateway.get(gateway)?.problems ?? []).filter(
      (problem) =>
        problem.route.kind === route.kind && problem.route.namespace === namespace && problem.route.name === name,
    );
    const [first] = own;
    if (first === undefined) return conditions;
    const message = own.map((problem) => `${describeRef(problem.object)}: ${problem.message}`).join("; ");
    return [...conditions, condition(PROGRAMMED_CONDITION, "False", first.reason, message, generation)];
  }
}

function sameTexts(a: readonly string[], b: readonly string[]): boolean {
  return a.length === b.length && a.every((text, index) => text === b[index]);
}

/** Gateways without problems are left out: one that comes or goes changes nothing. */
function problemsOf(findings: ReadonlyMap<string, Finding>): readonly unknown[] {
  return [...findings].flatMap(([key, { problems }]) => (problems.length === 0 ? [] : [[key, problems]]));
}
