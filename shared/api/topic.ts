import { z } from "zod";
import { interfaceField, ipField, nameField, portField } from "./fields.ts";
import { conditionSchema, namespacedMetaSchema } from "./meta.ts";
import { API_VERSION } from "./names.ts";

/** `module::Name`, as IDL has it. */
const TYPE_NAME = /^[A-Za-z_][A-Za-z0-9_]*(::[A-Za-z_][A-Za-z0-9_]*)*$/;
/** It stands in XML, and DDS compares names octet by octet. */
const PRINTABLE = /^[ -~]*$/;
const NOT_PRINTABLE = "must be printable ASCII";

const typesSchema = z
  .strictObject({
    configMap: z
      .strictObject({
        name: nameField.describe("A ConfigMap of the Topic's namespace."),
        key: z
          .string()
          .min(1)
          .max(253)
          .regex(/^[-._a-zA-Z0-9]+$/, "must be the name of a key: letters, digits, '-', '_' and '.'")
          .describe("Which of its data."),
      })
      .optional()
      .describe("Where the XML is."),
    file: z
      .string()
      .min(2)
      .max(4096)
      .regex(/^\/[ -~]*$/, "must be an absolute path in printable ASCII")
      .optional()
      .describe("Path of the XML where the Topic is served. It is read anew when it changes."),
  })
  .superRefine(({ configMap, file }, context) => {
    if ((configMap === undefined) === (file === undefined)) {
      context.addIssue({ code: "custom", message: "must hold one of configMap and file" });
    }
  })
  .describe("The topic's type in XML, as DDS-XML and RTI Connext have it.");

const qosSchema = z
  .strictObject({
    reliability: z
      .enum(["Reliable", "BestEffort"])
      .default("Reliable")
      .describe(
        "Reliable: a client that reads too slowly holds back the others and the publishers, for slowClientSeconds. " +
          "BestEffort: it misses the oldest samples, which are counted.",
      ),
    durability: z
      .enum(["Volatile", "TransientLocal"])
      .default("Volatile")
      .describe("TransientLocal: who comes later, a client too, gets the last samples first."),
    historyDepth: z
      .int()
      .min(1)
      .max(10_000)
      .optional()
      .describe(
        "Samples of each instance that are kept (KEEP_LAST). When absent all of them are, until they are read " +
          "(KEEP_ALL); TransientLocal needs a number.",
      ),
    ownership: z
      .enum(["Shared", "Exclusive"])
      .default("Shared")
      .describe("As all others of the topic have it: DDS matches only equal ones."),
    partitions: z
      .array(z.string().min(1).max(256).regex(PRINTABLE, NOT_PRINTABLE))
      .max(64)
      .default([])
      .describe("Partitions of reader and writer; the default one when empty."),
  })
  .superRefine(({ durability, historyDepth }, context) => {
    if (durability === "Volatile" || historyDepth !== undefined) return;
    const message = "must be given with durability TransientLocal: all samples of all times cannot be kept";
    context.addIssue({ code: "custom", path: ["historyDepth"], message });
  })
  .prefault({})
  .describe("Of the reader and the writer; everything else is as DDS has it by default.");

const limitsSchema = z
  .strictObject({
    clients: z.int().min(1).max(10_000).default(100).describe("Clients at once, of each instance."),
    clientsPerAddress: z.int().min(1).max(10_000).default(25).describe("Clients of one address at once."),
    lineOctets: z
      .int()
      .min(64)
      .max(1_048_576)
      .default(65_536)
      .describe("Longest line that a client may send. A longer one ends the connection."),
    linesPerSecondPerClient: z
      .int()
      .min(1)
      .max(100_000)
      .default(1_000)
      .describe("Lines of one client that are published; more wait in its socket."),
    queueLines: z.int().min(1).max(100_000).default(1_000).describe("Samples that a client may lag behind."),
    queueOctets: z
      .int()
      .min(1_024)
      .max(67_108_864)
      .default(4_194_304)
      .describe("Octets that a client may lag behind. A longer sample is left out and counted."),
    slowClientSeconds: z
      .int()
      .min(0)
      .max(300)
      .default(5)
      .describe("Reliable: how long a client that lags so far behind holds back the others. Then it is cut."),
  })
  .prefault({})
  .describe("What a client may use up.");

/** `causeway.dev/v1alpha1 Topic`: a DDS topic that TCP clients read and write as lines of JSON. */
export const topicSchema = z.strictObject({
  apiVersion: z.literal(API_VERSION),
  kind: z.literal("Topic"),
  metadata: namespacedMetaSchema,
  spec: z
    .strictObject({
      domain: z.int().min(0).max(232).default(0).describe("DDS domain id."),
      domainTag: z
        .string()
        .max(256)
        .regex(PRINTABLE, NOT_PRINTABLE)
        .default("")
        .describe("Domain tag; none when empty."),
      topic: z.string().min(1).max(255).regex(PRINTABLE, NOT_PRINTABLE).describe("Name of the topic in DDS."),
      type: z
        .string()
        .max(255)
        .regex(TYPE_NAME, "must be the name of a type, for example plant::Reading")
        .describe("Name of the topic's type, one of those in types, and what it is registered as in DDS."),
      types: typesSchema,
      direction: z
        .enum(["Subscribe", "Publish", "Both"])
        .default("Subscribe")
        .describe("Whether clients get the topic's samples, publish what they send, or both."),
      service: z
        .strictObject({
          name: nameField.describe("A Service of the Topic's namespace; the pods that it selects serve the Topic."),
          port: portField.describe("Its TCP port. The pods listen at the targetPort."),
        })
        .describe("Where clients are sent to."),
      interfaces: z
        .array(interfaceField)
        .max(16)
        .default([])
        .describe("Interfaces of the pod that DDS speaks on; all when empty."),
      peers: z
        .array(ipField.refine((text) => !text.includes(":"), "must be an IPv4 address, for example 192.0.2.1"))
        .max(16)
        .default([])
        .describe("Addresses to which DDS announces itself, for example a relay's. By multicast when empty."),
      qos: qosSchema,
      limits: limitsSchema,
    })
    .describe("Which topic, and who may do what with it."),
  status: z
    .looseObject({
      conditions: z
        .array(conditionSchema)
        .default([])
        .describe("Serving: whether all instances that there are serve the Topic."),
      instances: z
        .array(
          z.looseObject({
            name: z.string().describe("Pod that serves the Topic."),
            state: z.string().describe("Serving, or Failed, with the reason."),
            message: z.string().optional().describe("What is wrong, with the field and what to do."),
            clients: z.int().optional().describe("Clients that are connected."),
            publishers: z.int().optional().describe("Writers in DDS that the Topic's reader has matched."),
            subscribers: z.int().optional().describe("Readers in DDS that the Topic's writer has matched."),
            samplesRead: z.int().optional().describe("Samples that came from DDS. At most every ten seconds anew."),
            samplesWritten: z.int().optional().describe("Samples that clients have published. As seldom."),
          }),
        )
        .default([])
        .describe("What every pod that serves the Topic says."),
    })
    .optional()
    .describe("Written by the pods that serve the Topic."),
});
export type Topic = z.infer<typeof topicSchema>;
