import { randomUUID } from "node:crypto";
import { hostname } from "node:os";
import { type ProcessOptions, runProcess } from "#shared/process/process.ts";
import { runCandidate } from "./run-candidate.ts";
import { runController } from "./run-controller.ts";

const LEASE = "causeway-controller";

export interface ControllerMainOptions extends ProcessOptions {
  /** Image of the gateway instances; undefined: the controller makes none. */
  readonly image?: string;
  /** Services that are marked for multus-service are ours, too. */
  readonly multusService?: boolean;
}

/** Nothing runs containers for a folder. */
class NoClusterError extends Error {
  override readonly name = "NoClusterError";
}

export function main(options: ControllerMainOptions): Promise<void> {
  return runProcess("controller", options, async (context) => {
    const { lock } = context;
    const more = { multusService: options.multusService ?? false };
    const instances = options.image === undefined ? undefined : { image: options.image };
    if (lock !== undefined) {
      const identity = `${hostname()}_${randomUUID()}`;
      if (instances === undefined) context.log.info("without --image no gateway instances are made");
      return runCandidate({
        ...context,
        ...more,
        instances,
        lock: lock(LEASE),
        identity,
        elapsedMs: () => performance.now(),
      });
    }
    if (instances !== undefined)
      throw new NoClusterError("--image is for the Kubernetes API: folders run no containers");
    const controller = await runController({ ...context, ...more });
    return { ready: () => controller.ready(), status: () => controller.snapshot(), done: controller.done };
  });
}
