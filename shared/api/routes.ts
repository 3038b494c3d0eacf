import { z } from "zod";
import { cidrField, nameField, type PortRange, portField, portRangeField, weightField } from "./fields.ts";
import { conditionSchema, namespacedMetaSchema } from "./meta.ts";
import { API_VERSION } from "./names.ts";

const parentRefSchema = z.strictObject({
  group: z.string().default("gateway.networking.k8s.io").describe("API group of the parent."),
  kind: z.string().default("Gateway").describe("Kind of the parent."),
  namespace: nameField.optional().describe("Namespace of the parent; the route's own when absent."),
  name: nameField.describe("Name of the parent."),
  sectionName: nameField.optional().describe("Listener of the parent; every one that fits when absent."),
  port: portField.optional().describe("Only listeners of this port."),
});
export type ParentRef = z.infer<typeof parentRefSchema>;

const backendRefSchema = z.strictObject({
  group: z.string().default("").describe("API group of the backend."),
  kind: z.string().default("Service").describe("Kind of the backend."),
  namespace: nameField
    .optional()
    .describe("Namespace of the backend; the route's own when absent. Another one must grant it (ReferenceGrant)."),
  name: nameField.describe("Name of the backend."),
  port: portField.optional().describe("Port of the Service."),
  weight: weightField
    .default(1)
    .describe("Share of new flows, relative to the other backends of the rule; 0 takes none."),
});
export type BackendRef = z.infer<typeof backendRefSchema>;

const routeStatusSchema = z
  .looseObject({
    parents: z
      .array(
        z.looseObject({
          parentRef: parentRefSchema.describe("The parent as the route names it."),
          controllerName: z.string().describe("Who wrote this entry."),
          conditions: z.array(conditionSchema).default([]).describe("Accepted, ResolvedRefs."),
        }),
      )
      .default([])
      .describe("What became of the route at each parent."),
  })
  .optional()
  .describe("Written by the controller.");

const useDefaultGateways = z.string().optional();
const l4RouteSpec = z.strictObject({
  parentRefs: z.array(parentRefSchema).max(32).default([]),
  useDefaultGateways,
  rules: z
    .array(z.strictObject({ name: nameField.optional(), backendRefs: z.array(backendRefSchema).min(1).max(16) }))
    .length(1, "must hold exactly one rule"),
});

const gatewayVersions = z.enum(["gateway.networking.k8s.io/v1", "gateway.networking.k8s.io/v1alpha2"]);

/** Gateway API `TCPRoute` (v1 and v1alpha2 have the same shape). */
export const tcpRouteSchema = z.strictObject({
  apiVersion: gatewayVersions,
  kind: z.literal("TCPRoute"),
  metadata: namespacedMetaSchema,
  spec: l4RouteSpec,
  status: routeStatusSchema,
});
type TcpRoute = z.infer<typeof tcpRouteSchema>;

/** Gateway API `UDPRoute` (v1 and v1alpha2 have the same shape). */
export const udpRouteSchema = tcpRouteSchema.extend({ kind: z.literal("UDPRoute") });
type UdpRoute = z.infer<typeof udpRouteSchema>;

/** Gateway API `ReferenceGrant`. */
export const referenceGrantSchema = z.strictObject({
  apiVersion: z.enum(["gateway.networking.k8s.io/v1", "gateway.networking.k8s.io/v1beta1"]),
  kind: z.literal("ReferenceGrant"),
  metadata: namespacedMetaSchema,
  spec: z.strictObject({
    from: z
      .array(z.strictObject({ group: z.string(), kind: z.string(), namespace: nameField }))
      .min(1)
      .max(16),
    to: z
      .array(z.strictObject({ group: z.string(), kind: z.string(), name: nameField.optional() }))
      .min(1)
      .max(16),
  }),
});
export type ReferenceGrant = z.infer<typeof referenceGrantSchema>;

const PROTOCOLS = ["TCP", "UDP", "SCTP"] as const;
export const protocolField = z.enum(PROTOCOLS);
export type Protocol = z.infer<typeof protocolField>;

