import { z } from "zod";
import { asnField, cidrField, interfaceField, ipField, nameField, portField } from "./fields.ts";
import { conditionSchema, labelSelectorSchema, namespacedMetaSchema } from "./meta.ts";
import { API_VERSION } from "./names.ts";

const communityField = z
  .string()
  .regex(/^[0-9]{1,5}:[0-9]{1,5}$/, "must be a community such as 65000:100")
  .refine(
    (text) => text.split(":").every((part) => Number(part) <= 65535),
    "both halves of a community are at most 65535",
  );
const largeCommunityField = z
  .string()
  .regex(/^[0-9]{1,10}:[0-9]{1,10}:[0-9]{1,10}$/, "must be a large community such as 65000:1:2")
  .refine(
    (text) => text.split(":").every((part) => Number(part) <= 0xffffffff),
    "each part of a large community is at most 4294967295",
  );

/** `causeway.dev/v1alpha1 BgpPeer`: a router that the Gateways' instances of this namespace speak to. */
export const bgpPeerSchema = z.strictObject({
  apiVersion: z.literal(API_VERSION),
  kind: z.literal("BgpPeer"),
  metadata: namespacedMetaSchema,
  spec: z
    .strictObject({
      /** Gateways of this namespace whose instances use this peer; all of them when absent. */
      gatewaySelector: labelSelectorSchema.optional(),
      /** BGP: a session. Static: no session; the router is a fixed next hop and is told about VIPs by its own configuration. */
      type: z.enum(["BGP", "Static"]).default("BGP"),
      address: ipField,
      port: portField.default(179),
      /** The external interface towards the router; the one whose prefix holds `address` when absent. */
      interface: interfaceField.optional(),
      asn: asnField.optional(),
      localAsn: asnField.optional(),
      /** Families to exchange. The family of `address` when absent. */
      families: z
        .array(z.enum(["IPv4", "IPv6"]))
        .min(1)
        .max(2)
        .optional(),
      /** TCP MD5 signature (RFC 2385): a key of a Secret in the same namespace. */
      password: z
        .strictObject({ secretRef: z.strictObject({ name: nameField, key: z.string().min(1).default("password") }) })
        .optional(),
      /** GTSM (RFC 5082): packets from the peer must arrive with a TTL of 255 (one hop). */
      ttlSecurity: z.boolean().default(false),
      /** Hops to an external peer that is not on the link; 0 for a neighbour on the link. */
      multihopTtl: z.int().min(0).max(255).default(0),
      holdTimeSeconds: z.int().min(3).max(65_535).default(9),
      keepaliveSeconds: z.int().min(1).max(21_845).optional(),
      connectRetrySeconds: z.int().min(1).max(65_535).default(5),
      gracefulRestart: z
        .strictObject({ enabled: z.boolean().default(false), restartSeconds: z.int().min(1).max(4095).default(120) })
        .prefault({}),
      /** BFD (RFC 5880) beside the session. */
      bfd: z
        .strictObject({
          enabled: z.boolean().default(false),
          intervalMs: z.int().min(10).max(60_000).default(300),
          multiplier: z.int().min(2).max(255).default(3),
        })
        .prefault({}),
      /** What VIPs are announced with. */
      advertise: z
        .strictObject({
          communities: z.array(communityField).max(64).default([]),
          largeCommunities: z.array(largeCommunityField).max(64).default([]),
          localPreference: z.int().min(0).max(0xffffffff).optional(),
          med: z.int().min(0).max(0xffffffff).optional(),
          /** How many times our own AS number is prepended. */
          prepend: z.int().min(0).max(16).default(0),
        })
        .prefault({}),
      /** What is taken from the router: routes for the replies. Everything else is refused. */
      import: z
        .strictObject({
          prefixes: z.array(cidrField).max(256).default([]),
          /** Also accept longer prefixes inside `prefixes`. */
          orLonger: z.boolean().default(false),
          /** The session is closed when the router announces more than this. */
          maxPrefixes: z.int().min(1).max(1_000_000).default(1000),
        })
        .prefault({}),
    })
    .superRefine((spec, context) => {
      const issue = (path: string[], message: string): void => context.addIssue({ code: "custom", path, message });
      if (spec.type === "BGP") {
        if (spec.asn === undefined) issue(["asn"], "a BGP peer needs the router's AS number");
        if (spec.localAsn === undefined) issue(["localAsn"], "a BGP peer needs our own AS number");
      }
      if (spec.ttlSecurity && spec.multihopTtl > 0)
        issue(["ttlSecurity"], "excludes multihopTtl: a router beyond the link cannot pass GTSM");
      if (spec.keepaliveSeconds !== undefined && spec.keepaliveSeconds * 3 > spec.holdTimeSeconds) {
        issue(["keepaliveSeconds"], `must be at most a third of holdTimeSeconds (${spec.holdTimeSeconds})`);
      }
    }),
  status: z
    .looseObject({
      instances: z
        .array(
          z.looseObject({
            /** Pod of the gateway instance. */
            name: z.string(),
            state: z.string(),
            since: z.string().optional(),
            message: z.string().optional(),
          }),
        )
        .default([]),
      conditions: z.array(conditionSchema).default([]),
    })
    .optional(),
});
export type BgpPeer = z.infer<typeof bgpPeerSchema>;
