import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, test, vi } from "vitest";
import { Cluster, HAS_GATEWAY_API, IS_REAL, type Manifest, WITHOUT_GATEWAY_API } from "../cluster/support/cluster.ts";
import { runningStatus, targetPod } from "../cluster/support/controller.ts";
import { CriDouble } from "../node/cri-double.ts";
import { sh, Testbed } from "../support/testbed.ts";
import { grantsOf, namesOf, usedBy } from "./grants.ts";
import { DEPLOY, resolve } from "./manifests.ts";

/*
 * What deploy/ grants is what the processes ask for: all of them run here against an API server that remembers it.
 */

const CAUSEWAY = fileURLToPath(new URL("../../bin/causeway", import.meta.url));
const OBJECTS = fileURLToPath(new URL("rbac/objects.yaml", import.meta.url));
/** What the controller makes for a Gateway. */
const INSTANCES = fileURLToPath(new URL("../../controller/instances/goldens/instances.yaml", import.meta.url));
const API = "169.254.78.1";
const { resources } = resolve(join(DEPLOY, "overlays/discovery"));
const topics = resolve(join(DEPLOY, "overlays/topics")).resources;

/** What a binding may name, and whose deletion an owner reference may hold up: rights that are no requests. */
const BIND = "bind clusterroles.rbac.authorization.k8s.io";
const NO_REQUESTS = [BIND, "update services/finalizers"];
const GATEWAY = { apiVersion: "gateway.networking.k8s.io/v1", kind: "Gateway", metadata: { name: "edge" } };

/** Who is asked as, and what a role in a namespace and a ClusterRole grant it. */
const ACCOUNTS = {
  controller: { namespaced: grantsOf(resources, "Role", "causeway-controller"), cluster: "causeway-controller" },
  gateway: { namespaced: grantsOf(resources, "ClusterRole", "causeway-gateway"), cluster: "causeway-gateway-cluster" },
  node: { namespaced: [], cluster: "causeway-node" },
  discovery: { namespaced: [], cluster: "causeway-discovery" },
  topics: { namespaced: grantsOf(topics, "ClusterRole", "causeway-topics"), cluster: undefined },
};
type Account = keyof typeof ACCOUNTS;

