import { type ProcessOptions, runProcess } from "#shared/process/process.ts";
import { connextLoader } from "./connext/connext-library.ts";
import { topicsMetrics } from "./metrics.ts";
import { runTopics } from "./run-topics.ts";

export interface TopicsMainOptions extends ProcessOptions {
  /** The pod that this runs in. */
  readonly pod: { readonly namespace: string; readonly name: string };
  readonly drainMs: number;
  /** Folder in which the DDS library was installed; without one it is looked for beside Causeway. */
  readonly connext?: string;
}

export function main(options: TopicsMainOptions): Promise<void> {
  const { pod, drainMs, connext, runDir } = options;
  return runProcess("topics", options, async ({ store, log, clock, signal }) => {
    const topics = await runTopics({
      store,
      pod,
      loadLibrary: connextLoader({ folder: connext, runDir, log }),
      drainMs,
      log,
      clock,
      nowMs: () => performance.now(),
      signal,
    });
    return {
      ready: () => topics.ready(),
      status: () => topics.status(),
      metrics: () => topicsMetrics(topics.status()),
      done: topics.done,
    };
  });
}