/** Ends the judgement of a match when it is none: what compares mask and value counts with numbers. */
const hexField = z
  .string()
  .regex(/^0x[0-9a-fA-F]{1,8}$/, { error: "must be hexadecimal, at most 32 bits, for example 0x1f", abort: true });

/**
 * Bytes that a packet must hold: `width` bytes at `offset` bytes from the beginning of the transport header, masked,
 * equal to `value`. TCP options make a payload's offset vary; offsets count from the header, as nftables' @th does.
 */
const byteMatchSchema = z
  .strictObject({
    offset: z.int().min(0).max(1024).describe("Bytes from the beginning of the transport header."),
    width: z.union([z.literal(1), z.literal(2), z.literal(4)]).describe("Bytes to compare: 1, 2 or 4."),
    mask: hexField.optional().describe("Bits to compare, hexadecimal; all of them when absent."),
    value: hexField.describe("What the masked bytes must be, hexadecimal."),
  })
  .superRefine(({ width, mask, value }, context) => {
    const limit = 2 ** (8 * width);
    for (const [field, text] of [
      ["mask", mask],
      ["value", value],
    ] as const) {
      if (text !== undefined && Number(text) >= limit) {
        context.addIssue({ code: "custom", path: [field], message: `${text} does not fit into ${width} byte(s)` });
      }
    }
    if (mask !== undefined && (BigInt(value) & ~BigInt(mask)) !== 0n) {
      context.addIssue({
        code: "custom",
        path: ["value"],
        message: `${value} has bits outside the mask ${mask}: it can never match`,
      });
    }
  });
export type ByteMatch = z.infer<typeof byteMatchSchema>;

/** Ports of a match; empty means any. */
export type PortRangeList = readonly PortRange[];

/** `causeway.dev/v1alpha1 FlowRoute`: what TCPRoute and UDPRoute cannot say. All fields of a match must hold. */
export const flowRouteSchema = z.strictObject({
  apiVersion: z.literal(API_VERSION),
  kind: z.literal("FlowRoute"),
  metadata: namespacedMetaSchema,
  spec: z
    .strictObject({
      parentRefs: z
        .array(parentRefSchema)
        .min(1)
        .max(32)
        .describe("Gateways and listeners that the route attaches to."),
      priority: z
        .int()
        .min(-1_000_000)
        .max(1_000_000)
        .default(0)
        .describe(
          "Higher wins; equal priorities rank by age, then namespace and name. TCPRoute and UDPRoute rank as 0 and " +
            "come before the FlowRoutes of priority 0.",
        ),
      match: z
        .strictObject({
          protocols: z
            .array(protocolField)
            .min(1)
            .max(3)
            .default(["TCP", "UDP", "SCTP"])
            .describe("Transport protocols."),
          destinations: z
            .array(cidrField)
            .max(64)
            .default([])
            .describe("Prefixes that hold some of the Gateway's VIPs; all VIPs when empty."),
          sources: z.array(cidrField).max(256).default([]).describe("Prefixes of clients; any when empty."),
          destinationPorts: z
            .array(portRangeField)
            .max(64)
            .default([])
            .describe("Ports, or ranges such as 5000-5999; any when empty."),
          sourcePorts: z
            .array(portRangeField)
            .max(64)
            .default([])
            .describe("Ports of clients, or ranges such as 5000-5999; any when empty."),
          byteMatches: z
            .array(byteMatchSchema)
            .max(8)
            .default([])
            .describe("Bytes that a packet must hold, counted from the transport header."),
        })
        .prefault({})
        .describe("Which flows the route takes. All fields must hold."),
      backendRefs: z.array(backendRefSchema).min(1).max(16).describe("Services that take the flows."),
    })
    .describe("Which flows go where."),
  status: routeStatusSchema,
});
type FlowRoute = z.infer<typeof flowRouteSchema>;
export type Route = TcpRoute | UdpRoute | FlowRoute;
