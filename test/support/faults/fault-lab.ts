import { parseAllDocuments, parseDocument } from "yaml";
import { z } from "zod";
import { commandNode, fetchStatus, type NodeAction } from "../../../lab/control-client.ts";
import { LabFolder } from "../../../lab/lab-folder.ts";
import type { LabStatus } from "../../../lab/lab-status.ts";
import { unixRequest } from "../../../lab/unix-http.ts";
import { SystemLab, type SystemLabOptions, until } from "../system-lab.ts";
import { documents, ECHO_PORT } from "../two-tracks.ts";

export const GATEWAYS = ["gateway-a", "gateway-b"];
export const TARGETS = Array.from({ length: 8 }, (_, index) => `target-${index + 1}`);
/** The gateways' interface towards the router. */
export const EXTERNAL = "ext0";
/** The service has these, until somebody says otherwise. */
export const FIRST_TARGETS = TARGETS.slice(0, 4);

/** Targets with an odd number are the Service `odd`'s, the others `even`'s; a route leads to both, by weight. */
const trackOf = (target: string): string => (Number(target.at(-1)) % 2 === 1 ? "odd" : "even");

export interface Weights {
  readonly odd: number;
  readonly even: number;
}
export const FIRST_WEIGHTS: Weights = { odd: 50, even: 50 };

/** A Service for each track, and one route over both. */
export function routeManifest(weights: Weights): string {
  const tracks = ["odd", "even"] as const;
  return documents([
    ...tracks.map((track) => ({
      apiVersion: "v1",
      kind: "Service",
      metadata: {
        name: track,
        labels: { "service.kubernetes.io/service-proxy-name": "causeway" },
        annotations: { "k8s.v1.cni.cncf.io/service-network": "service-net" },
      },
      spec: { selector: { track }, ports: [{ name: "web", protocol: "TCP", port: ECHO_PORT }] },
    })),
    {
      apiVersion: "gateway.networking.k8s.io/v1",
      kind: "TCPRoute",
      metadata: { name: "echo" },
      spec: {
        parentRefs: [{ name: "edge", sectionName: "web" }],
        rules: [{ backendRefs: tracks.map((name) => ({ name, port: ECHO_PORT, weight: weights[name] })) }],
      },
    },
  ]);
}

/** The Pods' manifest with those targets in the service, and all else as it was. Pure. */
export function withMembers(text: string, members: ReadonlySet<string>): string {
  return parseAllDocuments(text)
    .map((document) => {
      const name = document.getIn(["metadata", "name"]);
      if (typeof name === "string" && TARGETS.includes(name))
        document.setIn(["metadata", "labels", "track"], members.has(name) ? trackOf(name) : "none");
      return `---\n${document.toString({ lineWidth: 0 }).replace(/^---\n/, "")}`;
    })
    .join("");
}

const BFD = "  bfd: { enabled: true, intervalMs: 100, multiplier: 3 }\n";
const GRACEFUL_RESTART = "  gracefulRestart: { enabled: true }\n";

export interface FaultLabOptions {
  /**
   * BFD at 100 ms x 3 on every session, which a processor that is too busy for it makes fall; and flows are learned for 5 s
   * only after a change of targets: while they are, a flow of a slot that changed hands breaks when its routers move it to
   * another instance (limit 1).
   */
  readonly instancesFail: boolean;
}

const idleTimeoutSeconds = ({ instancesFail }: FaultLabOptions): number => (instancesFail ? 5 : 300);

function withFlowKeeping(text: string, mode: "On" | "Off", options: FaultLabOptions): string {
  const field = `\n  flowKeeping: { mode: ${mode}, idleTimeoutSeconds: ${idleTimeoutSeconds(options)} }`;
  return text.replace(/\n {2}flowKeeping: .*/, "").replace("\n  mode: DSR", `\n  mode: DSR${field}`);
}

