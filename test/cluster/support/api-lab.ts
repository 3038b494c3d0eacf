import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseAllDocuments } from "yaml";
import { z } from "zod";
import { LabFolder } from "../../../lab/lab-folder.ts";
import { type LabPod, labPods, podManifests } from "../../../lab/pods.ts";
import { loadTopology, type ResolvedTopology } from "../../../lab/resolve-topology.ts";
import { BoundedLog } from "../../../lab/supervisor/bounded-log.ts";
import { buildNetwork } from "../../../lab/supervisor/build-network.ts";
import { type InstanceStatus, instanceStatus } from "../../../lab/supervisor/instance-status.ts";
import { KeptProcess } from "../../../lab/supervisor/kept-process.ts";
import { Kubelet } from "../../../lab/supervisor/kubelet.ts";
import { labProcesses, readyProbe } from "../../../lab/supervisor/node-processes.ts";
import { routerRoutes } from "../../../lab/supervisor/router-routes.ts";
import { CLUSTER } from "../../../lab/topology.ts";
import { type TrafficReport, trafficReportSchema } from "../../../lab/traffic/report.ts";
import { unixRequest } from "../../../lab/unix-http.ts";
import { CriDouble } from "../../node/cri-double.ts";
import { CAUSEWAY } from "../../support/system-lab.ts";
import { Cluster, type Manifest } from "./cluster.ts";
import { Relay } from "./relay.ts";

/** The network by which pods reach the API server. */
const API_BRIDGE = "cw-api";
const API_PREFIX = "169.254.77";
/** The one machine of the cluster. */
const WORKER = "worker";
const REPLICAS = ["controller-a", "controller-b"] as const;
export type Replica = (typeof REPLICAS)[number];

const podSchema = z.looseObject({
  apiVersion: z.string(),
  kind: z.string(),
  metadata: z.looseObject({ name: z.string(), namespace: z.string() }),
});
const leaderSchema = z.looseObject({ identity: z.string(), leader: z.string().optional() });

/**
 * A cluster on one machine: a lab's networks, routers, instances and targets; an API server, from which the processes
 * read their objects; two replicas of the controller; a node agent that asks a container runtime. Kubelet and network
 * plugins are played: their part is a Pod's status, its sandbox and its `network-status`.
 */
export class ApiLab {
  readonly cluster: Cluster;
  readonly topology: ResolvedTopology;
  /** The node agent's way to the API server. */
  readonly agentsWay: Relay;
  readonly #home: string;
  readonly #folder: LabFolder;
  readonly #runtime = new CriDouble();
  readonly #kubelet: Kubelet;
  readonly #pods: ReadonlyMap<string, LabPod>;
  readonly #processes: readonly KeptProcess[];
  readonly #children = new Set<ChildProcess>();

