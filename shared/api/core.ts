import { z } from "zod";
import { ipField, portField } from "./fields.ts";
import { clusterMetaSchema, conditionSchema, namespacedMetaSchema } from "./meta.ts";
import { protocolField } from "./routes.ts";

/*
 * Kubernetes' own kinds, the parts that are read here. Unknown fields are let through: other components own them.
 */

export const namespaceSchema = z.looseObject({
  apiVersion: z.literal("v1"),
  kind: z.literal("Namespace"),
  metadata: clusterMetaSchema,
});

const servicePortSchema = z.looseObject({
  name: z.string().optional(),
  protocol: protocolField.default("TCP"),
  port: portField,
  /** A number, or the name of a container's port. The Service's port when absent. */
  targetPort: z.union([portField, z.string().min(1)]).optional(),
});
export type ServicePort = z.infer<typeof servicePortSchema>;

export const serviceSchema = z.looseObject({
  apiVersion: z.literal("v1"),
  kind: z.literal("Service"),
  metadata: namespacedMetaSchema,
  spec: z.looseObject({
    /** ExternalName: a name in place of targets. */
    type: z.string().optional(),
    selector: z.record(z.string(), z.string()).optional(),
    ports: z.array(servicePortSchema).default([]),
    /** ClientIP: all flows of one source address go to one target. */
    sessionAffinity: z.enum(["None", "ClientIP"]).default("None"),
    publishNotReadyAddresses: z.boolean().default(false),
  }),
  status: z.looseObject({ conditions: z.array(conditionSchema).default([]) }).optional(),
});
export type Service = z.infer<typeof serviceSchema>;

const endpointSchema = z.looseObject({
  addresses: z.array(ipField).min(1).max(100),
  conditions: z
    .looseObject({
      ready: z.boolean().nullish(),
      serving: z.boolean().nullish(),
      terminating: z.boolean().nullish(),
    })
    .prefault({}),
  hostname: z.string().optional(),
  nodeName: z.string().optional(),
  zone: z.string().optional(),
  targetRef: z
    .looseObject({ kind: z.string(), namespace: z.string().optional(), name: z.string(), uid: z.string().optional() })
    .optional(),
});
export type Endpoint = z.infer<typeof endpointSchema>;

export const endpointSliceSchema = z.looseObject({
  apiVersion: z.literal("discovery.k8s.io/v1"),
  kind: z.literal("EndpointSlice"),
  metadata: namespacedMetaSchema,
  addressType: z.enum(["IPv4", "IPv6"]),
  endpoints: z
    .array(endpointSchema)
    .max(1000)
    .nullish()
    .transform((endpoints) => endpoints ?? []),
  ports: z
    .array(
      z.looseObject({ name: z.string().nullish(), protocol: protocolField.default("TCP"), port: portField.nullish() }),
    )
    .nullish()
    .transform((ports) => ports ?? []),
});
export type EndpointSlice = z.infer<typeof endpointSliceSchema>;

export const podSchema = z.looseObject({
  apiVersion: z.literal("v1"),
  kind: z.literal("Pod"),
  metadata: namespacedMetaSchema,
  spec: z
    .looseObject({
      nodeName: z.string().optional(),
      containers: z
        .array(
          z.looseObject({
            name: z.string(),
            ports: z
              .array(
                z.looseObject({
                  name: z.string().optional(),
                  containerPort: portField,
                  protocol: protocolField.default("TCP"),
                }),
              )
              .default([]),
          }),
        )
        .default([]),
    })
    .prefault({}),
  status: z
    .looseObject({
      phase: z.string().optional(),
      podIPs: z.array(z.looseObject({ ip: z.string() })).optional(),
      conditions: z.array(conditionSchema).default([]),
    })
    .optional(),
});
export type Pod = z.infer<typeof podSchema>;

export const secretSchema = z.looseObject({
  apiVersion: z.literal("v1"),
  kind: z.literal("Secret"),
  metadata: namespacedMetaSchema,
  /** Base64. */
  data: z.record(z.string(), z.base64()).default({}),
  stringData: z.record(z.string(), z.string()).default({}),
});
export type Secret = z.infer<typeof secretSchema>;

export const configMapSchema = z.looseObject({
  apiVersion: z.literal("v1"),
  kind: z.literal("ConfigMap"),
  metadata: namespacedMetaSchema,
  data: z.record(z.string(), z.string()).default({}),
});

/** The value of a key of a Secret as text; undefined when there is no such key. */
export function secretValue(secret: Secret, key: string): string | undefined {
  const encoded = secret.data[key];
  return (
    secret.stringData[key] ?? (encoded === undefined ? undefined : Buffer.from(encoded, "base64").toString("utf8"))
  );
}

/** One attachment of a pod as Multus' `network-status` annotation lists it. */
export const networkStatusSchema = z.array(
  z.looseObject({
    /** `namespace/name` of the NetworkAttachmentDefinition; the cluster's own network has a bare name. */
    name: z.string(),
    interface: z.string().optional(),
    ips: z.array(ipField).default([]),
    mac: z.string().optional(),
    default: z.boolean().optional(),
  }),
);
