import { LabError } from "../lab-error.ts";
import { type FarEnd, networkScript } from "../network-script.ts";
import type { ResolvedTopology } from "../resolve-topology.ts";
import { runCommand } from "./run-command.ts";

/**
 * Builds the namespaces, links, addresses and routes of a topology.
 * @returns the far end of each member's link, by `NODE INTERFACE`.
 * @throws LabError naming the node that failed.
 */
export async function buildNetwork(topology: ResolvedTopology): Promise<ReadonlyMap<string, FarEnd>> {
  const script = networkScript(topology);
  await runCommand("ip", ["-batch", "-"], `${script.fabric.join("\n")}\n`);
  await Promise.all(
    [...script.nodes].map(async ([node, text]) => {
      try {
        await runCommand("ip", ["netns", "exec", node, "sh", "-eu"], `${text}\n`);
      } catch (cause) {
        throw new LabError(explain(node, cause), { cause });
      }
    }),
  );
  return script.farEnds;
}

function explain(node: string, cause: unknown): string {
  const message = cause instanceof Error ? cause.message : String(cause);
  if (message.includes("qdisc kind is unknown")) {
    return `node ${node}: this kernel has no netem, which \`link\` needs; load it (modprobe sch_netem) or remove \`link\` from its networks`;
  }
  if (message.includes("Unknown device type")) {
    return `node ${node}: this kernel lacks a device type that the topology needs (${message}); load its module or choose another network type`;
  }
  return `cannot set up node ${node}: ${message}`;
}
