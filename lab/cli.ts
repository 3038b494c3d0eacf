import type { Command } from "commander";
import { TRAFFIC_DEFAULTS } from "./traffic/defaults.ts";

/** Options that commander hands to the actions below. */
interface NameOption {
  readonly name: string;
}

function parseName(command: Command): Command {
  return command.option("-n, --name <name>", "name of the lab", process.env.CAUSEWAY_LAB ?? "default");
}

const TOPOLOGY = [
  "-t, --topology <file>",
  "topology file or folder, or the name of one in examples/lab",
  "default",
] as const;

/** What can be done to a running lab's nodes. */
const NODE_ACTIONS = [
  [
    "stop",
    "<node> [process]",
    "kill -9 a node's processes, or one of them, and keep them down; as after a crash, packets are lost until others notice",
  ],
  ["start", "<node> [process]", "start what `lab stop` holds down"],
  ["freeze", "<node>", "SIGSTOP to everything in a node: its processes hang, its kernel forwards on"],
  ["thaw", "<node>", "let what `lab freeze` has stopped go on"],
  ["cut", "<node> <interface>", "lose every packet of a node's interface, both ways, while its link stays up"],
  ["mend", "<node> <interface>", "undo `lab cut`"],
] as const;

/** `causeway lab …`. The actions load their code when they run: the other commands start no slower for it. */
export function registerLabCommands(program: Command): void {
  // `exec` and `run` leave the options after their own arguments to the command that they run.
  program.enablePositionalOptions();
  const lab = program.command("lab").description("a cluster in a box of network namespaces").enablePositionalOptions();
  parseName(lab.command("up"))
    .description("build a lab and leave it running")
    .option(...TOPOLOGY)
    .option("--wait", "return only when everything has converged")
    .action(async (options: NameOption & { topology: string; wait?: true }) => {
      const { labUp } = await import("./commands.ts");
      await labUp(options.name, options.topology, options.wait === true);
    });
  parseName(lab.command("down"))
    .description("stop a lab; routers are told first")
    .option("--keep-state", "leave its folder for a look at the logs")
    .action(async (options: NameOption & { keepState?: true }) => {
      const { labDown } = await import("./commands.ts");
      await labDown(options.name, options.keepState === true);
    });
  parseName(lab.command("status"))
    .description("nodes, addresses, processes, VIPs, and where the manifests are")
    .option("--json", "machine readable")
    .action(async (options: NameOption & { json?: true }) => {
      const { labStatus } = await import("./commands.ts");
      process.exitCode = await labStatus(options.name, options.json === true);
    });
  parseName(lab.command("logs <node>"))
    .description("logs of a node's processes (`cluster`: controller and node agent)")
    .option("-f, --follow", "go on as they grow")
    .action(async (node: string, options: NameOption & { follow?: true }) => {
      const { labLogs } = await import("./lab-logs.ts");
      await labLogs(options.name, node, options.follow === true);
    });
  parseName(lab.command("exec <node> <command...>"))
    .description("run a command inside a node: causeway lab exec client -- ping 198.51.100.1")
    .passThroughOptions()
    .action(async (node: string, command: string[], options: NameOption) => {
      const { execInNode } = await import("./enter.ts");
      process.exitCode = await execInNode(options.name, node, withoutDashes(command));
    });
  for (const [action, parts, description] of NODE_ACTIONS) {
    const command = parseName(lab.command(`${action} ${parts}`)).description(description);
    command.action(async () => {
      const { labNode } = await import("./commands.ts");
      const [node = "", part] = command.args;
      await labNode(command.opts<NameOption>().name, action, node, part);
    });
  }
  const grace = ["--grace <seconds>", "grace period: what still runs then is killed", "30"] as const;
  parseName(lab.command("drain <node>"))
    .description("delete the Pod of a gateway or target as Kubernetes does: terminating, SIGTERM, then gone")
    .option(...grace)
    .option("--wait", "return only when it is gone")
    .action(async (node: string, options: NameOption & { grace: string; wait?: true }) => {
      const { labDrain } = await import("./commands.ts");
      await labDrain(options.name, node, { grace: options.grace, wait: options.wait === true });
    });
  parseName(lab.command("restart <nodes...>"))
    .description("drain gateways or targets one after the other and start each again: a rolling restart")
    .option(...grace)
    .action(async (nodes: string[], options: NameOption & { grace: string }) => {
      const { labRestart } = await import("./commands.ts");
      await labRestart(options.name, nodes, options);
    });
  parseName(lab.command("run <command...>"))
    .description(
      "build a lab, wait until it has converged, run a command on this machine with the lab's names in its environment, tear down",
    )
    .option(...TOPOLOGY)
    .option("--timeout <seconds>", "how long to wait for convergence", "60")
    .passThroughOptions()
    .action(async (command: string[], options: NameOption & { topology: string; timeout: string }) => {
      const { labRun } = await import("./lab-run.ts");
      process.exitCode = await labRun(options.name, options.topology, withoutDashes(command), options.timeout);
    });
  parseName(lab.command("demo"))
    .description("build a lab and watch traffic flow through it; Ctrl-C tears it down")
    .option(...TOPOLOGY)
    .option("--once", "send 400 TCP connections and 400 UDP exchanges to every VIP, print the result, tear down")
    .action(async (options: NameOption & { topology: string; once?: true }) => {
      const { demo } = await import("./demo/demo.ts");
      process.exitCode = await demo({ ...options, once: options.once === true });
    });
}

