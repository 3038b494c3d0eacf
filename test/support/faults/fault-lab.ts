import { readFileSync } from "node:fs";
import { parseAllDocuments, parseDocument } from "yaml";
import { commandNode, fetchStatus, type NodeAction, waitConverged } from "../../../lab/control-client.ts";
import { LabFolder } from "../../../lab/lab-folder.ts";
import type { LabStatus } from "../../../lab/lab-status.ts";
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

/** The Pods' manifest with those targets in the service, and those of them terminating until a time. Pure. */
export function podsManifest(
  text: string,
  members: ReadonlySet<string>,
  terminating: ReadonlyMap<string, string>,
): string {
  const pods = parseAllDocuments(text).map((document) => {
    const name = document.getIn(["metadata", "name"]);
    if (typeof name !== "string" || !TARGETS.includes(name)) return document.toJS();
    document.setIn(["metadata", "labels", "track"], members.has(name) ? trackOf(name) : "none");
    const until = terminating.get(name);
    if (until === undefined) document.deleteIn(["metadata", "deletionTimestamp"]);
    else document.setIn(["metadata", "deletionTimestamp"], until);
    return document.toJS();
  });
  return documents(pods);
}

const BFD = "  bfd: { enabled: true, intervalMs: 100, multiplier: 3 }\n";

/** Two instances and eight targets, both families, with everything on that guards flows. */
const FAULT_LAB: SystemLabOptions = {
  example: "default",
  topology: (text) => {
    const document = parseDocument(text);
    document.setIn(["bgp", "bfd"], document.createNode({ intervalMs: 100, multiplier: 3 }));
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
    "routers.yaml": (text) => text.replaceAll("spec:\n", `spec:\n${BFD}`),
    "service.yaml": () => routeManifest(FIRST_WEIGHTS),
  },
};

const isCollection = (value: unknown): value is { add(item: unknown): void } =>
  typeof value === "object" && value !== null && "add" in value;

/** A lab on which faults are made, and its manifests' changeable part. */
export class FaultLab {
  readonly lab: SystemLab;
  readonly #folder: LabFolder;
  readonly #pods: string;
  readonly #terminating = new Map<string, string>();
  #members: ReadonlySet<string> = new Set(FIRST_TARGETS);

  private constructor(lab: SystemLab) {
    this.lab = lab;
    this.#folder = new LabFolder(lab.folder);
    this.#pods = readFileSync(lab.manifest("pods.yaml"), "utf8");
  }

  static async start(name: string): Promise<FaultLab> {
    return new FaultLab(await SystemLab.start(name, FAULT_LAB));
  }

  /** What `causeway lab ACTION NODE [PART]` does, without a process of its own. */
  act(action: NodeAction, node: string, part?: string): Promise<void> {
    return commandNode(this.#folder, action, node, part);
  }

  status(): Promise<LabStatus> {
    return fetchStatus(this.#folder);
  }

  get members(): ReadonlySet<string> {
    return this.#members;
  }

  setMembers(members: Iterable<string>): void {
    this.#members = new Set(members);
    this.#writePods();
  }

  /** A Pod that is deleted: terminating, with so much time to end its connections. */
  terminate(target: string, graceMs: number): void {
    this.#terminating.set(target, new Date(Date.now() + graceMs).toISOString().replace(/\.\d+Z$/, "Z"));
    this.#writePods();
  }

  /** The Pod that was deleted is there anew. */
  revive(target: string): void {
    this.#terminating.delete(target);
    this.#writePods();
  }

  setWeights(weights: Weights): void {
    this.lab.write("service.yaml", routeManifest(weights));
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

  /** Undoes whatever was done, whether it was or not. */
  async heal(): Promise<void> {
    for (const node of GATEWAYS) {
      await this.act("thaw", node);
      await this.act("mend", node, EXTERNAL);
    }
    for (const node of [...GATEWAYS, ...TARGETS, "router", "cluster"]) await this.act("start", node);
    this.#terminating.clear();
    this.setMembers(FIRST_TARGETS);
    this.setWeights(FIRST_WEIGHTS);
    await this.setBfd(true);
  }

  /** Waits until the lab has converged, every ready target of the service in every instance's tables. */
  async converged(settleMs = 200, timeoutMs = 30_000): Promise<LabStatus> {
    const ready = [...this.#members].filter((target) => !this.#terminating.has(target));
    await this.lab.proxies(
      GATEWAYS,
      ({ services }) => services.length === 2 && services.every(({ readyTargets }) => readyTargets === ready.length),
      timeoutMs,
    );
    return await waitConverged(this.#folder, { timeoutMs, settleMs });
  }

  #writePods(): void {
    this.lab.write("pods.yaml", podsManifest(this.#pods, this.#members, this.#terminating));
  }

  close(): Promise<void> {
    return this.lab.close();
  }
}
