import { Command } from "commander";
import { registerEchoCommand, registerLabCommands, registerTrafficCommand } from "../../lab/cli.ts";

/** Just the lab's commands: the lab is tested without the processes that it usually runs. */
const program = new Command("causeway");
registerLabCommands(program);
registerEchoCommand(program);
registerTrafficCommand(program);
try {
  await program.parseAsync();
} catch (error) {
  console.error(error instanceof Error ? `${error.name}: ${error.message}` : String(error));
  process.exitCode = 1;
}