/** Two instances and eight targets, both families, with everything on that guards flows. */
const faultLab = (options: FaultLabOptions): SystemLabOptions => ({
  example: "default",
  topology: (text) => {
    const document = parseDocument(text);
    document.setIn(["bgp", "bfd"], document.createNode({ intervalMs: 100, multiplier: 3 }));
    document.setIn(["bgp", "gracefulRestart"], true);
    // What is left without BFD, at its shortest.
    document.setIn(["bgp", "holdTimeS"], 3);
    const members = document.getIn(["networks", "service", "members"]);
    if (!isCollection(members)) throw new Error("the default topology has no service network");
    for (const [index, name] of TARGETS.entries()) {
      const labels = { track: FIRST_TARGETS.includes(name) ? trackOf(name) : "none" };
      document.setIn(
        ["nodes", name],
        document.createNode({ role: "target", labels, echo: { tcp: [ECHO_PORT], udp: [] } }),
      );
      if (index >= FIRST_TARGETS.length)
        members.add(document.createNode({ node: name, ipv4: `10.1.0.${index + 11}`, ipv6: `fd00:1::${index + 11}` }));
    }
    return document.toString();
  },
  manifests: {
    "gateway.yaml": (text) => withFlowKeeping(text, "On", options),
    "routers.yaml": (text) =>
      text.replaceAll("spec:\n", `spec:\n${GRACEFUL_RESTART}${options.instancesFail ? BFD : ""}`),
    "service.yaml": () => routeManifest(FIRST_WEIGHTS),
  },
});

const isCollection = (value: unknown): value is { add(item: unknown): void } =>
  typeof value === "object" && value !== null && "add" in value;

/** What the node agent says of a pod. */
const nodeStatusSchema = z.object({
  pods: z.array(
    z.object({
      pod: z.string(),
      vips: z.array(z.string()),
      returnVia: z.array(z.object({ nextHops: z.array(z.string()) })),
    }),
  ),
});

/** A lab on which faults are made, and the part of its manifests that they change. */
export class FaultLab {
  readonly lab: SystemLab;
  readonly #folder: LabFolder;
  readonly #options: FaultLabOptions;
  /** Targets whose Pods are terminating, or gone. */
  readonly #leaving = new Set<string>();
  /** Gateways to which something was done since they were healed. */
  readonly #harmed = new Set<string>();
  #members: ReadonlySet<string> = new Set(FIRST_TARGETS);

  private constructor(lab: SystemLab, options: FaultLabOptions) {
    this.lab = lab;
    this.#options = options;
    this.#folder = new LabFolder(lab.folder);
  }

  static async start(name: string, options: FaultLabOptions = { instancesFail: true }): Promise<FaultLab> {
    return new FaultLab(await SystemLab.start(name, faultLab(options)), options);
  }

