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
      gatewaySelector: labelSelectorSchema
        .optional()
        .describe("Gateways of this namespace whose instances use this peer; all of them when absent."),
      type: z
        .enum(["BGP", "Static"])
        .default("BGP")
        .describe(
          "BGP: a session. Static: no session; the router is a fixed next hop and is told about VIPs by its own configuration.",
        ),
      address: ipField.describe("The router's address."),
      port: portField.default(179).describe("The router's TCP port for BGP."),
      interface: interfaceField
        .optional()
        .describe("The external interface towards the router; the one whose prefix holds the address when absent."),
      asn: asnField.optional().describe("The router's AS number; needed for BGP."),
      localAsn: asnField.optional().describe("Our own AS number; needed for BGP."),
      families: z
        .array(z.enum(["IPv4", "IPv6"]))
        .min(1)
        .max(2)
        .optional()
        .describe("Families to exchange; the family of the address when absent."),
      password: z
        .strictObject({
          secretRef: z
            .strictObject({
              name: nameField.describe("Name of the Secret."),
              key: z.string().min(1).default("password").describe("The key of the Secret that holds the password."),
            })
            .describe("A Secret of the same namespace."),
        })
        .optional()
        .describe("TCP MD5 signature (RFC 2385)."),
      ttlSecurity: z
        .boolean()
        .default(false)
        .describe("GTSM (RFC 5082): packets from the peer must arrive with a TTL of 255 (one hop)."),
      multihopTtl: z
        .int()
        .min(0)
        .max(255)
        .default(0)
        .describe("Hops to an external peer that is not on the link; 0 for a neighbour on the link."),
      holdTimeSeconds: z
        .int()
        .min(3)
        .max(65_535)
        .default(9)
        .describe("The session is lost after this time without a message from the router."),
      keepaliveSeconds: z
        .int()
        .min(1)
        .max(21_845)
        .optional()
        .describe("Time between keepalives, at most a third of the hold time; a third when absent."),
      connectRetrySeconds: z.int().min(1).max(65_535).default(5).describe("Time between attempts to connect."),
      gracefulRestart: z
        .strictObject({
          enabled: z.boolean().default(false).describe("Whether graceful restart is negotiated."),
          restartSeconds: z.int().min(1).max(4095).default(120).describe("How long routers keep our routes."),
        })
        .prefault({})
        .describe("Graceful restart (RFC 4724): routers keep our routes while an instance restarts."),
      bfd: z
        .strictObject({
          enabled: z.boolean().default(false).describe("Whether BFD watches the router."),
          intervalMs: z
            .int()
            .min(10)
            .max(60_000)
            .default(300)
            .describe("Wanted time between packets, both ways, in milliseconds."),
          multiplier: z
            .int()
            .min(2)
            .max(255)
            .default(3)
            .describe("So many intervals without a packet, and the router is lost."),
        })
        .prefault({})
        .describe(
          "BFD (RFC 5880, 5881) with a router on the link: one that is lost is not used until BFD is up again; a static one not before it is up.",
        ),
      advertise: z
        .strictObject({
          communities: z.array(communityField).max(64).default([]).describe("Communities such as 65000:100."),
          largeCommunities: z
            .array(largeCommunityField)
            .max(64)
            .default([])
            .describe("Large communities (RFC 8092) such as 65000:1:2."),
          localPreference: z.int().min(0).max(0xffffffff).optional().describe("LOCAL_PREF, for an internal peer."),
          med: z.int().min(0).max(0xffffffff).optional().describe("MULTI_EXIT_DISC."),
          prepend: z.int().min(0).max(16).default(0).describe("How many times our own AS number is prepended."),
        })
        .prefault({})
        .describe("What VIPs are announced with."),
      import: z
        .strictObject({
          prefixes: z
            .array(cidrField)
            .max(256)
            .default([])
            .describe("Prefixes that are taken; the default routes only when empty."),
          orLonger: z.boolean().default(false).describe("Also accept longer prefixes inside the prefixes."),
          maxPrefixes: z
            .int()
            .min(1)
            .max(1_000_000)
            .default(1000)
            .describe("The session is closed when the router announces more than this."),
        })
        .prefault({})
        .describe("What is taken from the router: routes for the replies. Everything else is refused."),
    })
    .describe("The router, and what is exchanged with it.")
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
            name: z.string().describe("Pod of the gateway instance."),
            state: z.string().describe("Established, Connecting, PrefixLimit, Static, BfdDown or Refused."),
            since: z.string().optional().describe("When the state was reached."),
            message: z.string().optional().describe("What the instance tries, or why it cannot."),
            bfd: z
              .looseObject({
                state: z.string().describe("AdminDown, Down, Init or Up (RFC 5880)."),
                remoteState: z.string().optional().describe("The state that the router says it is in."),
                falls: z.int().optional().describe("How often it fell since it began."),
                message: z.string().optional().describe("Why it fell last, or cannot work."),
              })
              .optional()
              .describe("BFD with the router; absent without."),
          }),
        )
        .default([])
        .describe("The session of every instance."),
      conditions: z.array(conditionSchema).default([]).describe("Accepted, Established."),
    })
    .optional()
    .describe("Written by the gateway instances and the controller."),
});
export type BgpPeer = z.infer<typeof bgpPeerSchema>;
