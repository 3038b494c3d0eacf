import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { LabError } from "../lab-error.ts";
import type { LabFolder, LabInfo } from "../lab-folder.ts";
import type { LabStatus, NodeStatus } from "../lab-status.ts";
import { labPods, podManifests } from "../pods.ts";
import type { ResolvedTopology } from "../resolve-topology.ts";
import { CLUSTER } from "../topology.ts";
import { buildNetwork } from "./build-network.ts";
import { convergence } from "./convergence.ts";
import { instanceStatus } from "./instance-status.ts";
import type { KeptProcess } from "./kept-process.ts";
import { Kubelet, type PodStatusWriter } from "./kubelet.ts";
import { labProcesses } from "./node-processes.ts";
import { routerRoutes } from "./router-routes.ts";
import { runCommand } from "./run-command.ts";

/** Frontends withdraw and wait for their peers to move before they end. */
const WITHDRAW_GRACE_MS = 5000;
const GRACE_MS = 2000;
/** What speaks BGP is started this long before the rest, or until it is ready: routers take up to a second to connect. */
const HEAD_START_MS = 1000;
const SPEAKERS = ["bird", "frontend"];

export interface LabOptions {
  readonly folder: LabFolder;
  readonly info: LabInfo;
  readonly topology: ResolvedTopology;
  readonly entry: string;
  readonly podStatus: PodStatusWriter;
  readonly report: (message: string) => void;
}

/** The lab as its supervisor holds it: networks, processes, Pods. */
export class Lab {
  readonly #options: LabOptions;
  readonly #processes: readonly KeptProcess[];
  readonly #kubelet: Kubelet;
  /** Nodes that `stop` holds down. */
  readonly #stopped = new Set<string>();
  #stopping: Promise<void> | undefined;

  private constructor(options: LabOptions) {
    this.#options = options;
    const { folder, topology, entry } = options;
    this.#kubelet = new Kubelet(labPods(topology), options.podStatus, options.report);
    this.#processes = labProcesses({ folder, topology, entry, onChange: (node) => this.#updatePod(node) });
  }

  /** Builds the networks, then starts every process. @throws LabError */
  static async build(options: LabOptions): Promise<Lab> {
    const { folder, topology } = options;
    await mkdir(folder.pods, { recursive: true });
    await writeFile(join(folder.manifests, "pods.yaml"), podManifests(topology));
    for (const { namespace, name, node } of labPods(topology)) {
      await writeFile(join(folder.pods, `${namespace}_${name}`), `/run/netns/${node}\n`);
    }
    await buildNetwork(topology);
    const lab = new Lab(options);
    lab.#kubelet.start();
    await lab.#start();
    return lab;
  }

  async #start(): Promise<void> {
    const speakers = this.#processes.filter(({ name }) => SPEAKERS.includes(name));
    for (const process of speakers) process.start();
    const deadline = performance.now() + HEAD_START_MS;
    while (!speakers.every(({ ready }) => ready) && performance.now() < deadline) {
      await new Promise((resolve) => setTimeout(resolve, 10));
    }
    for (const process of this.#processes) process.start();
  }

