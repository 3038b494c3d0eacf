import { existsSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { LabError } from "../lab-error.ts";
import type { LabFolder, LabInfo } from "../lab-folder.ts";
import type { LabStatus, NodeStatus } from "../lab-status.ts";
import type { FarEnd } from "../network-script.ts";
import { labPods, podManifests } from "../pods.ts";
import { changePods, type PodsChange } from "../pods-file.ts";
import type { ResolvedTopology } from "../resolve-topology.ts";
import { CLUSTER } from "../topology.ts";
import { buildNetwork } from "./build-network.ts";
import { convergence } from "./convergence.ts";
import { cutLink, mendLink, signalNode } from "./faults.ts";
import { instanceStatus } from "./instance-status.ts";
import type { KeptProcess } from "./kept-process.ts";
import { Kubelet, type PodStatusWriter } from "./kubelet.ts";
import { labProcesses } from "./node-processes.ts";
import { routerRoutes } from "./router-routes.ts";

/** Frontends and proxies withdraw and wait for routers to move before they end. */
const WITHDRAW_GRACE_MS = 5000;
const GRACE_MS = 2000;
const LONGEST_GRACE_S = 86_400;
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
  /** Nodes whose Pod is terminating. */
  readonly #draining = new Set<string>();
  /** Nodes whose Pod is gone, and the interfaces that went with it. */
  readonly #gone = new Map<string, readonly string[]>();
  /** Far ends of the links, by `NODE INTERFACE`, and which of them are cut. */
  readonly #farEnds: ReadonlyMap<string, FarEnd>;
  readonly #cut = new Set<string>();
  #stopping: Promise<void> | undefined;

  private constructor(options: LabOptions, farEnds: ReadonlyMap<string, FarEnd>) {
    this.#options = options;
    this.#farEnds = farEnds;
    const { folder, topology, entry } = options;
    this.#kubelet = new Kubelet(labPods(topology), options.podStatus, options.report);
    this.#processes = labProcesses({
      folder,
      topology,
      program: [process.execPath, ...process.execArgv, entry],
      storeFlags: () => ["--manifests", folder.manifests, "--state", folder.state],
      onChange: (node) => this.#updatePod(node),
    });
  }

  /** Builds the networks, then starts every process. @throws LabError */
  static async build(options: LabOptions): Promise<Lab> {
    const { folder, topology } = options;
    await mkdir(folder.pods, { recursive: true });
    await writeFile(join(folder.manifests, "pods.yaml"), podManifests(topology));
    for (const { namespace, name, node } of labPods(topology)) {
      await writeFile(join(folder.pods, `${namespace}_${name}`), `/run/netns/${node}\n`);
    }
    const lab = new Lab(options, await buildNetwork(topology));
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
    if (process === undefined && node !== CLUSTER) await signalNode(node, "SIGKILL");
  }

  /** A node whose Pod is gone gets a new one. */
  async startNode(node: string, process?: string): Promise<void> {
    const processes = this.#find(node, process);
    if (this.#draining.has(node)) throw new LabError(`node ${node} is being drained; start it when it has ended`);
    const interfaces = this.#gone.get(node);
    if (interfaces !== undefined) {
      this.#gone.delete(node);
      for (const device of interfaces) await this.cutLink(node, device, false);
      const pod = this.#kubelet.pod(node);
      if (pod) this.#changePods({ type: "add", pod, manifest: podManifests(this.#options.topology, [node]) });
      this.#kubelet.begin(node);
    }
    this.#stopped.delete(node);
    for (const kept of processes) kept.start();
  }

  /**
   * Deletes a node's Pod as Kubernetes does: it is terminating, its processes get SIGTERM and after the grace period
   * SIGKILL; when they have ended its network is gone, and then the Pod. Returns when that has begun.
   */
  drainNode(node: string, graceSeconds: number): void {
    const processes = this.#find(node, undefined);
    const pod = this.#kubelet.pod(node);
    if (!Number.isInteger(graceSeconds) || graceSeconds < 0 || graceSeconds > LONGEST_GRACE_S)
      throw new LabError(`a grace period must be a whole number of seconds, 0 to ${LONGEST_GRACE_S}`);
    if (pod === undefined) throw new LabError(`node ${node} is no Pod; gateways, relays and targets can be drained`);
    if (this.#gone.has(node)) throw new LabError(`node ${node} is gone already; \`lab start\` brings it back`);
    if (this.#draining.has(node)) throw new LabError(`node ${node} is being drained already`);
    this.#changePods({ type: "terminate", pod, at: new Date(), graceSeconds });
    this.#draining.add(node);
    const end = async (): Promise<void> => {
      await Promise.all(processes.map((kept) => kept.stop(graceSeconds * 1000)));
      await signalNode(node, "SIGKILL");
      const links = [...this.#farEnds.keys()].filter((key) => key.startsWith(`${node} `) && !this.#cut.has(key));
      const interfaces = links.map((key) => key.slice(node.length + 1));
      for (const device of interfaces) await this.cutLink(node, device, true);
      await this.#kubelet.end(node);
      this.#changePods({ type: "remove", pod });
      this.#gone.set(node, interfaces);
    };
    end()
      .catch((error: unknown) => this.#options.report(`draining ${node}: ${String(error)}`))
      .finally(() => {
        this.#stopped.add(node);
        this.#draining.delete(node);
      });
  }

  /** In one step, so that no reader finds half a file and no other change is lost. */
  #changePods(change: PodsChange): void {
    const { manifests } = this.#options.folder;
    const [file, temporary] = [join(manifests, "pods.yaml"), join(manifests, ".pods.yaml.new")];
    writeFileSync(temporary, changePods(existsSync(file) ? readFileSync(file, "utf8") : "", change));
    renameSync(temporary, file);
  }

  /** Stops everything that runs in a node where it is, without its knowledge, or lets it go on. */
  async freezeNode(node: string, frozen: boolean): Promise<void> {
    this.#find(node, undefined);
    if (node === CLUSTER) throw new LabError("the cluster's processes have no node to freeze; freeze another");
    await signalNode(node, frozen ? "SIGSTOP" : "SIGCONT");
  }

  /** Has an interface of a node lose every packet, both ways, or mends it. */
  async cutLink(node: string, device: string, cut: boolean): Promise<void> {
    this.#find(node, undefined);
    const key = `${node} ${device}`;
    const end = this.#farEnds.get(key);
    if (end === undefined) {
      const own = [...this.#farEnds.keys()].filter((name) => name.startsWith(`${node} `));
      const names = own.map((name) => name.slice(node.length + 1)).join(", ");
      throw new LabError(`node ${node} has no interface ${JSON.stringify(device)}; it has ${names || "none"}`);
    }
    if (this.#cut.has(key) === cut) return;
    await (cut ? cutLink(end) : mendLink(end));
    if (cut) this.#cut.add(key);
    else this.#cut.delete(key);
  }

  /** Stops everything in order: gateways first, so that routers have moved away before anything else ends. */
  stop(): Promise<void> {
    this.#stopping ??= this.#stopInOrder();
    return this.#stopping;
  }

  async #stopInOrder(): Promise<void> {
    this.#kubelet.close();
    const gateways = this.#processes.filter(({ name }) => name === "frontend" || name === "proxy");
    await Promise.all(gateways.map((kept) => kept.stop(WITHDRAW_GRACE_MS)));
    // Targets would go on until their clients have ended.
    const isTarget = ({ node }: KeptProcess) => this.#options.topology.spec.nodes[node]?.role === "target";
    await Promise.all(this.#processes.map((kept) => (isTarget(kept) ? kept.kill() : kept.stop(GRACE_MS))));
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
      const [stopped, draining] = [this.#stopped.has(name), this.#draining.has(name)];
      return { name, role: spec.role, stopped, draining, addresses, processes: processesOf(name) };
    });
    const cluster = processesOf(CLUSTER);
    if (cluster.length === 0) return nodes;
    return [
      ...nodes,
      {
        name: CLUSTER,
        role: CLUSTER,
        stopped: this.#stopped.has(CLUSTER),
        draining: false,
        addresses: [],
        processes: cluster,
      },
    ];
  }
}
