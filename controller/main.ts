import { randomUUID } from "node:crypto";
import { hostname } from "node:os";
import { type ProcessOptions, runProcess } from "#shared/process/process.ts";
import { runCandidate } from "./run-candidate.ts";
import { runController } from "./run-controller.ts";

const LEASE = "causeway-controller";

export function main(options: ProcessOptions): Promise<void> {
  return runProcess("controller", options, async (context) => {
    const { lock } = context;
    if (lock !== undefined) {
      const identity = `${hostname()}_${randomUUID()}`;
      return runCandidate({ ...context, lock: lock(LEASE), identity, elapsedMs: () => performance.now() });
    }
    const controller = await runController(context);
    return { ready: () => controller.ready(), status: () => controller.snapshot(), done: controller.done };
  });
}