describe.skipIf(!HAS_GATEWAY_API || IS_REAL)(`what is granted and what is asked for${WITHOUT_GATEWAY_API}`, () => {
  let folder: string;
  let bed: Testbed;
  let cluster: Cluster;
  const runtime = new CriDouble();
  const children: ChildProcess[] = [];

  function start(process: string, account: Account, namespace: string | undefined, ...args: string[]): void {
    const config = join(folder, `${process}.yaml`);
    writeFileSync(config, cluster.kubeconfig(account));
    const command = [CAUSEWAY, process, "--kubeconfig", config, "--run-dir", join(folder, process)];
    const inside = namespace === undefined ? [] : ["ip", "netns", "exec", bed.name(namespace)];
    const [program = "sh", ...rest] = [...inside, "sh", ...command, "--log-level", "error", ...args];
    children.push(spawn(program, rest, { stdio: ["ignore", "inherit", "inherit"] }));
  }

  async function ready(manifest: Manifest): Promise<void> {
    await cluster.apply(manifest);
    await cluster.patch(manifest, runningStatus(), "status");
  }

  /** What an account asked for: in its own namespace, or of the whole cluster and other namespaces. */
  function used(account: Account): readonly string[] {
    const uses = cluster.double.access.uses().filter(({ user }) => user === account);
    return [...new Set(uses.map(usedBy))].sort();
  }

  function granted(account: Account): readonly string[] {
    const { namespaced, cluster: name } = ACCOUNTS[account];
    const all = new Set([...namespaced, ...(name === undefined ? [] : grantsOf(resources, "ClusterRole", name))]);
    return [...all].filter((grant) => !NO_REQUESTS.includes(grant)).sort();
  }

  beforeAll(async () => {
    folder = mkdtempSync(join(tmpdir(), "cw-rbac-"));
    await runtime.start();
    bed = new Testbed({ prefix: "cw-r", targets: 1 });
    sh(`ip link add cw-r-api type veth peer name api netns ${bed.name("g")}
        ip addr add ${API}/24 dev cw-r-api; ip link set cw-r-api up
        ip -n ${bed.name("g")} addr add 169.254.78.2/24 dev api; ip -n ${bed.name("g")} link set api up`);
    cluster = await Cluster.start(API);
    const gatewayClass = resources.find(({ kind }) => kind === "GatewayClass");
    if (gatewayClass === undefined) throw new Error("deploy/ has no GatewayClass");
    await cluster.apply(gatewayClass);
    await cluster.applyText(readFileSync(OBJECTS, "utf8"));
    // A relay that was killed left its entry behind; the controller takes it out after half a minute.
    const killed = { name: "relay-killed", namespace: "default", state: "Listening", participants: 0 };
    const robots = { apiVersion: "causeway.dev/v1alpha1", kind: "DiscoveryDomain", metadata: { name: "robots" } };
    await cluster.patch(robots, { status: { instances: [killed] } }, "status");
    const readings = { apiVersion: "causeway.dev/v1alpha1", kind: "Topic", metadata: { name: "readings" } };
    await cluster.patch(readings, { status: { instances: [{ name: "topics-killed", state: "Serving" }] } }, "status");
    await ready(targetPod("echo-1", "10.1.0.1"));
    await cluster.apply({
      apiVersion: "v1",
      kind: "Pod",
      metadata: { name: "gateway-a", labels: { "gateway.networking.k8s.io/gateway-name": "edge" } },
      spec: { nodeName: "worker", containers: [{ name: "proxy", image: "i" }] },
    });
    runtime.sandboxes = [{ id: "s1", pod: "default/echo-1", path: `/run/netns/${bed.name("t1")}` }];
    const instance = ["--gateway", "default/edge", "--pod", "default/gateway-a", "--drain-ms", "0"];
    start("controller", "controller", undefined, "--image", "causeway:test");
    start("proxy", "gateway", "g", ...instance);
    start("frontend", "gateway", "g", ...instance);
    start("node", "node", undefined, "--node-name", "worker", "--cri", runtime.socket);
    start("discovery", "discovery", "g", "--pod", "default/gateway-a");
    // There is no library in that folder: it serves nothing, and asks for all the same.
    start("topics", "topics", "g", "--pod", "default/echo-1", "--connext", folder, "--log-level", "silent");
    // The Service is one of ours until there were targets to ask; then its slices go.
    const asked = (): readonly string[] => used("gateway");
    const last = "patch healthchecks/status.causeway.dev";
    await vi.waitFor(() => expect(asked()).toContain(last), { timeout: 90_000, interval: 100 });
    const service = { apiVersion: "v1", kind: "Service", metadata: { name: "echo" } };
    await cluster.patch(service, { metadata: { annotations: { "k8s.v1.cni.cncf.io/service-network": null } } });
    const made = ["deployments.apps", "rolebindings.rbac.authorization.k8s.io"].map((resource) => `patch ${resource}`);
    const gone = "delete endpointslices.discovery.k8s.io";
    await vi.waitFor(() => expect(used("controller")).toEqual(expect.arrayContaining([...made, gone])), {
      timeout: 90_000,
      interval: 100,
    });
    // It takes its instances along when it becomes another controller's.
    await cluster.patch(GATEWAY, { spec: { gatewayClassName: "other" } });
  }, 240_000);
  afterAll(async () => {
    for (const child of children) {
      if (child.exitCode !== null || child.signalCode !== null) continue;
      const ended = once(child, "exit");
      child.kill("SIGKILL");
      await ended;
    }
    await cluster?.close();
    await runtime.close();
    bed?.close();
    rmSync(folder, { recursive: true, force: true });
  });

  test.each<Account>(["controller", "gateway", "node", "discovery", "topics"])("%s: the same", async (account) => {
    await vi.waitFor(() => expect(granted(account)).toEqual(used(account)), { timeout: 60_000, interval: 100 });
  });

  test("the controller may bind what instances need, and nothing else", () => {
    expect(grantsOf(resources, "ClusterRole", "causeway-controller")).toContain(BIND);
    const named = ["causeway-gateway", "causeway-gateway-cluster"];
    expect(namesOf(resources, "causeway-controller", "bind")).toEqual(named);
    const bound = [...readFileSync(INSTANCES, "utf8").matchAll(/kind: ClusterRole\n +name: (\S+)/g)];
    expect([...new Set(bound.map(([, name]) => name))].sort()).toEqual(named);
  });

  test("what is granted in one namespace is asked for nowhere else", () => {
    for (const account of ["controller", "gateway", "topics"] as const) {
      const { cluster: name } = ACCOUNTS[account];
      const everywhere = new Set(name === undefined ? [] : grantsOf(resources, "ClusterRole", name));
      const elsewhere = cluster.double.access
        .uses()
        .filter((use) => use.user === account && use.namespace !== "default" && !everywhere.has(usedBy(use)));
      expect(elsewhere).toEqual([]);
    }
  });
});
