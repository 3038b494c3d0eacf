import { z } from "zod";
import { interfaceField, nameField, networkNameField } from "./fields.ts";
import { conditionSchema, namespacedMetaSchema } from "./meta.ts";
import { API_VERSION } from "./names.ts";

/** Primes: a size must be prime so that every skip of Maglev's permutation visits every slot. */
function isPrime(n: number): boolean {
  if (n < 2 || n % 2 === 0) return n === 2;
  for (let divisor = 3; divisor * divisor <= n; divisor += 2) if (n % divisor === 0) return false;
  return true;
}

export const tableSizeField = z
  .int()
  .min(7)
  .max(65_537)
  .refine(isPrime, "must be a prime number, for example 251, 997 or 9973");

const texts = z.record(z.string(), z.string());

/** Where instances run, and what their Pods are called: the fields of a Pod, with their meaning there. */
const podsSchema = z.strictObject({
  labels: texts
    .optional()
    .describe("Labels of the Pods, beside those of the Gateway's infrastructure; those that we need stay ours."),
  annotations: texts
    .optional()
    .describe("Annotations of the Pods, beside those of the Gateway's infrastructure; those that we need stay ours."),
  nodeSelector: texts.optional().describe("Labels of the nodes that instances may run on."),
  tolerations: z
    .array(
      z.strictObject({
        key: z.string().max(316).optional().describe("The taint's key; any when absent, with operator Exists."),
        operator: z
          .enum(["Equal", "Exists"])
          .optional()
          .describe("How the taint's value relates to value: Equal by default."),
        value: z.string().max(63).optional().describe("The taint's value, with operator Equal."),
        effect: z
          .enum(["NoSchedule", "PreferNoSchedule", "NoExecute"])
          .optional()
          .describe("The taint's effect; any when absent."),
        tolerationSeconds: z
          .int()
          .min(0)
          .max(2_147_483_647)
          .optional()
          .describe("With effect NoExecute: for how long it is tolerated; for ever when absent."),
      }),
    )
    .max(32)
    .optional()
    .describe("Taints of nodes that do not keep instances away."),
  priorityClassName: nameField.optional().describe("PriorityClass of the Pods."),
  topologySpread: z
    .array(
      z.strictObject({
        topologyKey: z.string().min(1).max(316).describe("Label of nodes; those with one value are one domain."),
        maxSkew: z.int().min(1).max(64).default(1).describe("By how many instances domains may differ."),
        whenUnsatisfiable: z
          .enum(["ScheduleAnyway", "DoNotSchedule"])
          .default("ScheduleAnyway")
          .describe(
            "ScheduleAnyway: as far as possible. DoNotSchedule: an instance that finds no place waits; a rollout needs " +
              "room for one more than there are.",
          ),
      }),
    )
    .max(8)
    .optional()
    .describe("How instances are spread over nodes; over hostnames and zones, as far as possible, when absent."),
});

