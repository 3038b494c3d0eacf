import { type ProcessOptions, runProcess } from "#shared/process/process.ts";
import { frontendMetrics } from "./metrics.ts";
import { runFrontend } from "./run-frontend.ts";

export interface FrontendMainOptions extends ProcessOptions {
  readonly gateway: { readonly namespace: string; readonly name: string };
  readonly pod: { readonly namespace: string; readonly name: string };
  readonly drainMs: number;
}

export function main(options: FrontendMainOptions): Promise<void> {
  const { drainMs, gateway, pod } = options;
  return runProcess("frontend", options, async (context) => {
    const frontend = await runFrontend({ ...context, gateway, pod, drainMs, path: process.env.PATH ?? "" });
    return {
      ready: () => frontend.ready(),
      status: () => frontend.status(),
      metrics: () => frontendMetrics(frontend.status()),
      done: frontend.done,
    };
  });
}
