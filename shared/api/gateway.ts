import { z } from "zod";
import { ipField, labelField, nameField, portField } from "./fields.ts";
import { clusterMetaSchema, conditionSchema, labelSelectorSchema, namespacedMetaSchema } from "./meta.ts";

/** Gateway API v1 `GatewayClass`. */
export const gatewayClassSchema = z.strictObject({
  apiVersion: z.literal("gateway.networking.k8s.io/v1"),
  kind: z.literal("GatewayClass"),
  metadata: clusterMetaSchema,
  spec: z.strictObject({
    controllerName: z.string().min(1),
    description: z.string().max(64).optional(),
    /** Defaults for Gateways of this class; a Gateway's own `infrastructure.parametersRef` wins. */
    parametersRef: z
      .strictObject({ group: z.string(), kind: z.string(), name: nameField, namespace: nameField.optional() })
      .optional(),
  }),
  status: z.looseObject({ conditions: z.array(conditionSchema).default([]) }).optional(),
});
export type GatewayClass = z.infer<typeof gatewayClassSchema>;

const routeKindSchema = z.strictObject({ group: z.string().default("gateway.networking.k8s.io"), kind: z.string() });

const listenerSchema = z.strictObject({
  name: labelField,
  /** TCP and UDP are the specification's; `causeway.dev/Flow` admits FlowRoutes only, its port says nothing. */
  protocol: z.string().min(1).max(255),
  port: portField,
  hostname: z.string().optional(),
  tls: z.unknown().optional(),
  allowedRoutes: z
    .strictObject({
      namespaces: z
        .strictObject({
          from: z.enum(["All", "Same", "Selector", "None"]).default("Same"),
          selector: labelSelectorSchema.optional(),
        })
        .prefault({}),
      kinds: z.array(routeKindSchema).max(8).default([]),
    })
    .prefault({}),
});
export type Listener = z.infer<typeof listenerSchema>;

/** The listener protocol that admits FlowRoutes. */
export const FLOW_PROTOCOL = "causeway.dev/Flow";

const gatewayAddressSchema = z.discriminatedUnion("type", [
  z.strictObject({ type: z.literal("IPAddress"), value: ipField.optional() }),
  z.strictObject({ type: z.literal("Hostname"), value: z.string().optional() }),
  /** Takes one address from the named AddressPool. */
  z.strictObject({ type: z.literal("causeway.dev/AddressPool"), value: nameField }),
]);

/** Gateway API v1 `Gateway`. */
export const gatewaySchema = z.strictObject({
  apiVersion: z.literal("gateway.networking.k8s.io/v1"),
  kind: z.literal("Gateway"),
  metadata: namespacedMetaSchema,
  spec: z
    .strictObject({
      gatewayClassName: nameField,
      addresses: z
        .array(
          z.preprocess(
            (a) => (a !== null && typeof a === "object" ? { type: "IPAddress", ...a } : a),
            gatewayAddressSchema,
          ),
        )
        .max(16)
        .default([]),
      listeners: z.array(listenerSchema).min(1).max(64),
      infrastructure: z
        .strictObject({
          labels: z.record(z.string(), z.string()).optional(),
          annotations: z.record(z.string(), z.string()).optional(),
          parametersRef: z.strictObject({ group: z.string(), kind: z.string(), name: nameField }).optional(),
        })
        .optional(),
      allowedListeners: z.unknown().optional(),
      tls: z.unknown().optional(),
      defaultScope: z.string().optional(),
    })
    .superRefine((spec, context) => {
      const names = new Set<string>();
      spec.listeners.forEach((listener, index) => {
        if (names.has(listener.name)) {
          context.addIssue({
            code: "custom",
            path: ["listeners", index, "name"],
            message: `listener name ${JSON.stringify(listener.name)} is used twice; names must differ`,
          });
        }
        names.add(listener.name);
      });
    }),
  status: z
    .looseObject({
      addresses: z.array(z.looseObject({ type: z.string().optional(), value: z.string() })).default([]),
      conditions: z.array(conditionSchema).default([]),
      listeners: z
        .array(
          z.looseObject({
            name: z.string(),
            attachedRoutes: z.int(),
            supportedKinds: z.array(routeKindSchema).default([]),
            conditions: z.array(conditionSchema).default([]),
          }),
        )
        .default([]),
    })
    .optional(),
});
export type Gateway = z.infer<typeof gatewaySchema>;