/** `causeway.dev/v1alpha1 GatewayParameters`: how a Gateway's instances are attached and how they forward. */
export const gatewayParametersSchema = z.strictObject({
  apiVersion: z.literal(API_VERSION),
  kind: z.literal("GatewayParameters"),
  metadata: namespacedMetaSchema,
  spec: z
    .strictObject({
      mode: z
        .enum(["DSR", "NAT"])
        .default("DSR")
        .describe(
          "DSR: the packet keeps the VIP, which the node agent puts on the target's loopback; nothing is rewritten. " +
            "NAT: addresses and ports are translated both ways, without state.",
        ),
      externalNetworks: z
        .array(
          z.strictObject({
            network: networkNameField.optional().describe("[namespace/]name of a NetworkAttachmentDefinition."),
            interface: interfaceField.describe("The instances' interface on the network, one for each network."),
          }),
        )
        .min(1)
        .max(8)
        .describe("Networks towards the routers."),
      serviceNetworks: z
        .array(
          z.strictObject({
            network: networkNameField.describe(
              "[namespace/]name of a NetworkAttachmentDefinition, as Services' annotations name it.",
            ),
            interface: interfaceField.describe("The instances' interface on the network, one for each network."),
          }),
        )
        .min(1)
        .max(16)
        .describe("Secondary networks on which targets are reached."),
      lookupTableSize: tableSizeField
        .default(997)
        .describe(
          "Slots of a lookup table, a prime, the same on every instance. About 100 for each target keeps shares within 1 %.",
        ),
      hashSeed: z
        .int()
        .min(0)
        .max(0xffffffff)
        .default(0x6b8b4567)
        .describe(
          "Seeds the flow hash. Change it only when an attacker has learnt to aim at one target: it moves every flow.",
        ),
      flowKeeping: z
        .strictObject({
          mode: z
            .enum(["On", "Off"])
            .default("On")
            .describe(
              "On: when targets change, flows that exist stay with their target for as long as it can serve them. " +
                "Off: they follow the lookup table, and those of slots that change hands break.",
            ),
          idleTimeoutSeconds: z
            .int()
            .min(1)
            .max(86_400)
            .default(300)
            .describe(
              "TCP and SCTP: a flow stays if it sends at least this often. After a change of targets, this is also how " +
                "long flows that exist are learned.",
            ),
          datagramIdleTimeoutSeconds: z
            .int()
            .min(1)
            .max(3_600)
            .default(10)
            .describe(
              "UDP: the same. Nothing tells a new UDP flow from an old one: for this long after a change, new flows of " +
                "slots that change hands go to the former owner too.",
            ),
          maxFlows: z
            .int()
            .min(1_024)
            .max(4_194_304)
            .default(262_144)
            .describe(
              "Kept flows an instance has room for, each family. Without room, new flows of slots that change hands go " +
                "to the former owner, and nothing breaks. About 100 bytes of kernel memory each.",
            ),
        })
        .prefault({})
        .describe("What becomes of flows that exist when targets change."),
      primaryNetwork: z
        .strictObject({
          maxConnections: z
            .int()
            .min(512)
            .max(4_194_304)
            .default(131_072)
            .describe(
              "Connections to ordinary Services (those without a service network) that an instance tracks at once, each " +
                "family. Packets that would begin more are dropped and counted. Some hundred bytes of kernel memory each; " +
                "the machine's own nf_conntrack_max holds as well.",
            ),
        })
        .prefault({})
        .describe("The network on which ordinary Services are reached."),
      returnPath: z
        .enum(["Agent", "Network"])
        .default("Agent")
        .describe(
          "Agent: the node agent gives targets routes back to the instances. Network: the targets' own routes lead " +
            "there already and no agent touches the pods. DSR needs Agent.",
        ),
      replicas: z.int().min(1).max(64).default(2).describe("Instances of a Gateway."),
      resources: z
        .record(z.string(), z.record(z.string(), z.union([z.string(), z.number()])))
        .optional()
        .describe("Resources of each of an instance's containers, as in a Pod: requests and limits. Kubernetes only."),
      pods: podsSchema
        .optional()
        .describe("Where instances run, and what their Pods carry: as in a Pod. Kubernetes only."),
      addressPools: z
        .array(nameField)
        .max(16)
        .default([])
        .describe(
          "AddressPools that automatic VIPs come from, in this order; every pool that allows the Gateway when empty.",
        ),
      ipFamilies: z
        .array(z.enum(["IPv4", "IPv6"]))
        .min(1)
        .max(2)
        .default(["IPv4", "IPv6"])
        .describe("Families for which a Gateway that asks for no address gets one VIP each."),
    })
    .describe("How instances are attached and how they forward.")
    .superRefine((spec, context) => {
      const seen = new Map<string, string>();
      for (const list of ["externalNetworks", "serviceNetworks"] as const) {
        spec[list].forEach((network, index) => {
          const other = seen.get(network.interface);
          const path = `${list}[${index}].interface`;
          if (other !== undefined) {
            context.addIssue({
              code: "custom",
              path: [list, index, "interface"],
              message: `${JSON.stringify(network.interface)} is already used by ${other}; each network needs its own interface`,
            });
          }
          seen.set(network.interface, path);
        });
      }
      if (spec.mode === "DSR" && spec.returnPath === "Network") {
        context.addIssue({
          code: "custom",
          path: ["returnPath"],
          message: "DSR needs the node agent to put VIPs on the targets: use Agent, or mode NAT",
        });
      }
    }),
  status: z
    .looseObject({
      replicas: z.int().optional().describe("Instances that there are, of all Gateways that use the parameters."),
      conditions: z.array(conditionSchema).default([]).describe("Accepted, InUse."),
    })
    .optional()
    .describe("Written by the controller."),
});
export type GatewayParameters = z.infer<typeof gatewayParametersSchema>;
