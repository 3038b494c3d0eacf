import type { Command } from "commander";

/** Adds `causeway validate`; what it needs is loaded when it runs. */
export function registerValidateCommand(program: Command): void {
  program
    .command("validate")
    .description(
      "check manifests without a cluster: every problem at once, with file, line, field and what would be right",
    )
    .requiredOption("-f, --filename <path...>", "files and folders (.yaml, .yml, .json); - reads standard input")
    .option("--json", "print { files, objects, findings } as JSON")
    .addHelpText(
      "after",
      "\nExit status: 0 when all manifests are right (warnings allowed), 1 when one has an error, 2 when a path cannot be read.",
    )
    .action(async ({ filename, json = false }: { filename: string[]; json?: boolean }) => {
      const { runValidate } = await import("./run-validate.ts");
      process.exitCode = await runValidate(filename, json, process.stdin, (text) => process.stdout.write(text));
    });
}
