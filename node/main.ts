import { type ProcessContext, type ProcessOptions, runProcess } from "#shared/process/process.ts";
import { nodeMetrics } from "./metrics.ts";
import { FolderNamespaces, type PodNamespaces } from "./pod-namespaces.ts";
import { runNodeAgent } from "./run-node-agent.ts";

export interface NodeMainOptions extends ProcessOptions {
  /** Folder of files `<namespace>_<name>`, each with the path of a pod's network namespace; else the runtime is asked. */
  readonly podNamespaces?: string;
  /** Socket of the container runtime; without it the well-known ones are tried. */
  readonly cri?: string;
  /** The node that this runs on: of others only the gateway instances' pods are read. */
  readonly nodeName?: string;
}

export function main(options: NodeMainOptions): Promise<void> {
  return runProcess("node", options, async (context) => {
    const podNamespaces = await namespaceSource(options, context);
    const agent = await runNodeAgent({
      ...context,
      ...(options.nodeName === undefined ? {} : { nodeName: options.nodeName }),
      podNamespaces,
    });
    return {
      ready: () => agent.ready(),
      status: () => agent.status(),
      metrics: () => nodeMetrics(agent.status()),
      done: agent.done,
    };
  });
}

/** Where the pods' network namespaces are found. Each loads its own code only. */
async function namespaceSource(
  { podNamespaces: folder, cri }: NodeMainOptions,
  { log, signal }: ProcessContext,
): Promise<(onChange: () => void) => PodNamespaces> {
  if (folder !== undefined) {
    if (cri !== undefined) throw new NamespaceChoiceError("give --pod-namespaces or --cri, not both");
    return (onChange) => new FolderNamespaces({ folder, log, onChange });
  }
  const { ContainerRuntime, WELL_KNOWN_SOCKETS } = await import("./cri/container-runtime.ts");
  const { RuntimeNamespaces } = await import("./cri/runtime-namespaces.ts");
  const runtime = new ContainerRuntime({ sockets: cri === undefined ? WELL_KNOWN_SOCKETS : [cri], signal });
  return (onChange) => new RuntimeNamespaces({ runtime, log, onChange, signal });
}

/** The command line says twice where pods' network namespaces are. */
class NamespaceChoiceError extends Error {
  override readonly name = "NamespaceChoiceError";
}
