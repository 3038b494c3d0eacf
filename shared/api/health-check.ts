import { z } from "zod";
import { nameField, portField } from "./fields.ts";
import { conditionSchema, namespacedMetaSchema } from "./meta.ts";
import { API_VERSION } from "./names.ts";

export const DEFAULT_UDP_PAYLOAD = "causeway-health-check";

const thresholdField = z.int().min(1).max(100);

/**
 * `causeway.dev/v1alpha1 HealthCheck`: each gateway instance asks the targets of Services itself, over the service
 * network. A policy attachment as the Gateway API has it (GEP-713), to Services of its own namespace.
 */
export const healthCheckSchema = z.strictObject({
  apiVersion: z.literal(API_VERSION),
  kind: z.literal("HealthCheck"),
  metadata: namespacedMetaSchema,
  spec: z
    .strictObject({
      targetRefs: z
        .array(
          z.strictObject({
            group: z.enum([""]).default("").describe("API group of the object; Services have none."),
            kind: z.enum(["Service"]).default("Service").describe("Kind of the object."),
            name: nameField.describe("A Service of the same namespace."),
            sectionName: nameField
              .optional()
              .describe("Name of one port of the Service, which then has this check instead of the whole Service's."),
          }),
        )
        .min(1)
        .max(16)
        .describe("What is checked."),
      type: z
        .enum(["TCP", "UDP", "HTTP", "ICMP"])
        .default("TCP")
        .describe(
          "What must be answered. TCP: a connection. UDP: a datagram. HTTP: a GET, with a status from 200 to 399. ICMP: an echo request.",
        ),
      port: portField.optional().describe("The port to ask; the target's own when absent. Not for ICMP."),
      intervalMs: z.int().min(50).max(60_000).default(200).describe("Time between questions, in milliseconds."),
      timeoutMs: z
        .int()
        .min(10)
        .max(60_000)
        .optional()
        .describe(
          "An answer that takes longer has failed, in milliseconds; at most the interval. Three quarters of the interval, but no more than 1000, when absent.",
        ),
      failureThreshold: thresholdField.default(3).describe("Failures in a row after which the target gets no packet."),
      successThreshold: thresholdField
        .default(2)
        .describe("Answers in a row after which a target that was out is taken for healthy, and its hold time begins."),
      http: z
        .strictObject({
          path: z
            .string()
            .max(1024)
            .regex(/^\/[!-~]*$/, "must begin with / and hold no blanks")
            .default("/")
            .describe("Path and query of the request."),
          host: z
            .string()
            .max(253)
            .regex(/^[!-~]+$/, "must be a host name")
            .optional()
            .describe("The Host field; the target's address when absent."),
        })
        .optional()
        .describe("The request, for type HTTP."),
      udp: z
        .strictObject({
          payload: z
            .string()
            .min(1)
            .max(1024)
            .default(DEFAULT_UDP_PAYLOAD)
            .describe("The datagram that is sent, as UTF-8."),
          answer: z.string().min(1).max(1024).optional().describe("What the answer must begin with; any when absent."),
        })
        .optional()
        .describe("The datagram, for type UDP."),
    })
    .describe("Who is asked what, and how often.")
    .superRefine((spec, context) => {
      const issue = (path: string[], message: string): void => context.addIssue({ code: "custom", path, message });
      if ((spec.timeoutMs ?? 0) > spec.intervalMs)
        issue(["timeoutMs"], `must be at most intervalMs (${spec.intervalMs})`);
      if (spec.http !== undefined && spec.type !== "HTTP") issue(["http"], "is for type HTTP only");
      if (spec.udp !== undefined && spec.type !== "UDP") issue(["udp"], "is for type UDP only");
      if (spec.port !== undefined && spec.type === "ICMP") issue(["port"], "ICMP has no ports; leave it out");
    }),
  status: z
    .looseObject({
      conditions: z.array(conditionSchema).default([]).describe("Accepted."),
      instances: z
        .array(
          z.looseObject({
            name: z.string().describe("Pod of the gateway instance."),
            healthy: z.int().describe("Addresses of targets that answer this instance."),
            unhealthy: z.int().describe("Addresses that do not, or not for long enough yet."),
            message: z.string().optional().describe("What the instance makes of it."),
            targets: z
              .array(
                z.looseObject({
                  name: z.string().describe("The target's pod."),
                  address: z.string().describe("Its address on the service network."),
                  since: z.string().optional().describe("When it was taken out."),
                  message: z.string().optional().describe("What the last failure was."),
                }),
              )
              .max(16)
              .default([])
              .describe("The first of those that are out."),
          }),
        )
        .default([])
        .describe("What every instance sees."),
    })
    .optional()
    .describe("Written by the controller and the gateway instances."),
});
export type HealthCheck = z.infer<typeof healthCheckSchema>;
