import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdirSync, mkdtempSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { stringify } from "yaml";
import { NETWORK_STATUS_ANNOTATION } from "#shared/api/names.ts";
import type { DiscoveryStatus } from "../../../discovery/run-discovery.ts";
import { unixRequest } from "../../../lab/unix-http.ts";

/*
 * Two subnets without multicast between them, a router that joins them, and relays on both: 10.71.1.0/24 and fd71:1::/64
 * on "a", 10.71.2.0/24 and fd71:2::/64 on "b". Relays have .1 and .2, the router .254.
 */

const ROOT = fileURLToPath(new URL("../../..", import.meta.url));
const SUBNETS = { a: 1, b: 2 } as const;
export type Subnet = keyof typeof SUBNETS;

export interface DdsPod {
  readonly name: string;
  readonly namespace: string;
  readonly subnet: Subnet;
  readonly ipv4: string;
  readonly ipv6: string;
}

/** What a Pod says beside its addresses. */
export interface PodFacts {
  readonly labels?: Readonly<Record<string, string>>;
  readonly annotations?: Readonly<Record<string, string>>;
  readonly isReady?: boolean;
  /** The end of its grace period. */
  readonly deletionTimestamp?: string;
  /** The object is there no more. */
  readonly isGone?: boolean;
}

function run(lines: readonly string[]): void {
  execFileSync("sh", ["-ec", lines.join("\n")], { stdio: ["ignore", "ignore", "inherit"] });
}