  async status(): Promise<LabStatus> {
    const { topology, info, folder } = this.#options;
    const gateways = topology.nodes.flatMap(({ name, spec }) =>
      spec.role === "gateway" && spec.run.length > 0 ? [{ name, spec }] : [],
    );
    const instances = await Promise.all(
      gateways
        .filter(({ name }) => !this.#stopped.has(name))
        .map(({ name, spec }) => instanceStatus(folder, name, spec.gateway, spec.run)),
    );
    // Routes are those of VIPs: before there are any, nobody asks.
    const routers = instances.some(({ proxy }) => (proxy?.vips.length ?? 0) > 0)
      ? topology.nodes.filter(({ spec }) => spec.role === "router").map(({ name }) => name)
      : [];
    const routes = new Map(
      await Promise.all(routers.map(async (router) => [router, await routerRoutes(topology, router)] as const)),
    );
    const nodes = this.#nodes();
    const found = convergence({ topology, nodes, instances, routes });
    return {
      name: info.name,
      topology: topology.name,
      description: topology.spec.description,
      topologyFile: info.topologyFile,
      folder: folder.root,
      manifests: folder.manifests,
      startedAt: info.startedAt,
      converged: found.waitingFor.length === 0,
      waitingFor: [...found.waitingFor],
      nodes,
      sessions: [...found.sessions],
      vips: [...found.vips],
      services: [...found.services],
      targets: [...found.targets],
    };
  }

  /** Kills processes with signal 9 and holds them down: of a whole node everything in its namespace, else just one. */
  async stopNode(node: string, process?: string): Promise<void> {
    const processes = this.#find(node, process);
    if (process === undefined) this.#stopped.add(node);
    await Promise.all(processes.map((kept) => kept.kill()));
    if (process === undefined && node !== CLUSTER) await killNamespace(node);
  }

  startNode(node: string, process?: string): void {
    const processes = this.#find(node, process);
    this.#stopped.delete(node);
    for (const kept of processes) kept.start();
  }

  /** Stops everything in order: frontends first, so that routers have moved away before anything else ends. */
  stop(): Promise<void> {
    this.#stopping ??= this.#stopInOrder();
    return this.#stopping;
  }

  async #stopInOrder(): Promise<void> {
    this.#kubelet.close();
    const stages = [["frontend"], ["proxy"]];
    for (const names of stages) {
      await Promise.all(
        this.#processes.filter(({ name }) => names.includes(name)).map((kept) => kept.stop(WITHDRAW_GRACE_MS)),
      );
    }
    await Promise.all(this.#processes.map((kept) => kept.stop(GRACE_MS)));
  }

  #find(node: string, process: string | undefined): KeptProcess[] {
    const names = [...this.#options.topology.nodes.map(({ name }) => name), CLUSTER];
    if (!names.includes(node))
      throw new LabError(`the lab has no node ${JSON.stringify(node)}; nodes are ${names.join(", ")}`);
    const own = this.#processes.filter((kept) => kept.node === node);
    if (process === undefined) return own;
    const found = own.filter(({ name }) => name === process);
    if (found.length > 0) return found;
    throw new LabError(
      `node ${node} has no process ${JSON.stringify(process)}; it has ${own.map(({ name }) => name).join(", ") || "none"}`,
    );
  }

  #updatePod(node: string): void {
    const own = this.#processes.filter((kept) => kept.node === node);
    this.#kubelet.update(node, own.length > 0 && own.every(({ ready }) => ready));
  }

  #nodes(): NodeStatus[] {
    const { topology } = this.#options;
    const processesOf = (node: string) =>
      this.#processes.filter((kept) => kept.node === node).map((kept) => kept.status());
    const nodes = topology.nodes.map(({ name, spec, attachments }): NodeStatus => {
      const addresses = attachments.map(({ interface: device, ipv4, ipv6 }) => ({ interface: device, ipv4, ipv6 }));
      return { name, role: spec.role, stopped: this.#stopped.has(name), addresses, processes: processesOf(name) };
    });
    const cluster = processesOf(CLUSTER);
    if (cluster.length === 0) return nodes;
    return [
      ...nodes,
      { name: CLUSTER, role: CLUSTER, stopped: this.#stopped.has(CLUSTER), addresses: [], processes: cluster },
    ];
  }
}

/** Kills whatever still runs in a namespace: what a killed process has left behind. */
async function killNamespace(node: string): Promise<void> {
  const pids = (await runCommand("ip", ["netns", "pids", node])).split("\n").filter((line) => line !== "");
  for (const pid of pids) {
    try {
      process.kill(Number(pid), "SIGKILL");
    } catch (error) {
      if (!(error instanceof Error && "code" in error && error.code === "ESRCH")) throw error;
    }
  }
}
