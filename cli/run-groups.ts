import { groupsAnswerSchema } from "#shared/dds/groups.ts";
import { askRelays, type RelayChoice } from "./ask-relays.ts";
import { groupsText } from "./groups-text.ts";

export interface GroupsOptions extends RelayChoice {
  readonly json?: boolean;
}

/** @returns the exit status. */
export async function runGroups(options: GroupsOptions, print: (text: string) => void): Promise<number> {
  const answers = await askRelays(options, "/groups", groupsAnswerSchema);
  if ("failure" in answers) {
    process.stderr.write(`causeway discovery groups: ${answers.failure}\n`);
    return 2;
  }
  print(options.json ? `${JSON.stringify({ instances: answers }, null, 2)}\n` : groupsText(answers));
  const domains = answers.flatMap((answer) => answer.domains);
  const isServed = domains.every(
    ({ groups, problems }) =>
      problems.length === 0 &&
      groups.every(({ clients }) => clients.every((one) => one.gone || one.member !== undefined)),
  );
  return isServed ? 0 : 1;
}
