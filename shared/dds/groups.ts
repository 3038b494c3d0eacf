import { z } from "zod";

/*
 * What a discovery process answers to GET /groups: which pods share which participants.
 */

const memberSchema = z.object({
  /** `namespace/name`. */
  pod: z.string(),
  state: z.enum(["Ready", "Draining", "NotReady"]),
  weight: z.int(),
  addresses: z.array(z.string()),
  /** Participants that run in the pod and are known. */
  participants: z.int(),
});

const clientSchema = z.object({
  /** GUID prefix, 24 hexadecimal digits. */
  participant: z.string(),
  name: z.string().optional(),
  /** `namespace/name`. */
  pod: z.string().optional(),
  addresses: z.array(z.string()),
  /** `namespace/name` of the pod that it is introduced to; absent: nobody takes clients. */
  member: z.string().optional(),
  moves: z.int(),
  /** `namespace/name` of pods that drop its datagrams. */
  away: z.array(z.string()),
  /** Its lease is over: it is remembered, should it come back. */
  gone: z.boolean(),
});
export type GroupAnswerClient = z.infer<typeof clientSchema>;

const groupSchema = z.object({
  /** `namespace/name`. */
  service: z.string(),
  meet: z.boolean(),
  isolated: z.boolean(),
  members: z.array(memberSchema),
  clients: z.array(clientSchema),
  /** Clients that were moved to another member since this process began. */
  moved: z.int(),
});
export type GroupAnswerGroup = z.infer<typeof groupSchema>;

export const groupsAnswerSchema = z.object({
  domains: z.array(
    z.object({
      /** `namespace/name`. */
      discoveryDomain: z.string(),
      groups: z.array(groupSchema),
      /** What is wrong with groups, each with the field and what to do. */
      problems: z.array(z.string()),
    }),
  ),
});
export type GroupsAnswer = z.infer<typeof groupsAnswerSchema>;
export type GroupsAnswerDomain = GroupsAnswer["domains"][number];
