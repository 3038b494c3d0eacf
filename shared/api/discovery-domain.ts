import { z } from "zod";
import { cidrField, domainRangeField, interfaceField, ipField, labelField, networkNameField } from "./fields.ts";
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

const serviceGroupSchema = z.strictObject({
  service: labelField.describe(
    "Name of a service-i of the object's namespace. The pods that it selects are the members; each participant of another " +
      "pod is introduced to one of them.",
  ),
  members: z
    .enum(["Meet", "Apart"])
    .default("Meet")
    .describe("Meet: members are introduced to each other. Apart: they are not."),
  isolation: z
    .enum(["Off", "Enforce"])
    .default("Off")
    .describe(
      "Off: a member hears everybody but those that were moved away from it. Enforce: the node agent lets nobody's RTPS " +
        "into a member's pod but that of its own clients, the relays and, where members meet, the others.",
    ),
});
export type ServiceGroupSpec = z.infer<typeof serviceGroupSchema>;

/** One participant in a service group, as a relay has assigned it. */
const groupClientSchema = z.looseObject({
  participant: z.string().describe("GUID prefix, 24 hexadecimal digits."),
  addresses: z.array(z.string()).default([]).describe("Where its datagrams come from."),
  member: z.string().optional().describe("Pod that it is introduced to; none where nobody is ready."),
  moves: z
    .int()
    .default(0)
    .describe("How often it was moved to another member: of two relays the higher number counts."),
  away: z
    .array(z.string())
    .default([])
    .describe("Members that it may know and is kept from: their pods drop its datagrams."),
});

const groupStatusSchema = z.looseObject({
  service: z.string().describe("The Service."),
  members: z
    .array(
      z.looseObject({
        pod: z.string().describe("Name of the pod."),
        state: z.string().describe("Ready; Draining, when it ends; NotReady."),
        weight: z.int().describe("Its share of the clients."),
        clients: z.int().describe("Participants that are introduced to it."),
        addresses: z.array(z.string()).default([]).describe("Addresses of the pod."),
      }),
    )
    .default([])
    .describe("The pods of the group."),
  waiting: z.int().default(0).describe("Participants for which no member is ready."),
  omitted: z.int().default(0).describe("Clients beyond those that are listed: they are assigned, and not kept."),
  clients: z.array(groupClientSchema).default([]).describe("Who is introduced to whom."),
});
export type GroupStatus = z.infer<typeof groupStatusSchema>;

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
      serviceGroups: z
        .array(serviceGroupSchema)
        .max(32)
        .default([])
        .superRefine((groups, context) => {
          for (const [index, { service }] of groups.entries()) {
            if (groups.findIndex((other) => other.service === service) === index) continue;
            const message = `Service ${JSON.stringify(service)} is a group already; name it once`;
            context.addIssue({ code: "custom", path: [index, "service"], message });
          }
        })
        .describe(
          "Services whose pods share the participants of other pods among them. Of two groups the members of the one that " +
            "stands first are clients of the other.",
        ),
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
        .describe(
          "EndpointsMatch: whether writers and readers of one topic do. GroupsServed: whether all service groups have members " +
            "that take clients.",
        ),
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
            addresses: z
              .array(z.string())
              .optional()
              .describe("Addresses of the relay on the networks, where there are service groups."),
            groups: z.array(groupStatusSchema).optional().describe("The service groups as this relay serves them."),
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
