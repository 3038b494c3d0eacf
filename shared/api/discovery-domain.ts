import { z } from "zod";
import { cidrField, domainRangeField, interfaceField, ipField, networkNameField } from "./fields.ts";
import { conditionSchema, namespacedMetaSchema } from "./meta.ts";
import { API_VERSION } from "./names.ts";

const fanOutSchema = z
  .strictObject({
    domains: z
      .array(domainRangeField)
      .min(1)
      .max(32)
      .optional()
      .describe("DDS domain ids, those of spec.domains that it is for. All of them when absent."),
    groups: z
      .array(cidrField)
      .min(1)
      .max(16)
      .prefault(["239.255.0.0/16"])
      .describe("IPv4 multicast groups that may be copied, when participants announce that they hear them."),
    ttl: z
      .enum(["Lower", "Keep"])
      .default("Lower")
      .describe(
        "Lower: a copy has a TTL one lower, and 31 at most; what has a TTL of 1 stays in its network. " +
          "Keep: the TTL is the publisher's, for vendors that send with 1.",
      ),
    limits: z
      .strictObject({
        packetsPerSecondPerPublisher: z
          .int()
          .min(1)
          .max(10_000_000)
          .default(50_000)
          .describe("Datagrams of one address that are copied. A quarter of them may come at once."),
        octetsPerSecond: z
          .int()
          .min(1_000)
          .max(4_000_000_000)
          .default(125_000_000)
          .describe("Of datagrams that are copied from one network to the same others. All may come at once."),
      })
      .prefault({})
      .describe("What is more stays in its network and is counted."),
  })
  .describe(
    "Multicast of user data is copied between the networks, to those where a participant hears it. " +
      "Nothing is copied when absent.",
  );

