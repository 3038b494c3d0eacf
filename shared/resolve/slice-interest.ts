import type { Service } from "../api/core.ts";
import { BUILT_IN_SLICES, SLICE_MANAGED_BY_LABEL, SLICE_SERVICE_LABEL } from "../api/names.ts";
import type { Interest } from "../store/object-store.ts";
import type { GatewayAttachment } from "./attachment-types.ts";
import { isOrdinary } from "./targets.ts";

/** The slices that targets come from: all but the built-in controller's, which are most of a cluster's. */
export const SLICES_THAT_COUNT: Interest = {
  kind: "EndpointSlice",
  matchExpressions: [{ key: SLICE_MANAGED_BY_LABEL, operator: "NotIn", values: [BUILT_IN_SLICES] }],
};

/** Names in one request: it is a part of the URL. */
const NAMES = 100;

/** The names, in order, of the ordinary Services that routes of these Gateways name. */
export function ordinaryServices(gateways: readonly GatewayAttachment[]): readonly string[] {
  const services = gateways.flatMap(({ routes }) => routes.flatMap(({ backends }) => backends.map((b) => b.service)));
  return [
    ...new Set(services.filter((service: Service) => isOrdinary(service)).map(({ metadata }) => metadata.name)),
  ].sort();
}

/** The built-in controller's slices of Services with these names, in whatever namespace. */
export function builtInSlices(names: readonly string[]): readonly Interest[] {
  const interests: Interest[] = [];
  for (let at = 0; at < names.length; at += NAMES) {
    interests.push({
      kind: "EndpointSlice",
      matchExpressions: [
        { key: SLICE_MANAGED_BY_LABEL, operator: "In", values: [BUILT_IN_SLICES] },
        { key: SLICE_SERVICE_LABEL, operator: "In", values: names.slice(at, at + NAMES) },
      ],
    });
  }
  return interests;
}