  /** What `causeway lab ACTION NODE [PART]` does, without a process of its own. */
  async act(action: NodeAction, node: string, part?: string): Promise<void> {
    if (GATEWAYS.includes(node)) this.#harmed.add(node);
    await commandNode(this.#folder, action, node, part);
  }

  status(): Promise<LabStatus> {
    return fetchStatus(this.#folder);
  }

  /** Which targets the service has, beside those that leave it. */
  setMembers(members: Iterable<string>): void {
    this.#members = new Set(members);
    this.lab.edit("pods.yaml", (text) => withMembers(text, this.#members));
  }

  setWeights(weights: Weights): void {
    this.lab.write("service.yaml", routeManifest(weights));
  }

  /** Deletes a target's Pod: it serves on until its connections have ended, or its grace period. */
  async drain(target: string, graceSeconds: number): Promise<void> {
    this.#leaving.add(target);
    await this.act("drain", target, String(graceSeconds));
  }

  /** Waits until a Pod that was deleted is gone. */
  async ended(node: string): Promise<void> {
    await until(
      async () => (await this.status()).nodes.some(({ name, draining }) => name === node && draining),
      (draining) => !draining,
      40_000,
      () => `${node} does not end`,
    );
  }

  /** Waits for the end of a target's Pod, and makes a new one of its name. */
  async replace(target: string): Promise<void> {
    await this.ended(target);
    await this.act("start", target);
    this.#leaving.delete(target);
    this.setMembers(this.#members);
  }

  /** BFD of the gateways with their router; resolves when every session, or none, is up. */
  async setBfd(on: boolean): Promise<void> {
    this.lab.edit("routers.yaml", (text) => text.replaceAll(BFD, "").replaceAll("spec:\n", `spec:\n${on ? BFD : ""}`));
    await until(
      () => this.lab.exec("router", "birdc", "show", "bfd", "sessions"),
      (text) => (text.match(/ Up /g) ?? []).length === (on ? 2 * GATEWAYS.length : 0),
      15_000,
      (text) => `BFD is not ${on ? "up" : "down"}:\n${text}`,
      100,
    );
  }

  /** Graceful restart, of the gateways' side. */
  async setGracefulRestart(on: boolean): Promise<void> {
    this.lab.edit("routers.yaml", (text) =>
      text.replaceAll(GRACEFUL_RESTART, "").replaceAll("spec:\n", `spec:\n${on ? GRACEFUL_RESTART : ""}`),
    );
    // Sessions agree on it when they begin.
    for (const node of GATEWAYS) await this.#restartFrontend(node);
    await this.converged();
  }

  async #restartFrontend(node: string): Promise<void> {
    await this.act("stop", node, "frontend");
    await this.act("start", node, "frontend");
  }

  /** Whether flows that exist stay with their targets when targets change. */
  async setFlowKeeping(mode: "On" | "Off"): Promise<void> {
    this.lab.edit("gateway.yaml", (text) => withFlowKeeping(text, mode, this.#options));
    await this.#inForce();
  }

  /** Waits until an edit that no status tells of is in force: a change that is made after it is. */
  async #inForce(): Promise<void> {
    const members = [...this.#members];
    this.setMembers(members.slice(1));
    await this.converged();
    this.setMembers(members);
    await this.converged();
  }

  /** Undoes whatever was done, whether it was or not. Nobody may hold connections any more. */
  async heal(): Promise<void> {
    for (const node of [...this.#harmed]) {
      await this.act("thaw", node);
      await this.act("mend", node, EXTERNAL);
      await this.act("start", node);
      // A frontend that was interrupted before is held down for longer each time, up to half a minute; a new one is not.
      await this.#restartFrontend(node);
    }
    this.#harmed.clear();
    for (const target of [...this.#leaving]) {
      await this.act("stop", target);
      await this.replace(target);
    }
    for (const node of [...TARGETS, "router", "cluster"]) await this.act("start", node);
    this.setMembers(FIRST_TARGETS);
    this.setWeights(FIRST_WEIGHTS);
    await this.setBfd(this.#options.instancesFail);
  }

  /**
   * Waits until the lab has converged: besides what `lab status` waits for, every target that does not leave is ready in
   * every instance's tables, and every pod has its VIPs and its way back by every instance. Targets may be leaving.
   */
  async converged(timeoutMs = 30_000): Promise<void> {
    await until(
      () => this.#waitingFor(),
      (waitingFor) => waitingFor.length === 0,
      timeoutMs,
      (waitingFor) => `the lab waits for: ${waitingFor.join("; ")}`,
      50,
    );
  }

  /** Waits, where instances fail, until no flows are learned any more: from then on all instances know all new flows. */
  async settled(): Promise<void> {
    if (this.#options.instancesFail) await this.lab.proxies(GATEWAYS, ({ moves }) => moves.learningSlots === 0, 30_000);
  }

  async #waitingFor(): Promise<string[]> {
    const { waitingFor } = await this.status();
    const staying = [...this.#members].filter((target) => !this.#leaving.has(target));
    const proxies = await Promise.all(
      GATEWAYS.map(async (node) => {
        const counts = (await this.lab.proxy(node))?.services.map(({ readyTargets }) => readyTargets) ?? [];
        const right = counts.length === 2 && counts.every((count) => count === staying.length);
        return right ? [] : [`${node} has ${counts.join(" and ")} ready targets instead of ${staying.length}`];
      }),
    );
    const leaving = waitingFor.filter((text) => !text.endsWith("is being drained"));
    return [...leaving, ...proxies.flat(), ...(await this.#podsWaitingFor(staying))];
  }

  async #podsWaitingFor(staying: readonly string[]): Promise<string[]> {
    try {
      const { body } = await unixRequest(`${this.#folder.run("cluster")}/node.sock`, "GET", "/status", 1000);
      const { pods } = nodeStatusSchema.parse(JSON.parse(body));
      return staying.flatMap((target) => {
        const pod = pods.find((one) => one.pod === `default/${target}`);
        const right =
          pod?.vips.length === 2 &&
          pod.returnVia.length === 2 &&
          pod.returnVia.every(({ nextHops }) => nextHops.length === GATEWAYS.length);
        return right ? [] : [`${target} lacks VIPs or its way back`];
      });
    } catch (error) {
      if (error instanceof Error && error.name === "UnixHttpError") return ["the node agent does not answer"];
      throw error;
    }
  }

  close(): Promise<void> {
    return this.lab.close();
  }
}
