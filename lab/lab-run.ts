import { spawn } from "node:child_process";
import { constants } from "node:os";
import { entryProgram } from "./commands.ts";
import { waitConverged } from "./control-client.ts";
import { findTopology } from "./find-topology.ts";
import { LabError } from "./lab-error.ts";
import type { LabStatus } from "./lab-status.ts";
import { type LaunchedLab, launchLab } from "./launch.ts";
import { stopLab } from "./stop-lab.ts";

/**
 * `lab run`: the command runs on the machine, outside the lab, so that a script can do anything and enter nodes with
 * `causeway lab exec` (`CAUSEWAY_LAB` names the lab for it). The lab ends with this process.
 * @returns the command's exit code, 128 + n when signal n ended it.
 */
export async function labRun(
  name: string,
  topology: string,
  command: readonly string[],
  timeoutS: string,
): Promise<number> {
  const timeoutMs = Number(timeoutS) * 1000;
  if (!(timeoutMs > 0)) throw new LabError(`--timeout ${timeoutS} must be a number of seconds above 0`);
  const launched = await launchLab({ name, topologyFile: findTopology(topology), entry: entryProgram() });
  const interrupted = new AbortController();
  const interrupt = () => interrupted.abort(new LabError("interrupted"));
  for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) process.on(signal, interrupt);
  try {
    const status = await waitConverged(launched.folder, { timeoutMs, settleMs: 500, signal: interrupted.signal });
    return await runOutside(command, runEnvironment(launched, status), interrupted.signal);
  } finally {
    await stopLab(launched.folder, launched.info, false);
    await launched.closed;
  }
}

/** Names of a lab for a command's environment: `LAB_GATEWAY_A_IPV4`, `LAB_VIP4`… Pure. */
export function runEnvironment(
  { folder, info, topology }: Pick<LaunchedLab, "folder" | "info" | "topology">,
  status: Pick<LabStatus, "vips">,
): Record<string, string> {
  const variables: Record<string, string> = {
    CAUSEWAY_LAB: info.name,
    CAUSEWAY_MANIFESTS: folder.manifests,
    CAUSEWAY_STATE_DIR: folder.state,
  };
  for (const { name, attachments } of topology.nodes) {
    const key = name.toUpperCase().replaceAll("-", "_");
    const ipv4 = attachments.find((attachment) => attachment.ipv4 !== undefined)?.ipv4;
    const ipv6 = attachments.find((attachment) => attachment.ipv6 !== undefined)?.ipv6;
    if (ipv4 !== undefined) variables[`LAB_${key}_IPV4`] = ipv4;
    if (ipv6 !== undefined) variables[`LAB_${key}_IPV6`] = ipv6;
  }
  const vips = status.vips.filter(({ expected }) => expected.length > 0).map(({ address }) => address);
  const vip4 = vips.find((address) => !address.includes(":"));
  const vip6 = vips.find((address) => address.includes(":"));
  if (vip4 !== undefined) variables.LAB_VIP4 = vip4;
  if (vip6 !== undefined) variables.LAB_VIP6 = vip6;
  return variables;
}

function runOutside(
  command: readonly string[],
  variables: Record<string, string>,
  signal: AbortSignal,
): Promise<number> {
  const [program] = command;
  if (program === undefined) throw new LabError("lab run needs a command: causeway lab run -- sh");
  return new Promise((resolve, reject) => {
    // The command is not to outlive the lab, even if this process is killed.
    const child = spawn("setpriv", ["--pdeathsig", "TERM", ...command], {
      stdio: "inherit",
      env: { ...process.env, ...variables },
    });
    signal.addEventListener("abort", () => child.kill("SIGTERM"), { once: true });
    child.once("error", (cause) => reject(new LabError(`cannot run ${program}: ${cause.message}`, { cause })));
    child.once("exit", (code, ended) => resolve(code ?? 128 + (ended === null ? 0 : constants.signals[ended])));
  });
}
