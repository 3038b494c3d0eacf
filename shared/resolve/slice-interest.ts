import { BUILT_IN_SLICES, SLICE_MANAGED_BY_LABEL } from "../api/names.ts";
import type { Interest } from "../store/object-store.ts";

/** The slices that targets come from: all but the built-in controller's, which are most of a cluster's. */
export const SLICES_THAT_COUNT: Interest = {
  kind: "EndpointSlice",
  matchExpressions: [{ key: SLICE_MANAGED_BY_LABEL, operator: "NotIn", values: [BUILT_IN_SLICES] }],
};
