import { type ProcessOptions, runProcess } from "#shared/process/process.ts";
import { answerFlow } from "./flow-question.ts";
import { proxyMetrics } from "./metrics.ts";
import { runProxy } from "./run-proxy.ts";

export interface ProxyMainOptions extends ProcessOptions {
  readonly gateway: { readonly namespace: string; readonly name: string };
  readonly pod: { readonly namespace: string; readonly name: string };
  readonly drainMs: number;
}

export function main(options: ProxyMainOptions): Promise<void> {
  return runProcess("proxy", options, async (context) => {
    const { drainMs, gateway, pod } = options;
    const proxy = await runProxy({ ...context, gateway, pod, drainMs });
    return {
      ready: () => proxy.ready(),
      status: () => proxy.status(),
      metrics: () => proxyMetrics(proxy.status()),
      questions: { "/flow": (query) => answerFlow(query, (packet) => proxy.locate(packet)) },
      done: proxy.done,
    };
  });
}
