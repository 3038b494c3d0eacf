import { z } from "zod";
import { rangesOverlap } from "../net/ip.ts";
import { addressBlockField } from "./fields.ts";
import { clusterMetaSchema, conditionSchema, labelSelectorSchema } from "./meta.ts";
import { API_VERSION } from "./names.ts";

const familyUsageSchema = z.looseObject({
  used: z.string().describe("Addresses that Gateways hold, as decimal text."),
  /** Text: an IPv6 prefix holds more addresses than a JSON number can count. */
  free: z.string().describe("Addresses that can be given out, as decimal text."),
});

/** `causeway.dev/v1alpha1 AddressPool` (cluster-scoped): where Gateways' VIPs come from. */
export const addressPoolSchema = z.strictObject({
  apiVersion: z.literal(API_VERSION),
  kind: z.literal("AddressPool"),
  metadata: clusterMetaSchema,
  spec: z
    .strictObject({
      addresses: z
        .array(addressBlockField)
        .min(1)
        .max(64)
        .describe("Prefixes and ranges (first-last), IPv4 and IPv6, that do not overlap."),
      avoidBuggyIPs: z
        .boolean()
        .default(false)
        .describe("Leaves out IPv4 addresses that end in .0 and .255, which some equipment refuses."),
      autoAssign: z
        .boolean()
        .default(true)
        .describe("false: only addresses that a Gateway asks for by value or by pool name are given out."),
      priority: z.int().min(-1000).max(1000).default(0).describe("Higher is tried first; equal priorities by name."),
      gatewaySelector: labelSelectorSchema
        .optional()
        .describe("Gateways that may take from this pool; all of them when absent."),
      namespaces: z
        .array(z.string())
        .min(1)
        .optional()
        .describe("Namespaces whose Gateways may take from this pool; all of them when absent."),
    })
    .describe("Which addresses the pool holds, and who may have them.")
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
      ipv4: familyUsageSchema.optional().describe("IPv4 addresses of the pool; absent when it has none."),
      ipv6: familyUsageSchema.optional().describe("IPv6 addresses of the pool; absent when it has none."),
      conditions: z.array(conditionSchema).default([]).describe("Accepted, Available."),
    })
    .optional()
    .describe("Written by the controller."),
});
export type AddressPool = z.infer<typeof addressPoolSchema>;
