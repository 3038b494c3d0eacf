import { commandNode, fetchStatus, type NodeAction, waitConverged } from "./control-client.ts";
import { findTopology } from "./find-topology.ts";
import { LabError } from "./lab-error.ts";
import { findRunningLab, type LabFolder, labFolder, readLabInfo } from "./lab-folder.ts";
import { launchLab } from "./launch.ts";
import { renderStatus } from "./render-status.ts";
import { stopLab } from "./stop-lab.ts";

/** How long `up --wait` and the demo wait for the first convergence. */
export const CONVERGE_TIMEOUT_MS = 60_000;
const SETTLE_MS = 500;
/** After a node is back: longer than node agents need to lead replies over it. */
const RESTART_SETTLE_MS = 1_000;
const LOOK_MS = 100;

/** The program that was started: the lab starts its processes by it. */
export function entryProgram(): string {
  const entry = process.argv[1];
  if (entry === undefined) throw new LabError("cannot tell which program to start the lab's processes with");
  return entry;
}

export async function labUp(name: string, topology: string, wait: boolean): Promise<void> {
  const launched = await launchLab({ name, topologyFile: findTopology(topology), entry: entryProgram() });
  const option = name === "default" ? "" : ` --name ${name}`;
  launched.detach();
  if (wait) await waitConverged(launched.folder, { timeoutMs: CONVERGE_TIMEOUT_MS, settleMs: SETTLE_MS });
  console.log(
    `lab ${name} is ${wait ? "ready" : "up"}: ${launched.topology.nodes.map((node) => node.name).join(", ")}`,
  );
  console.log(`manifests  ${launched.folder.manifests}`);
  console.log(`look       causeway lab status${option}`);
  console.log(`enter      causeway lab exec${option} client -- sh`);
  console.log(`stop       causeway lab down${option}`);
}

export async function labDown(name: string, keepState: boolean): Promise<void> {
  const folder = labFolder(name);
  const info = await readLabInfo(folder);
  if (info === undefined) throw new LabError(`no lab named ${name}`);
  const { killed } = await stopLab(folder, info, keepState);
  console.log(
    `lab ${name} is down${killed ? " (it did not stop by itself and was killed)" : ""}${keepState ? `; its folder is ${folder.root}` : ""}`,
  );
}

/** @returns 0 when the lab has converged, 3 when it has not. */
export async function labStatus(name: string, json: boolean): Promise<number> {
  const { folder } = await findRunningLab(name);
  const status = await fetchStatus(folder);
  console.log(json ? JSON.stringify(status, null, 2) : renderStatus(status));
  return status.converged ? 0 : 3;
}

const DONE: Readonly<Record<Exclude<NodeAction, "drain">, string>> = {
  stop: "is down until `lab start`",
  start: "is started",
  freeze: "is frozen until `lab thaw`",
  thaw: "goes on",
  cut: "loses every packet until `lab mend`",
  mend: "is mended",
};

export async function labNode(
  name: string,
  action: keyof typeof DONE,
  node: string,
  part: string | undefined,
): Promise<void> {
  const { folder } = await findRunningLab(name);
  await commandNode(folder, action, node, part);
  console.log(`${part === undefined ? node : `${part} of ${node}`} ${DONE[action]}`);
}

/** Deletes a node's Pod as Kubernetes does. @param wait until it is gone. */
export async function labDrain(name: string, node: string, options: { grace: string; wait: boolean }): Promise<void> {
  const { folder } = await findRunningLab(name);
  await commandNode(folder, "drain", node, options.grace);
  if (options.wait) await drained(folder, node);
  console.log(
    `${node} ${options.wait ? "is gone until `lab start`" : `is being drained, for ${options.grace} s at most`}`,
  );
}

async function drained(folder: LabFolder, node: string): Promise<void> {
  while ((await fetchStatus(folder)).nodes.some(({ name, draining }) => name === node && draining)) {
    await new Promise((resolve) => setTimeout(resolve, LOOK_MS));
  }
}

/** Drains nodes and starts them again, each when the one before is back and the lab has converged. */
export async function labRestart(name: string, nodes: readonly string[], options: { grace: string }): Promise<void> {
  const { folder } = await findRunningLab(name);
  for (const node of nodes) {
    const startedMs = performance.now();
    await commandNode(folder, "drain", node, options.grace);
    await drained(folder, node);
    const drainedMs = performance.now();
    await commandNode(folder, "start", node);
    await waitConverged(folder, { timeoutMs: CONVERGE_TIMEOUT_MS, settleMs: RESTART_SETTLE_MS });
    const seconds = (ms: number): string => (ms / 1000).toFixed(1);
    console.log(
      `${node} drained in ${seconds(drainedMs - startedMs)} s, back after ${seconds(performance.now() - drainedMs)} s`,
    );
  }
}
