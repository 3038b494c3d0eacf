import type { AnyObject } from "#shared/api/kinds.ts";
import { GATEWAY_NAME_LABEL, NETWORK_STATUS_ANNOTATION, POD_READY_CONDITION } from "#shared/api/names.ts";
import { object } from "../support/scenario.ts";

export interface PodOptions {
  readonly name: string;
  readonly ips: readonly string[];
  readonly network?: string;
  readonly interface?: string;
  /** The Gateway that the Pod is an instance of. */
  readonly gateway?: string;
  /** Families for which the instance is ready; both by default. */
  readonly live?: readonly (4 | 6)[];
  /** false: somebody else says how the Pod is. */
  readonly ready?: boolean;
}

/** A Pod as Multus, the kubelet and the frontend write it. */
export function pod({ name, ips, network = "default/svc-net", live = [4, 6], ...rest }: PodOptions): AnyObject {
  const attachment = { name: network, interface: rest.interface ?? "svc0", ips };
  const ready = live.map((family) => ({ type: POD_READY_CONDITION[family], status: "True" }));
  return object({
    apiVersion: "v1",
    kind: "Pod",
    metadata: {
      name,
      namespace: "default",
      ...(rest.gateway === undefined ? {} : { labels: { [GATEWAY_NAME_LABEL]: rest.gateway } }),
      annotations: { [NETWORK_STATUS_ANNOTATION]: JSON.stringify([{ name: "cbr0", ips: [] }, attachment]) },
    },
    ...(rest.ready === false
      ? {}
      : { status: { phase: "Running", conditions: [{ type: "Ready", status: "True" }, ...ready] } }),
  });
}
