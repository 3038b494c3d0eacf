import { rm } from "node:fs/promises";
import { commandDown } from "./control-client.ts";
import { isAlive, isLabAlive, type LabFolder, type LabInfo } from "./lab-folder.ts";
import { waitGone } from "./launch.ts";
import { UnixHttpError } from "./unix-http.ts";

/** The supervisor's own limit is below this. */
const ORDERLY_MS = 15_000;

/**
 * Stops a lab in order (frontends withdraw first), kills what will not stop, and removes its folder.
 * @returns whether it had to be killed.
 */
export async function stopLab(folder: LabFolder, info: LabInfo, keepState: boolean): Promise<{ killed: boolean }> {
  let killed = false;
  if (isLabAlive(info)) {
    const asked = await commandDown(folder).then(
      () => true,
      (error: unknown) => {
        if (error instanceof UnixHttpError) return false;
        throw error;
      },
    );
    if (!asked || !(await waitGone(info, ORDERLY_MS))) {
      killed = true;
      // `unshare --kill-child` passes it on; PID 1 of the namespaces takes every process and link along.
      process.kill(info.owner.pid, "SIGKILL");
      await waitGone(info, 5000);
    }
  }
  // What is left of it waits for somebody to reap a killed `lab exec`.
  if (isAlive(info.owner) && info.owner.pid !== process.pid) process.kill(info.owner.pid, "SIGKILL");
  if (!keepState) await rm(folder.root, { recursive: true, force: true });
  return { killed };
}
