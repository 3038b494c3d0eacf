import { Command, InvalidArgumentError, Option } from "commander";
import { type ListenAddress, parseListenAddress } from "#shared/process/http-server.ts";
import { registerEchoCommand, registerLabCommands, registerTrafficCommand } from "../lab/cli.ts";
import { registerExplainCommand } from "./explain.ts";
import { registerRelayQuestions } from "./relay-questions.ts";
import { registerValidateCommand } from "./validate.ts";

/*
 * The `causeway` command. Each subcommand loads its own code when it runs, so that starting one is cheap.
 */

interface NamespacedName {
  readonly namespace: string;
  readonly name: string;
}

function namespacedName(text: string): NamespacedName {
  const [namespace, name, extra] = text.split("/");
  if (!namespace || !name || extra !== undefined) throw new InvalidArgumentError("write NAMESPACE/NAME.");
  return { namespace, name };
}

function namespacedNames(text: string, before: readonly NamespacedName[] = []): readonly NamespacedName[] {
  return [...before, namespacedName(text)];
}

function milliseconds(text: string): number {
  const value = Number(text);
  if (!Number.isInteger(value) || value < 0 || value > 600_000) {
    throw new InvalidArgumentError("write a whole number of milliseconds, 0 to 600000.");
  }
  return value;
}

function listenAddress(text: string): ListenAddress {
  const address = parseListenAddress(text);
  if (address === undefined) throw new InvalidArgumentError("write PORT, ADDRESS:PORT or [ADDRESS]:PORT.");
  return address;
}

/** The path of a unix socket, as a path or as Kubernetes writes it, `unix:///path`. */
function socketPath(text: string): string {
  const path = text.replace(/^unix:\/\//, "");
  // Linux: sun_path holds 108 bytes with the terminating NUL.
  if (!path.startsWith("/") || Buffer.byteLength(path) > 107) {
    throw new InvalidArgumentError("write the absolute path of a socket, 107 bytes at most.");
  }
  return path;
}

/** A process that runs on a directory of manifests, or on the Kubernetes API. */
function processCommand(program: Command, name: string, description: string): Command {
  return program
    .command(name)
    .description(description)
    .option("--manifests <dir>", "folder of manifests, only read; with --state")
    .option("--state <dir>", "folder of generated objects and statuses")
    .option("--kubernetes", "read and write objects over the Kubernetes API; in a pod without --manifests the default")
    .option("--kubeconfig <file>", "where the Kubernetes API is; without it the pod's service account says so")
    .requiredOption("--run-dir <dir>", "folder of this process's socket and files")
    .option("--listen <[address:]port>", "answer over TCP, too: health, status, metrics", listenAddress)
    .addOption(
      new Option("--log-level <level>", "least severe level to log")
        .choices(["trace", "debug", "info", "warn", "error", "silent"])
        .default("info"),
    );
}

function instanceCommand(program: Command, name: string, description: string): Command {
  return processCommand(program, name, description)
    .requiredOption("--gateway <namespace/name>", "the Gateway that this is an instance of", namespacedName)
    .requiredOption("--pod <namespace/name>", "the Pod of this instance", namespacedName)
    .option("--drain-ms <ms>", "on shutdown, how long to wait at most for the last packet", milliseconds, 20_000);
}

function program(): Command {
  const causeway = new Command("causeway")
    .description("Services on the secondary networks of Kubernetes pods.")
    .showHelpAfterError("(causeway --help lists the commands)");

  processCommand(causeway, "controller", "allocate VIPs, publish EndpointSlices and status, run gateway instances")
    .addOption(
      new Option("--image <image>", "with the Kubernetes API: image of the gateway instances that it is to run").env(
        "CAUSEWAY_IMAGE",
      ),
    )
    .option("--multus-service", "also publish targets of Services that are marked for multus-service (multus-proxy)")
    .action(async (options) => {
      const { main } = await import("../controller/main.ts");
      await main(options);
    });
  instanceCommand(causeway, "proxy", "program the kernel of one gateway instance").action(async (options) => {
    const { main } = await import("../proxy/main.ts");
    await main(options);
  });
  instanceCommand(causeway, "frontend", "attract traffic to one gateway instance by BGP").action(async (options) => {
    const { main } = await import("../frontend/main.ts");
    await main(options);
  });
  processCommand(causeway, "node", "give the pods of this node their return path")
    .option("--cri <socket>", "the container runtime's socket; without it the well-known ones are tried", socketPath)
    .option(
      "--pod-namespaces <dir>",
      "folder of files NAMESPACE_NAME, each holding the path of a pod's network namespace, instead of the runtime",
    )
    .addOption(
      new Option("--node-name <name>", "with the Kubernetes API: only pods of this node are read").env("NODE_NAME"),
    )
    .action(async (options) => {
      const { main } = await import("../node/main.ts");
      await main(options);
    });

  const discovery = processCommand(causeway, "discovery", "introduce DDS participants to each other across networks")
    .requiredOption("--pod <namespace/name>", "the Pod that this runs in", namespacedName)
    .option("--only <namespace/name...>", "only these DiscoveryDomains", namespacedNames)
    .action(async (options) => {
      const { main } = await import("../discovery/main.ts");
      await main(options);
    });
  registerRelayQuestions(discovery);

  processCommand(causeway, "topics", "serve DDS topics to TCP clients, as lines of JSON")
    .requiredOption("--pod <namespace/name>", "the Pod that this runs in", namespacedName)
    .option("--drain-ms <ms>", "on shutdown, how long clients are still served", milliseconds, 2_000)
    .addOption(
      new Option(
        "--connext <folder>",
        "where RTI Connext was installed (npm install --prefix <folder> rticonnextdds-connector)",
      ).env("CONNEXT_FOLDER"),
    )
    .action(async (options) => {
      const { main } = await import("../topics/main.ts");
      await main(options);
    });

  registerValidateCommand(causeway);
  registerExplainCommand(causeway);
  registerLabCommands(causeway);
  registerTrafficCommand(causeway);
  registerEchoCommand(causeway);
  return causeway;
}

try {
  await program().parseAsync();
} catch (error) {
  process.stderr.write(`causeway: ${error instanceof Error ? error.message : String(error)}\n`);
  process.exitCode = 1;
}
