import type { DiscoveryDomain, GroupStatus } from "#shared/api/discovery-domain.ts";
import type { Condition } from "#shared/api/meta.ts";
import type { GroupAnswerGroup, GroupsAnswerDomain } from "#shared/dds/groups.ts";
import { condition } from "#shared/resolve/conditions.ts";

/** Clients of all groups of an object that one relay writes down: an object has 1.5 MB at most, and up to eight relays. */
const MOST_WRITTEN = 1_000;

const nameOf = (pod: string): string => pod.slice(pod.indexOf("/") + 1);

/** The groups in their relay's entry: who is introduced to whom, and who is kept from whom. */
export function groupsEntry({ groups }: GroupsAnswerDomain): readonly GroupStatus[] {
  let room = MOST_WRITTEN;
  return groups.map((group): GroupStatus => {
    // Those that are here before those that may come back.
    const clients = [...group.clients].sort((a, b) => Number(a.gone) - Number(b.gone)).slice(0, room);
    room -= clients.length;
    return {
      service: nameOf(group.service),
      members: group.members.map(({ addresses, pod, state, weight }) => ({
        pod: nameOf(pod),
        state,
        weight,
        clients: present(group).filter(({ member }) => member === pod).length,
        addresses,
      })),
      waiting: waiting(group),
      omitted: group.clients.length - clients.length,
      clients: clients.map(({ addresses, away, member, moves, participant }) => ({
        participant,
        addresses,
        ...(member === undefined ? {} : { member: nameOf(member) }),
        moves,
        away: away.map(nameOf),
      })),
    };
  });
}

const present = ({ clients }: GroupAnswerGroup): GroupAnswerGroup["clients"] => clients.filter(({ gone }) => !gone);

/** Participants for which no member takes clients. */
export const waiting = (group: GroupAnswerGroup): number =>
  present(group).filter(({ member }) => member === undefined).length;

/** Whether all groups have members that take clients; nothing where there are no groups. */
export function groupsCondition(
  answer: GroupsAnswerDomain | undefined,
  { metadata, spec }: DiscoveryDomain,
): readonly Condition[] {
  if (answer === undefined || spec.serviceGroups.length === 0) return [];
  const { groups, problems } = answer;
  const { generation } = metadata;
  const [first] = problems;
  if (first !== undefined) {
    const more = problems.length > 1 ? `; and ${problems.length - 1} more: causeway discovery groups` : "";
    return [condition("GroupsServed", "False", "Refused", `${first}${more}`, generation)];
  }
  const idle = groups.find((group) => !takesClients(group));
  if (idle !== undefined) {
    const message =
      `no pod of Service ${idle.service} is ready: ${waiting(idle)} participants are introduced to none of its group; see ` +
      "the pods' Ready condition and their EndpointSlice";
    return [condition("GroupsServed", "False", "NoMemberReady", message, generation)];
  }
  const message = groups.map(({ service }) => service).join(", ");
  return [condition("GroupsServed", "True", "Served", message, generation)];
}

const takesClients = ({ members }: GroupAnswerGroup): boolean =>
  members.some(({ state, weight }) => weight > 0 && state !== "NotReady");