/** Waits for a condition. @throws when it does not come in time. */
export async function eventually(what: string, condition: () => Promise<boolean> | boolean, timeoutMs = 15_000) {
  const deadline = performance.now() + timeoutMs;
  while (!(await condition())) {
    if (performance.now() > deadline) throw new Error(`not within ${timeoutMs} ms: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

/** A relay in a namespace of its own. */
export class RelayProcess {
  readonly address: string;
  readonly runDir: string;
  readonly #namespace: string;
  readonly #arguments: readonly string[];
  #child: ChildProcess | undefined;

  constructor(namespace: string, address: string, runDir: string, commandArguments: readonly string[]) {
    this.#namespace = namespace;
    this.address = address;
    this.runDir = runDir;
    this.#arguments = commandArguments;
  }

  get pid(): number | undefined {
    return this.#child?.pid;
  }

  async start(): Promise<void> {
    const command = [join(ROOT, "bin/causeway"), "discovery", ...this.#arguments];
    this.#child = spawn("ip", ["netns", "exec", this.#namespace, ...command], {
      stdio: ["ignore", "ignore", "inherit"],
    });
    await eventually("the relay is ready", async () => (await this.#ask("/readyz")) !== undefined);
  }

  async kill(): Promise<void> {
    const child = this.#child;
    this.#child = undefined;
    if (child === undefined || child.exitCode !== null) return;
    child.kill("SIGKILL");
    await once(child, "exit");
  }

  async domain(): Promise<DiscoveryStatus["domains"][number]> {
    const text = await this.#ask("/status");
    // biome-ignore lint/suspicious/noExplicitAny: what the process says of itself, in its own words
    const status: any = JSON.parse(text ?? "{}");
    return status.domains[0];
  }

  async #ask(path: string): Promise<string | undefined> {
    try {
      const { status, body } = await unixRequest(join(this.runDir, "discovery.sock"), "GET", path, 1_000);
      return status === 200 ? body : undefined;
    } catch {
      return undefined;
    }
  }
}

export class DdsNetwork {
  readonly prefix: string;
  readonly folder: string;
  readonly #pods: DdsPod[] = [];
  readonly #facts = new Map<string, PodFacts>();
  readonly #relays: RelayProcess[] = [];
  readonly #namespaces: string[] = [];

  constructor(prefix: string) {
    this.prefix = prefix;
    this.folder = mkdtempSync(join(tmpdir(), "causeway-dds-"));
    mkdirSync(join(this.folder, "manifests"));
    const [hub, router] = [this.#namespace("hub"), this.#namespace("router")];
    run([
      `ip -n ${hub} link add br-a type bridge mcast_snooping 0`,
      `ip -n ${hub} link add br-b type bridge mcast_snooping 0`,
      `ip -n ${hub} link set br-a up; ip -n ${hub} link set br-b up`,
      `ip netns exec ${router} sysctl -qw net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1`,
    ]);
    for (const subnet of ["a", "b"] as const) this.#attach("router", subnet, 254);
  }

  /** A pod on a subnet, with a default route; it is among the manifests. */
  addPod(name: string, subnet: Subnet): DdsPod {
    const namespace = this.#namespace(name);
    const host = 11 + this.#pods.length;
    this.#attach(name, subnet, host);
    const number = SUBNETS[subnet];
    run([
      `ip -n ${namespace} route add default via 10.71.${number}.254`,
      `ip -n ${namespace} -6 route add default via fd71:${number}::254`,
    ]);
    const pod = { name, namespace, subnet, ipv4: `10.71.${number}.${host}`, ipv6: `fd71:${number}::${host}` };
    this.#pods.push(pod);
    this.writePods();
    return pod;
  }

  /** Says more of a pod, or something else than before. */
  describePod(name: string, facts: PodFacts): void {
    this.#facts.set(name, { ...this.#facts.get(name), ...facts });
    this.writePods();
  }

  /** In one step, as the API would tell of it. @param without of these pods the object is gone. */
  writePods(without: readonly string[] = []): void {
    const pods = this.#pods
      .filter(({ name }) => !without.includes(name) && this.#facts.get(name)?.isGone !== true)
      .map((pod) => ({ ...pod, ...this.#facts.get(pod.name) }))
      .map(({ annotations, deletionTimestamp, ipv4, ipv6, isReady, labels = {}, name, subnet }) => ({
        apiVersion: "v1",
        kind: "Pod",
        metadata: {
          name,
          labels,
          ...(deletionTimestamp === undefined ? {} : { deletionTimestamp }),
          annotations: {
            ...annotations,
            [NETWORK_STATUS_ANNOTATION]: JSON.stringify([
              { name: `default/cell-${subnet}`, interface: "net1", ips: [ipv4, ipv6] },
            ]),
          },
        },
        ...(isReady === undefined
          ? {}
          : {
              status: { phase: "Running", conditions: [{ type: "Ready", status: isReady ? "True" : "False" }] },
            }),
      }));
    const file = join(this.folder, "manifests", "pods.yaml");
    writeFileSync(join(this.folder, "pods.new"), pods.map((pod) => `---\n${stringify(pod)}`).join(""));
    renameSync(join(this.folder, "pods.new"), file);
  }

  writeDomain(spec: Readonly<Record<string, unknown>> = {}): void {
    const domain = {
      apiVersion: "causeway.dev/v1alpha1",
      kind: "DiscoveryDomain",
      metadata: { name: "robots" },
      spec: {
        networks: [
          { network: "cell-a", interface: "net1" },
          { network: "cell-b", interface: "net2" },
        ],
        ...spec,
      },
    };
    writeFileSync(join(this.folder, "manifests", "domain.yaml"), stringify(domain));
  }

  /** A relay on both subnets, started. @param host its last octet. */
  async addRelay(name: string, host: number): Promise<RelayProcess> {
    const namespace = this.#namespace(name);
    this.#attach(name, "a", host, "net1");
    this.#attach(name, "b", host, "net2");
    const runDir = join(this.folder, name);
    const folders = ["--manifests", join(this.folder, "manifests"), "--state", join(this.folder, "state")];
    const relay = new RelayProcess(namespace, `10.71.1.${host}`, runDir, [
      ...folders,
      "--run-dir",
      runDir,
      "--pod",
      `default/${name}`,
      "--log-level",
      "warn",
    ]);
    this.#relays.push(relay);
    await relay.start();
    return relay;
  }

  async close(): Promise<void> {
    for (const relay of this.#relays) await relay.kill();
    run(this.#namespaces.map((namespace) => `ip netns delete ${namespace}`));
    rmSync(this.folder, { recursive: true, force: true });
  }

  #namespace(name: string): string {
    const namespace = `${this.prefix}-${name}`;
    this.#namespaces.push(namespace);
    run([
      `ip netns add ${namespace}; ip -n ${namespace} link set lo up`,
      `ip netns exec ${namespace} sysctl -qw net.ipv6.conf.default.accept_dad=0 net.ipv4.conf.all.rp_filter=0 net.ipv4.conf.default.rp_filter=0`,
    ]);
    return namespace;
  }

  #attach(name: string, subnet: Subnet, host: number, device = name === "router" ? `net-${subnet}` : "net1"): void {
    const [namespace, hub] = [`${this.prefix}-${name}`, `${this.prefix}-hub`];
    const port = `${subnet}${host}`;
    const number = SUBNETS[subnet];
    run([
      `ip link add ${port} netns ${hub} type veth peer name ${device} netns ${namespace}`,
      `ip -n ${hub} link set ${port} master br-${subnet} up`,
      `ip -n ${namespace} addr add 10.71.${number}.${host}/24 dev ${device}`,
      `ip -n ${namespace} addr add fd71:${number}::${host}/64 dev ${device} nodad`,
      `ip -n ${namespace} link set ${device} up`,
    ]);
  }
}