/** `causeway.dev/v1alpha1 DiscoveryDomain`: DDS participants that are introduced to each other across networks. */
export const discoveryDomainSchema = z.strictObject({
  apiVersion: z.literal(API_VERSION),
  kind: z.literal("DiscoveryDomain"),
  metadata: namespacedMetaSchema,
  spec: z
    .strictObject({
      domains: z
        .array(domainRangeField)
        .min(1)
        .max(32)
        .prefault([0])
        .describe("DDS domain ids, single or as ranges such as 10-19. Participants of different ones never meet."),
      tags: z
        .array(z.string().max(256))
        .min(1)
        .max(64)
        .optional()
        .describe(
          "Domain tags that are served; the empty one is that of participants without a tag. All when absent. " +
            "Participants of different tags never meet.",
        ),
      networks: z
        .array(
          z.strictObject({
            network: networkNameField.describe("[namespace/]name of a NetworkAttachmentDefinition."),
            interface: interfaceField.describe("The relay's interface on the network, one for each network."),
            multicast: z
              .enum(["Join", "Off"])
              .default("Join")
              .describe(
                "Join: announcements that participants send by multicast are heard, so that they need no configuration. " +
                  "Off: only what is sent to the relay's address.",
              ),
          }),
        )
        .min(1)
        .max(16)
        .superRefine((networks, context) => {
          for (const [index, { interface: device }] of networks.entries()) {
            if (networks.findIndex((other) => other.interface === device) === index) continue;
            const message = `${JSON.stringify(device)} is already used by another network; each needs its own interface`;
            context.addIssue({ code: "custom", path: [index, "interface"], message });
          }
        })
        .describe("Networks that the relay is attached to."),
      listenAddresses: z
        .array(ipField)
        .max(16)
        .default([])
        .describe("Addresses of the relay to listen at, on port 7400 + 250 times the domain id; all when empty."),
      allowedSources: z
        .array(cidrField)
        .min(1)
        .max(64)
        .optional()
        .describe(
          "Prefixes that participants may have addresses of, for what is heard and for what is sent. " +
            "Those of the networks' interfaces when absent.",
        ),
      resends: z
        .int()
        .min(0)
        .max(5)
        .default(2)
        .describe(
          "How often an announcement of somebody new, and word of somebody gone, is sent again for what is lost on the " +
            "way: after 0.25, 1.5, 5, 10 and 20 s.",
        ),
      refreshSeconds: z
        .int()
        .min(5)
        .max(3600)
        .default(30)
        .describe("How often everybody is introduced to everybody again."),
      sisters: z
        .array(ipField)
        .max(8)
        .default([])
        .describe(
          "Addresses of all relays of this domain, from which they send to each other; a relay passes over its own. What " +
            "comes from there is believed.",
        ),
      limits: z
        .strictObject({
          participants: z.int().min(1).max(10_000).default(1_000).describe("Participants that are known at once."),
          participantsPerAddress: z
            .int()
            .min(1)
            .max(10_000)
            .default(120)
            .describe("Participants that are known at once of one address."),
          announcementOctets: z
            .int()
            .min(512)
            .max(65_507)
            .default(16_384)
            .describe("Longest announcement that is taken."),
          datagramsPerSecond: z
            .int()
            .min(100)
            .max(1_000_000)
            .default(20_000)
            .describe("Datagrams that are looked at, from all addresses without a participant together."),
          datagramsPerSecondPerSource: z
            .int()
            .min(1)
            .max(1_000_000)
            .default(1_000)
            .describe("Datagrams that are looked at, from one address."),
        })
        .prefault({})
        .describe("What is more is dropped and counted."),
      fanOut: fanOutSchema.optional(),
      observer: z
        .strictObject({
          mode: z
            .enum(["Observe", "Off"])
            .default("Observe")
            .describe(
              "Observe: the relay is a participant that only listens, and learns which topics are written and read with " +
                "which QoS. Off: it knows participants and nothing of their topics.",
            ),
          limits: z
            .strictObject({
              participants: z
                .int()
                .min(1)
                .max(10_000)
                .default(1_000)
                .describe("Participants that are observed at once."),
              endpoints: z
                .int()
                .min(1)
                .max(100_000)
                .default(10_000)
                .describe("Writers and readers that are known at once."),
              endpointsPerParticipant: z
                .int()
                .min(1)
                .max(100_000)
                .default(1_000)
                .describe("Writers and readers of one participant that are known at once."),
              sampleOctets: z
                .int()
                .min(1_024)
                .max(4_194_304)
                .default(262_144)
                .describe("Longest description of a writer or reader that is put together."),
              datagramsPerSecond: z
                .int()
                .min(10)
                .max(100_000)
                .default(1_000)
                .describe("Datagrams to the observer that are looked at, from one participant."),
            })
            .prefault({})
            .describe("What is more is left out and counted."),
        })
        .prefault({})
        .describe("What is learned of topics, types and QoS."),
    })
    .describe("Which participants are introduced to each other, and where they are heard."),
  status: z
    .looseObject({
      conditions: z
        .array(conditionSchema)
        .default([])
        .describe("EndpointsMatch: whether writers and readers of one topic do."),
      instances: z
        .array(
          z.looseObject({
            name: z.string().describe("Pod of the relay."),
            namespace: z
              .string()
              .optional()
              .describe(
                "The Pod's. Absent while the relay has seen no Pod of its own: then its entry stays when it goes.",
              ),
            state: z
              .string()
              .describe("Listening; Partial, when it cannot listen everywhere; Refused, with the reason."),
            participants: z.int().describe("Participants that the relay knows."),
            message: z.string().optional().describe("What is wrong, with the field and what to do."),
            topics: z.int().optional().describe("Topics that the observer knows."),
            writers: z.int().optional().describe("Writers that it knows."),
            readers: z.int().optional().describe("Readers that it knows."),
            matches: z.int().optional().describe("Pairs of a writer and a reader that exchange data."),
            mismatches: z
              .int()
              .optional()
              .describe("Pairs of one topic that exchange nothing: by QoS, type or partition."),
          }),
        )
        .default([])
        .describe("What every relay sees."),
    })
    .optional()
    .describe("Written by the relays."),
});
export type DiscoveryDomain = z.infer<typeof discoveryDomainSchema>;