  private constructor(home: string, topology: ResolvedTopology, cluster: Cluster, agentsWay: Relay) {
    this.#home = home;
    this.#folder = new LabFolder(join(home, "lab"));
    this.topology = topology;
    this.cluster = cluster;
    this.agentsWay = agentsWay;
    const pods = labPods(topology);
    this.#pods = new Map(pods.map((pod) => [pod.node, pod]));
    const writer = { write: (pod: LabPod, status: object): Promise<void> => this.#writeStatus(pod, status) };
    this.#kubelet = new Kubelet(pods, writer, () => undefined);
    for (const folder of [this.#folder.logs, "/run/bird"]) mkdirSync(folder, { recursive: true });
    const nodes = labProcesses({
      folder: this.#folder,
      topology,
      program: ["sh", CAUSEWAY],
      storeFlags: (user) => ["--kubeconfig", this.#kubeconfig(user)],
      onChange: (node) => this.#updatePod(node),
    });
    this.#processes = [...nodes, ...REPLICAS.map((name) => this.#controller(name)), this.#agent()];
  }

  /** @param topologyText without processes that belong to no node (`cluster: []`). */
  static async start(topologyText: string): Promise<ApiLab> {
    const topology = loadTopology(topologyText, "topology.yaml");
    await buildNetwork(topology);
    const server = `${API_PREFIX}.1`;
    const lines = [`ip link add ${API_BRIDGE} type bridge`, `ip addr add ${server}/24 dev ${API_BRIDGE}`];
    for (const [at, gateway] of gatewaysOf(topology).entries()) {
      lines.push(
        `ip link add ${API_BRIDGE}${at} type veth peer name eth0 netns ${gateway}`,
        `ip link set ${API_BRIDGE}${at} master ${API_BRIDGE} up`,
        `ip -n ${gateway} addr add ${API_PREFIX}.${at + 2}/24 dev eth0`,
        `ip -n ${gateway} link set eth0 up`,
      );
    }
    execFileSync("sh", ["-ec", [...lines, `ip link set ${API_BRIDGE} up`].join("\n")]);
    const cluster = await Cluster.start(server);
    const port = (): number => Number(new URL(cluster.server.url).port);
    const relay = await Relay.start(port, server);
    const lab = new ApiLab(mkdtempSync(join(tmpdir(), "cw-al-")), topology, cluster, relay);
    await lab.#runtime.start();
    return lab;
  }

  get gateways(): readonly string[] {
    return gatewaysOf(this.topology);
  }

  /** Starts routers, controllers and the node agent. */
  startCluster(): void {
    for (const kept of this.#processes) if (!this.#pods.has(kept.node)) kept.start();
  }

  /** A Pod is created, placed on the machine, attached to its networks, and its containers are started. */
  async createPod(node: string): Promise<void> {
    await this.cluster.create(this.podManifest(node));
    const { namespace, name } = this.#podOf(node);
    const sandbox = { id: `${node}-${crypto.randomUUID()}`, pod: `${namespace}/${name}`, path: `/run/netns/${node}` };
    this.#runtime.sandboxes = [...this.#runtime.sandboxes, sandbox];
    this.#kubelet.begin(node);
    for (const kept of this.#ofNode(node)) kept.start();
  }

  /** `kubectl delete pod`. @returns when it is terminating; `ended`: when its containers have ended and it is gone. */
  async deletePod(node: string, graceSeconds: number): Promise<{ readonly ended: Promise<void> }> {
    const manifest = this.podManifest(node);
    const { namespace, name } = this.#podOf(node);
    await this.cluster.delete(manifest, graceSeconds);
    const end = async (): Promise<void> => {
      await Promise.all(this.#ofNode(node).map((kept) => kept.stop(graceSeconds * 1000)));
      await this.#kubelet.end(node);
      this.#runtime.sandboxes = this.#runtime.sandboxes.filter(({ pod }) => pod !== `${namespace}/${name}`);
      await this.cluster.delete(manifest, 0);
    };
    return { ended: end() };
  }

  /** The Pod that a node stands for, with the addresses that its interfaces have. */
  podManifest(node: string): Manifest {
    const [document] = parseAllDocuments(podManifests(this.topology, [node]));
    const manifest = podSchema.parse(document?.toJS());
    return { ...manifest, spec: { nodeName: WORKER, containers: [{ name: "main", image: "causeway" }] } };
  }

  /** The replica that leads; undefined while none says so. */
  async leader(): Promise<Replica | undefined> {
    for (const name of REPLICAS) {
      const socket = join(this.#folder.run(name), "controller.sock");
      const status = await statusOf(socket, leaderSchema);
      if (status !== undefined && status.leader === status.identity) return name;
    }
    return undefined;
  }

  /** kill -9 of a process that belongs to no node; it stays down. */
  async kill(name: string): Promise<void> {
    await Promise.all(this.#processes.filter((kept) => kept.name === name).map((kept) => kept.kill()));
  }

  /** What the instances say of themselves. */
  instances(): Promise<readonly InstanceStatus[]> {
    const run = ["proxy", "frontend"];
    return Promise.all(this.gateways.map((node) => instanceStatus(this.#folder, node, "default/edge", run)));
  }

  /** Nodes to which the router's kernel sends packets for an address. */
  async nextHops(address: string): Promise<readonly string[]> {
    const routes = await routerRoutes(this.topology, "router");
    return [...(routes.get(`${address}/${address.includes(":") ? 128 : 32}`) ?? [])].sort();
  }

  /** Output of a command in a node. */
  exec(node: string, ...command: readonly string[]): string {
    return execFileSync("ip", ["netns", "exec", node, ...command], { encoding: "utf8" });
  }

  /** Starts a command in a node. */
  start(node: string, ...command: readonly string[]): ChildProcess {
    const child = spawn("ip", ["netns", "exec", node, ...command], { stdio: ["ignore", "pipe", "pipe"] });
    this.#children.add(child);
    child.once("close", () => this.#children.delete(child));
    return child;
  }

  /** New TCP connections from the client, one exchange on each. @param to `ADDRESS:PORT` of each destination. */
  async ask(to: readonly string[], connections: number, timeoutMs = 2000): Promise<readonly TrafficReport[]> {
    const destinations = to.flatMap((one) => ["--to", one]);
    const load = ["--connections", String(connections), "--concurrency", "20", "--timeout", String(timeoutMs)];
    const child = this.start("client", "sh", CAUSEWAY, "traffic", "--json", ...destinations, ...load);
    let output = "";
    child.stdout?.setEncoding("utf8").on("data", (chunk: string) => {
      output += chunk;
    });
    await new Promise((resolve) => child.once("close", resolve));
    const reports: unknown = JSON.parse(output);
    return z.array(trafficReportSchema).parse(Array.isArray(reports) ? reports : [reports]);
  }

  async close(): Promise<void> {
    for (const child of this.#children) child.kill("SIGKILL");
    this.#kubelet.close();
    await Promise.all(this.#processes.map((kept) => kept.kill()));
    await this.agentsWay.close();
    await this.cluster.close();
    await this.#runtime.close();
    const { nodes, segments } = this.topology;
    const lines = nodes.map(({ name }) => `ip netns delete ${name}`);
    for (const index of segments.keys())
      lines.push(`if test -e /sys/class/net/br${index}; then ip link del br${index}; fi`);
    execFileSync("sh", ["-ec", [...lines, `ip link del ${API_BRIDGE}`].join("\n")]);
    rmSync(this.#home, { recursive: true, force: true });
  }

  #ofNode(node: string): readonly KeptProcess[] {
    return this.#processes.filter((kept) => kept.node === node);
  }

  #podOf(node: string): LabPod {
    const pod = this.#pods.get(node);
    if (pod === undefined) throw new TypeError(`node ${node} is no Pod`);
    return pod;
  }

  #updatePod(node: string): void {
    const own = this.#ofNode(node);
    this.#kubelet.update(node, own.length > 0 && own.every(({ ready }) => ready));
  }

  /** As a kubelet does: conditions that others have written stay. */
  async #writeStatus({ namespace, name }: LabPod, status: object): Promise<void> {
    await this.cluster.apply({ apiVersion: "v1", kind: "Pod", metadata: { namespace, name }, status }, "status");
  }

  #kubeconfig(user: string, url?: string): string {
    const file = join(this.#home, `${user}.kubeconfig`);
    writeFileSync(file, this.cluster.kubeconfig(user, url));
    return file;
  }

  #controller(name: Replica): KeptProcess {
    const runDir = this.#folder.run(name);
    const args = ["controller", "--kubeconfig", this.#kubeconfig(name), "--run-dir", runDir];
    return this.#kept(name, runDir, join(runDir, "controller.sock"), args);
  }

  #agent(): KeptProcess {
    const runDir = this.#folder.run(CLUSTER);
    const config = this.#kubeconfig("node", this.agentsWay.url);
    const where = ["--cri", this.#runtime.socket, "--node-name", WORKER];
    return this.#kept("node", runDir, join(runDir, "node.sock"), [
      "node",
      "--kubeconfig",
      config,
      "--run-dir",
      runDir,
      ...where,
    ]);
  }

  #kept(name: string, runDir: string, socket: string, args: readonly string[]): KeptProcess {
    mkdirSync(runDir, { recursive: true });
    return new KeptProcess({
      node: CLUSTER,
      name,
      command: ["sh", CAUSEWAY, ...args],
      cwd: runDir,
      env: process.env,
      log: new BoundedLog(this.#folder.log(CLUSTER, name)),
      probe: readyProbe(socket),
      onChange: () => undefined,
    });
  }
}

function gatewaysOf(topology: ResolvedTopology): readonly string[] {
  return topology.nodes.filter(({ spec }) => spec.role === "gateway").map(({ name }) => name);
}

/** `GET /status` of a process; undefined while it does not answer. */
async function statusOf<T>(socket: string, schema: z.ZodType<T>): Promise<T | undefined> {
  try {
    const { status, body } = await unixRequest(socket, "GET", "/status", 2000);
    return status === 200 ? schema.parse(JSON.parse(body)) : undefined;
  } catch (error) {
    if (error instanceof Error && error.name === "UnixHttpError") return undefined;
    throw error;
  }
}
