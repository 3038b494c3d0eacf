import { spawn } from "node:child_process";
import { constants } from "node:os";
import { childProcesses } from "./child-processes.ts";
import { LabError } from "./lab-error.ts";
import { findRunningLab, type LabInfo, type ProcessId } from "./lab-folder.ts";
import { systemPath } from "./launch.ts";

const FORWARDED = ["SIGINT", "SIGTERM", "SIGHUP", "SIGQUIT", "SIGUSR1", "SIGUSR2"] as const;

/**
 * Runs a command inside a node of a running lab, with this process's standard streams, folder and environment; signals
 * are passed on. The command ends with this process, even if that is killed.
 * @returns the exit code, 128 + n for a command that signal n ended.
 * @throws LabError when there is no such lab or node, or the namespaces cannot be entered.
 */
export async function execInNode(lab: string, node: string, command: readonly string[]): Promise<number> {
  const { info, init } = await findRunningLab(lab);
  const names = [...info.nodes];
  if (!names.includes(node))
    throw new LabError(`the lab ${lab} has no node ${JSON.stringify(node)}; nodes are ${names.join(", ")}`);
  const [program, args] = enterCommand(info, init, node, command);
  const child = spawn(program, args, { stdio: "inherit", env: nodeEnvironment(lab, node) });
  // nsenter does not pass signals on to the process that it forks into the pid namespace.
  const forward = (signal: NodeJS.Signals) => {
    for (const pid of child.pid === undefined ? [] : childProcesses(child.pid)) process.kill(pid, signal);
  };
  // A terminal's Ctrl-C reaches the command by itself, as part of the foreground process group.
  const ignore = () => undefined;
  for (const signal of FORWARDED) process.on(signal, signal === "SIGINT" && process.stdin.isTTY ? ignore : forward);
  try {
    return await new Promise<number>((resolve, reject) => {
      child.once("error", (cause) => reject(new LabError(`cannot start ${program}: ${cause.message}`, { cause })));
      child.once("exit", (code, signal) => resolve(code ?? 128 + (signal === null ? 0 : constants.signals[signal])));
    });
  } finally {
    for (const signal of FORWARDED) {
      process.off(signal, forward);
      process.off(signal, ignore);
    }
  }
}

/** Program and arguments that run `command` inside a node, until it ends or the process that starts it does. */
export function enterCommand(
  info: Pick<LabInfo, "userNamespace">,
  init: ProcessId,
  node: string,
  command: readonly string[],
): [string, string[]] {
  // A user namespace of an ordinary user has no setgroups(2): keep the credentials, which are root's in there anyway.
  const namespaces = [...(info.userNamespace ? ["--user", "--preserve-credentials"] : []), "--mount", "--pid", "--net"];
  const dieWithParent = ["--pdeathsig", "KILL"];
  const inside = [
    "setpriv",
    ...dieWithParent,
    "env",
    `--chdir=${workingFolder()}`,
    "ip",
    "netns",
    "exec",
    node,
    ...command,
  ];
  return ["setpriv", [...dieWithParent, "nsenter", "--target", String(init.pid), ...namespaces, "--", ...inside]];
}

/** Environment of a command inside a node. */
export function nodeEnvironment(lab: string, node: string): NodeJS.ProcessEnv {
  return { ...process.env, PATH: systemPath(), CAUSEWAY_LAB: lab, CAUSEWAY_LAB_NODE: node };
}

/** The lab has its own /run; a command started from below it begins at the root. */
function workingFolder(): string {
  const folder = process.cwd();
  return `${folder}/`.startsWith("/run/") ? "/" : folder;
}
