import { type Command, Option } from "commander";

/** Adds `causeway discovery graph` and `groups`; what they need is loaded when they run. */
export function registerRelayQuestions(discovery: Command): void {
  withSubcommands(discovery);
  askingCommand(discovery, "groups")
    .description("tell which pods of service groups share which DDS participants")
    .option("--json", "print it as JSON")
    .addHelpText(
      "after",
      "\nExit status: 0 when each participant has a member, 1 when some have none or a group is refused, 2 when no relay answers.",
    )
    .action(async (options) => {
      const { runGroups } = await import("./run-groups.ts");
      process.exitCode = await runGroups(options, (text) => process.stdout.write(text));
    });
  askingCommand(discovery, "graph")
    .description("tell who writes and reads which DDS topic, and who does not hear whom and why")
    .addOption(new Option("--json", "print what they know as JSON").conflicts("dot"))
    .option("--dot", "print it for Graphviz")
    .addHelpText(
      "after",
      "\nExit status: 0 when all that should exchange data do, 1 when some do not, 2 when no relay answers.",
    )
    .action(async (options) => {
      const { runGraph } = await import("./run-graph.ts");
      process.exitCode = await runGraph(options, (text) => process.stdout.write(text));
    });
}

function askingCommand(discovery: Command, name: string): Command {
  return discovery
    .command(name)
    .addOption(new Option("--lab <name>", "ask the relays of this lab").env("CAUSEWAY_LAB").default("default"))
    .option("--run-dir <dir...>", "run folders of the discovery processes to be asked instead");
}

/** Options that a command needs to run are not needed by its subcommands, which may have others of the same name. */
function withSubcommands(command: Command): void {
  const needed = command.options.filter(({ mandatory }) => mandatory);
  for (const option of needed) option.makeOptionMandatory(false);
  command.enablePositionalOptions().hook("preAction", (_command, running) => {
    if (running !== command) return;
    const missing = needed.find((option) => command.getOptionValue(option.attributeName()) === undefined);
    if (missing !== undefined) command.error(`error: required option '${missing.flags}' not specified`);
  });
}
