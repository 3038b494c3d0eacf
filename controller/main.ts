import { type ProcessOptions, runProcess } from "#shared/process/process.ts";
import { runController } from "./run-controller.ts";

export function main(options: ProcessOptions): Promise<void> {
  return runProcess("controller", options, async (context) => {
    const controller = await runController(context);
    return { ready: () => controller.ready(), status: () => controller.snapshot(), done: controller.done };
  });
}
