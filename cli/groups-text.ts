import type { GroupAnswerClient, GroupAnswerGroup, GroupsAnswer, GroupsAnswerDomain } from "#shared/dds/groups.ts";
import type { AnswerOf } from "./ask-relays.ts";

/** Of one member's clients: the rest is counted. */
const MOST_CLIENTS = 50;

/** Which pods share which participants, for people. */
export function groupsText(answers: readonly AnswerOf<GroupsAnswer>[]): string {
  const lines = answers.flatMap(({ domains, instance }) => {
    const title = answers.length > 1 ? [`relay ${instance}`] : [];
    const used = domains.filter(({ groups, problems }) => groups.length > 0 || problems.length > 0);
    const none =
      used.length === 0 ? ["no service groups: no DiscoveryDomain names a Service in spec.serviceGroups"] : [];
    return [...title, ...none, ...used.flatMap(domainLines)];
  });
  return `${lines.join("\n")}\n`;
}

function domainLines({ discoveryDomain, groups, problems }: GroupsAnswerDomain): string[] {
  return [
    `DiscoveryDomain ${discoveryDomain}`,
    ...groups.flatMap(groupLines),
    ...problems.map((problem) => `  ! ${problem}`),
  ];
}

function groupLines(group: GroupAnswerGroup): string[] {
  const { clients, isolated, meet, members, moved, service } = group;
  const here = clients.filter(({ gone }) => !gone);
  const facts = [
    counted(members.length, "member"),
    counted(here.length, "client"),
    `${moved} moved`,
    ...(meet ? [] : ["members apart"]),
    ...(isolated ? ["isolated"] : []),
  ];
  const waiting = here.filter(({ member }) => member === undefined);
  return [
    `  Service ${service}: ${facts.join(", ")}`,
    ...members.flatMap(({ participants, pod, state, weight }) => {
      const own = here.filter(({ member }) => member === pod);
      const share = weight === 1 ? "" : `, weight ${weight}`;
      return [
        `    ${pod} ${state}${share}: ${counted(own.length, "client")}, ${counted(participants, "participant")} of its own`,
        ...clientLines(own),
      ];
    }),
    ...(waiting.length === 0
      ? []
      : [`    ! introduced to nobody, because no member is ready: ${counted(waiting.length, "client")}`]),
    ...clientLines(waiting),
  ];
}

function clientLines(clients: readonly GroupAnswerClient[]): string[] {
  const rest = clients.length - MOST_CLIENTS;
  return [
    ...clients.slice(0, MOST_CLIENTS).map(({ addresses, away, moves, name, participant, pod }) => {
      const who = [
        pod === undefined ? [] : `pod ${pod}`,
        name === undefined ? [] : JSON.stringify(name),
        addresses[0] ?? [],
      ];
      const past = moves === 0 ? "" : `, moved ${moves === 1 ? "once" : `${moves} times`}`;
      const kept = away.length === 0 ? "" : `, kept from ${away.join(", ")}`;
      return `      ${participant} ${who.flat().join(" ")}${past}${kept}`;
    }),
    ...(rest > 0 ? [`      and ${rest} more`] : []),
  ];
}

const counted = (count: number, what: string): string => `${count} ${what}${count === 1 ? "" : "s"}`;
