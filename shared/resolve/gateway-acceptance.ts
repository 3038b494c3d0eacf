import type { Gateway, GatewayClass } from "../api/gateway.ts";
import type { GatewayParameters } from "../api/gateway-parameters.ts";
import type { Condition } from "../api/meta.ts";
import { API_GROUP } from "../api/names.ts";
import type { ObjectView } from "../store/object-store.ts";
import { condition } from "./conditions.ts";
import type { EvaluatedListener } from "./listeners.ts";

type ParametersResolution =
  | { readonly parameters: GatewayParameters }
  | { readonly parameters: undefined; readonly problem: string };

/** The GatewayParameters of a Gateway: its own reference, or that of its class. */
export function resolveParameters(
  view: ObjectView,
  gateway: Gateway,
  gatewayClass: GatewayClass,
): ParametersResolution {
  const own = gateway.spec.infrastructure?.parametersRef;
  const ref = own ?? gatewayClass.spec.parametersRef;
  if (ref === undefined) {
    return {
      parameters: undefined,
      problem:
        "neither spec.infrastructure.parametersRef nor the parametersRef of " +
        `GatewayClass ${gatewayClass.metadata.name} names a GatewayParameters; it says on which networks to forward`,
    };
  }
  const field = own === undefined ? `parametersRef of GatewayClass ${gatewayClass.metadata.name}` : "parametersRef";
  if (ref.group !== API_GROUP || ref.kind !== "GatewayParameters") {
    const problem = `${field} names ${ref.kind}.${ref.group}; it must name a GatewayParameters.${API_GROUP}`;
    return { parameters: undefined, problem };
  }
  const namespace = own === undefined ? gatewayClass.spec.parametersRef?.namespace : gateway.metadata.namespace;
  if (namespace === undefined) {
    return { parameters: undefined, problem: `${field} needs a namespace: GatewayParameters live in one` };
  }
  const parameters = view.get("GatewayParameters", namespace, ref.name);
  return parameters === undefined
    ? { parameters, problem: `${field} names GatewayParameters ${namespace}/${ref.name}, which does not exist` }
    : { parameters };
}

/** The Gateway's condition Accepted. */
export function gatewayAccepted(
  gateway: Gateway,
  parameters: ParametersResolution,
  listeners: readonly EvaluatedListener[],
): Condition {
  const { generation } = gateway.metadata;
  const refuse = (reason: string, message: string): Condition =>
    condition("Accepted", "False", reason, message, generation);
  if (parameters.parameters === undefined) return refuse("InvalidParameters", parameters.problem);
  const unsupported = gateway.spec.addresses.findIndex(({ type }) => type === "Hostname");
  if (unsupported >= 0) {
    return refuse(
      "UnsupportedAddress",
      `spec.addresses[${unsupported}] is of type Hostname; use IPAddress or causeway.dev/AddressPool`,
    );
  }
  const names = (valid: boolean): string =>
    listeners.flatMap((entry) => (entry.valid === valid ? [entry.listener.name] : [])).join(", ");
  const invalid = names(false);
  if (invalid === "") return condition("Accepted", "True", "Accepted", "The Gateway is valid.", generation);
  const valid = names(true);
  if (valid === "") {
    return refuse("ListenersNotValid", `no listener is valid (${invalid}); see their conditions`);
  }
  const message = `listeners not valid: ${invalid}; accepted: ${valid}; see the listeners' conditions`;
  return condition("Accepted", "True", "ListenersNotValid", message, generation);
}
