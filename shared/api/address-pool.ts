import { z } from "zod";
import { rangesOverlap } from "../net/ip.ts";
import { addressBlockField } from "./fields.ts";
import { clusterMetaSchema, conditionSchema, labelSelectorSchema } from "./meta.ts";
import { API_VERSION } from "./names.ts";

/** `causeway.dev/v1alpha1 AddressPool` (cluster-scoped): where Gateways' VIPs come from. */
export const addressPoolSchema = z.strictObject({
  apiVersion: z.literal(API_VERSION),
  kind: z.literal("AddressPool"),
  metadata: clusterMetaSchema,
  spec: z
    .strictObject({
      /** Prefixes and ranges, IPv4 and IPv6. */
      addresses: z.array(addressBlockField).min(1).max(64),
      /** Leaves out IPv4 addresses that end in .0 and .255, which some equipment refuses. */
      avoidBuggyIPs: z.boolean().default(false),
      /** false: only addresses that a Gateway asks for by value or by pool name are given out. */
      autoAssign: z.boolean().default(true),
      /** Higher is tried first; equal priorities by name. */
      priority: z.int().min(-1000).max(1000).default(0),
      /** Gateways that may take from this pool; all of them when absent. */
      gatewaySelector: labelSelectorSchema.optional(),
      /** Namespaces whose Gateways may take from this pool; all of them when absent. */
      namespaces: z.array(z.string()).min(1).optional(),
    })
    .superRefine((spec, context) => {
      spec.addresses.forEach((block, index) => {
        const other = spec.addresses.slice(0, index).find((earlier) => rangesOverlap(earlier, block));
        if (other) {
          context.addIssue({
            code: "custom",
            path: ["addresses", index],
            message: `${block.text} overlaps ${other.text} of the same pool; remove one of the two`,
          });
        }
      });
    }),
  status: z
    .looseObject({
      /** Decimal text: an IPv6 prefix holds more addresses than a JSON number can count. */
      ipv4: z.looseObject({ used: z.string(), free: z.string() }).optional(),
      ipv6: z.looseObject({ used: z.string(), free: z.string() }).optional(),
      conditions: z.array(conditionSchema).default([]),
    })
    .optional(),
});
export type AddressPool = z.infer<typeof addressPoolSchema>;
