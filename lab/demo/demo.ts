import { CONVERGE_TIMEOUT_MS, entryProgram } from "../commands.ts";
import { waitConverged } from "../control-client.ts";
import { findTopology } from "../find-topology.ts";
import { LabError } from "../lab-error.ts";
import { launchLab } from "../launch.ts";
import { stopLab } from "../stop-lab.ts";
import { showLive } from "./live.ts";
import { sendOnce } from "./once.ts";

/** Stable for this long counts as converged. */
const SETTLE_MS = 400;

/** `npm start`: builds a lab in the foreground, shows it (or tests it once), and tears it down. @returns the exit code. */
export async function demo(options: { name: string; topology: string; once: boolean }): Promise<number> {
  const interrupted = new AbortController();
  for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const)
    process.on(signal, () => interrupted.abort(new LabError("interrupted")));
  const begun = performance.now();
  const lab = await launchLab({
    name: options.name,
    topologyFile: findTopology(options.topology),
    entry: entryProgram(),
  });
  try {
    console.log(
      `lab ${options.name}: ${lab.topology.nodes.length} nodes up after ${seconds(begun)}; waiting for BGP and the data plane`,
    );
    const status = await waitConverged(lab.folder, {
      timeoutMs: CONVERGE_TIMEOUT_MS,
      settleMs: SETTLE_MS,
      signal: interrupted.signal,
    });
    console.log(`converged after ${seconds(begun)}\n`);
    if (options.once) return await sendOnce(lab, status);
    await showLive(lab, status, interrupted.signal);
    return 0;
  } finally {
    const { killed } = await stopLab(lab.folder, lab.info, false);
    await lab.closed;
    console.log(killed ? "the lab did not stop by itself and was killed" : "the lab is down");
  }
}

function seconds(begun: number): string {
  return `${((performance.now() - begun) / 1000).toFixed(1)} s`;
}