/** The `--` that sets the command apart is no part of it. */
function withoutDashes(command: readonly string[]): readonly string[] {
  return command[0] === "--" ? command.slice(1) : command;
}

function collect(value: string, previous: readonly string[] = []): readonly string[] {
  return [...previous, value];
}

/** `causeway echo`: the lab's targets run it. */
export function registerEchoCommand(program: Command): void {
  program
    .command("echo")
    .description("a service that answers with its name")
    .requiredOption("--name <name>", "what it answers with")
    .option("--tcp <port>", "TCP port; repeat for several", collect, [])
    .option("--udp <port>", "UDP port; repeat for several", collect, [])
    .option("--run-dir <folder>", "folder for the socket echo.sock that answers GET /readyz")
    .action(async (options: { name: string; tcp: readonly string[]; udp: readonly string[]; runDir?: string }) => {
      const { echoMain } = await import("./echo/main.ts");
      await echoMain(options);
    });
}

/** `causeway traffic`: the client of the echo service. */
export function registerTrafficCommand(program: Command): void {
  program
    .command("traffic")
    .description("send traffic to echo services and count what comes back; exit code 0 only if nothing was lost")
    .requiredOption("--to <address:port>", "destination; IPv6 as [address]:port; repeat for several at once", collect)
    .option("--protocol <protocol>", "tcp or udp", "tcp")
    .option("--connections <n>", "exchanges (with --keep: connections held open); default 100")
    .option("--duration <seconds>", "go on this long instead")
    .option("--rate <n>", "at most so many new exchanges a second")
    .option("--concurrency <n>", "exchanges in flight", String(TRAFFIC_DEFAULTS.concurrency))
    .option("--payload <bytes>", "size of a request", String(TRAFFIC_DEFAULTS.payloadBytes))
    .option("--keep", "hold connections open and send on each again and again; report which broke")
    .option("--new-rate <n>", "with --keep: so many new connections a second beside those that are held")
    .option(
      "--interval <ms>",
      "with --keep: pause between requests of a connection",
      String(TRAFFIC_DEFAULTS.intervalMs),
    )
    .option("--timeout <ms>", "an exchange without an answer for so long is lost", String(TRAFFIC_DEFAULTS.timeoutMs))
    .option("--retries <n>", "UDP: send again so often, each timeout/(n+1) apart", String(TRAFFIC_DEFAULTS.retries))
    .option("--source <address>", "source address")
    .option("--json", "machine readable")
    .action(async (options: Readonly<Record<string, unknown>>) => {
      const { trafficMain } = await import("./traffic/main.ts");
      process.exitCode = await trafficMain(options);
    });
}
