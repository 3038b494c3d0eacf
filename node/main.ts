import { type ProcessOptions, runProcess } from "#shared/process/process.ts";
import { nodeMetrics } from "./metrics.ts";
import { FolderNamespaces } from "./pod-namespaces.ts";
import { runNodeAgent } from "./run-node-agent.ts";

export interface NodeMainOptions extends ProcessOptions {
  /** Folder of files `<namespace>_<name>`, each with the path of a pod's network namespace. */
  readonly podNamespaces: string;
  /** The node that this runs on: of others only the gateway instances' pods are read. */
  readonly nodeName?: string;
}

export function main(options: NodeMainOptions): Promise<void> {
  return runProcess("node", options, async (context) => {
    const { log } = context;
    const agent = await runNodeAgent({
      ...context,
      ...(options.nodeName === undefined ? {} : { nodeName: options.nodeName }),
      podNamespaces: (onChange) => new FolderNamespaces({ folder: options.podNamespaces, log, onChange }),
    });
    return {
      ready: () => agent.ready(),
      status: () => agent.status(),
      metrics: () => nodeMetrics(agent.status()),
      done: agent.done,
    };
  });
}
