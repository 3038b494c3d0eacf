import { LabError } from "./lab-error.ts";
import type { LabFolder } from "./lab-folder.ts";
import { type LabStatus, labStatusSchema } from "./lab-status.ts";
import { unixRequest } from "./unix-http.ts";

/** Status of a running lab. @throws UnixHttpError when the supervisor does not answer. */
export async function fetchStatus(folder: LabFolder): Promise<LabStatus> {
  const { status, body } = await unixRequest(folder.control, "GET", "/status", 10_000);
  if (status !== 200) throw new LabError(`the lab's supervisor answered ${status}: ${body.trim()}`);
  return labStatusSchema.parse(JSON.parse(body));
}

/**
 * What can be done to a node or a part of it. `stop`: kill -9, and keep down, of the node or one process. `freeze`:
 * SIGSTOP. `cut`: one of its interfaces loses every packet. `drain`: its Pod is deleted.
 */
export type NodeAction = "stop" | "start" | "freeze" | "thaw" | "cut" | "mend" | "drain";

/** @param part a process; for `cut` and `mend` an interface; for `drain` the grace period in seconds */
export async function commandNode(folder: LabFolder, action: NodeAction, node: string, part?: string): Promise<void> {
  const path = `/nodes/${encodeURIComponent(node)}/${part === undefined ? "" : `${encodeURIComponent(part)}/`}${action}`;
  const { status, body } = await unixRequest(folder.control, "POST", path, 10_000);
  if (status !== 200) throw new LabError(body.trim());
}

/** Begins an orderly stop; the supervisor exits when it is done. */
export async function commandDown(folder: LabFolder): Promise<void> {
  await unixRequest(folder.control, "POST", "/down", 5000);
}

/**
 * Waits until the lab has converged and stayed so, unchanged, for `settleMs`.
 * @throws LabError after `timeoutMs`, naming what is missing.
 */
export async function waitConverged(
  folder: LabFolder,
  options: { timeoutMs: number; settleMs: number; signal?: AbortSignal; onStatus?: (status: LabStatus) => void },
): Promise<LabStatus> {
  const deadline = performance.now() + options.timeoutMs;
  let settled: { shape: string; since: number } | undefined;
  for (;;) {
    const status = await fetchStatus(folder);
    options.signal?.throwIfAborted();
    options.onStatus?.(status);
    const now = performance.now();
    const shape = JSON.stringify([
      status.vips,
      status.services.map(({ node, name, readyTargets }) => [node, name, readyTargets]),
      status.targets.map(({ node, name }) => [node, name]),
    ]);
    if (!status.converged) settled = undefined;
    else if (settled?.shape !== shape) settled = { shape, since: now };
    else if (now - settled.since >= options.settleMs) return status;
    if (now > deadline) {
      throw new LabError(
        `the lab did not converge within ${options.timeoutMs / 1000} s; waiting for: ${status.waitingFor.slice(0, 8).join("; ") || "the end of changes"} ` +
          `(logs: ${folder.logs})`,
      );
    }
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}
