import { type Command, Option } from "commander";

/** Adds `causeway explain`; what it needs is loaded when it runs. */
export function registerExplainCommand(program: Command): void {
  program
    .command("explain")
    .description(
      "tell which target a flow goes to and why, from the objects, and from the instances while slots are moved",
    )
    .requiredOption("--from <address:port>", "the client's address and port ([address]:port for IPv6)")
    .requiredOption("--to <vip:port>", "the VIP and port that the client connects to")
    .addOption(new Option("--protocol <protocol>", "transport protocol").choices(["tcp", "udp", "sctp"]).default("tcp"))
    .option("--manifests <dir>", "folder of manifests")
    .option("--state <dir>", "folder of generated objects and statuses")
    .option("--kubeconfig <file>", "read the objects from this Kubernetes API instead")
    .addOption(new Option("--lab <name>", "take both folders from this lab").env("CAUSEWAY_LAB").default("default"))
    .option("--run-dir <dir...>", "run folders of gateway instances to be asked as well; in a lab all of them are")
    .option("--json", "print the answer as JSON")
    .addHelpText(
      "after",
      "\nExit status: 0 when the flow reaches a target, 1 when it does not, 2 when the question makes no sense.",
    )
    .action(async (options) => {
      const { runExplain } = await import("./run-explain.ts");
      process.exitCode = await runExplain(options, (text) => process.stdout.write(text));
    });
}
