import type { FarEnd } from "../network-script.ts";
import { runCommand } from "./run-command.ts";

/** Sends a signal to everything that runs in a node's network namespace. */
export async function signalNode(node: string, signal: NodeJS.Signals): Promise<void> {
  const pids = (await runCommand("ip", ["netns", "pids", node])).split("\n").filter((line) => line !== "");
  for (const pid of pids) {
    try {
      process.kill(Number(pid), signal);
    } catch (error) {
      if (!(error instanceof Error && "code" in error && error.code === "ESRCH")) throw error;
    }
  }
}

const TABLE = "netdev lab-cut";

/**
 * Has the far end of a link drop every packet, both ways, while the link stays up: nothing in the node shows it. Once
 * only, until `mendLink`. @throws LabError
 */
export async function cutLink(end: FarEnd): Promise<void> {
  const chains = ["ingress", "egress"].map(
    (hook) =>
      `add chain ${TABLE} ${end.device}-${hook} { type filter hook ${hook} device "${end.device}" priority -500; policy drop; }`,
  );
  await runNft(end, [`add table ${TABLE}`, ...chains]);
}

/** Undoes `cutLink`. @throws LabError */
export async function mendLink(end: FarEnd): Promise<void> {
  await runNft(
    end,
    ["ingress", "egress"].map((hook) => `delete chain ${TABLE} ${end.device}-${hook}`),
  );
}

async function runNft({ namespace }: FarEnd, commands: readonly string[]): Promise<void> {
  const nft = ["nft", commands.join("; ")];
  const [program = "", ...args] = namespace === undefined ? nft : ["ip", "netns", "exec", namespace, ...nft];
  await runCommand(program, args);
}
