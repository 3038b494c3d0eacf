import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { globSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { parseAllDocuments } from "yaml";
import { z } from "zod";
import { gatewaySchema } from "#shared/api/gateway.ts";
import { gatewayParametersSchema } from "#shared/api/gateway-parameters.ts";
import { gatewayDeployment } from "../../controller/instances/instance-objects.ts";
import { trafficReportSchema } from "../../lab/traffic/report.ts";
import { sh, Testbed } from "../support/testbed.ts";
import { Cluster, HAS_GATEWAY_API, IS_REAL, type Manifest, WITHOUT_GATEWAY_API } from "./support/cluster.ts";
import { type ControllerUnderTest, runningStatus, startController, targetPod } from "./support/controller.ts";

/*
 * A gateway instance whose proxy and frontend are processes that read and write the Kubernetes API, between a client and
 * targets in network namespaces: objects change there, traffic changes here.
 */

const CAUSEWAY = fileURLToPath(new URL("../../bin/causeway", import.meta.url));
const GATEWAY = fileURLToPath(new URL("../../examples/lab/minimal/manifests/gateway.yaml", import.meta.url));
const EXAMPLE = fileURLToPath(new URL("../../examples/lab/minimal/manifests/*.yaml", import.meta.url));
/** The network by which a pod reaches the API server. */
const API = "169.254.77.1";
const VIP = "198.51.100.1";

const podSpecSchema = z.looseObject({
  spec: z.looseObject({
    initContainers: z.array(z.looseObject({ command: z.array(z.string()), args: z.array(z.string()) })).length(1),
    containers: z.array(
      z.looseObject({
        name: z.string(),
        securityContext: z.looseObject({
          capabilities: z.looseObject({ add: z.array(z.string()), drop: z.tuple([z.literal("ALL")]) }),
        }),
      }),
    ),
  }),
});
const peerSchema = z.looseObject({
  status: z
    .looseObject({ instances: z.array(z.looseObject({ name: z.string(), state: z.string() })).default([]) })
    .optional(),
});
const podSchema = z.looseObject({
  status: z.looseObject({ conditions: z.array(z.looseObject({ type: z.string(), status: z.string() })).default([]) }),
});

describe.skipIf(!HAS_GATEWAY_API)(`an instance on the Kubernetes API${WITHOUT_GATEWAY_API}`, () => {
  let folder: string;
  let bed: Testbed;
  let cluster: Cluster;
  let controller: ControllerUnderTest;
  const children: ChildProcess[] = [];
  /** Proxy and frontend. */
  const instances: ChildProcess[] = [];

  const pod = (at: number): Manifest => targetPod(`echo-${at}`, `10.1.0.${at}`);
  const instance: Manifest = {
    apiVersion: "v1",
    kind: "Pod",
    metadata: { name: "gateway-a", labels: { "gateway.networking.k8s.io/gateway-name": "edge" } },
    spec: { nodeName: "worker", containers: [{ name: "proxy", image: "i" }] },
  };
  async function ready(manifest: Manifest): Promise<void> {
    await cluster.apply(manifest);
    await cluster.patch(manifest, runningStatus(), "status");
  }
  const start = (node: string, ...args: string[]): ChildProcess => run(node, ["sh", CAUSEWAY], ...args);
  function run(node: string, command: readonly string[], ...args: readonly string[]): ChildProcess {
    const child = spawn("ip", ["netns", "exec", bed.name(node), ...command, ...args], {
      stdio: ["ignore", "inherit", "inherit"],
    });
    children.push(child);
    return child;
  }
  /** With the rights that its container in a pod has, and no way to write settings. */
  const process = (name: "proxy" | "frontend"): ChildProcess => {
    const { containers } = template().spec;
    const rights = containers.find((container) => container.name === name)?.securityContext.capabilities.add ?? [];
    const script = `mount -t proc proc /proc && mount --bind /proc/sys /proc/sys && mount -o remount,bind,ro /proc/sys
      exec setpriv --no-new-privs --bounding-set=${["-all", ...rights.map((right) => `+${right.toLowerCase()}`)].join()} "$@"`;
    return run(
      "g",
      ["sh", "-c", script, "sh", "sh", CAUSEWAY],
      name,
      "--kubeconfig",
      join(folder, name),
      "--run-dir",
      folder,
      "--gateway",
      "default/edge",
      "--pod",
      "default/gateway-a",
      "--log-level",
      "error",
      "--drain-ms",
      "0",
    );
  };
  /** The pods that the controller makes for this Gateway. */
  function template() {
    const objects = new Map(
      parseAllDocuments(readFileSync(GATEWAY, "utf8")).map((document) => {
        const value: unknown = document.toJS();
        return [z.looseObject({ kind: z.string() }).parse(value).kind, value] as const;
      }),
    );
    const { spec } = gatewayDeployment(
      gatewaySchema.parse(objects.get("Gateway")),
      gatewayParametersSchema.parse(objects.get("GatewayParameters")),
      { image: "causeway", families: [4] },
    );
    return podSpecSchema.parse(spec.template);
  }
  /** Targets that answer the client, by name. */
  async function answering(): Promise<string[]> {
    const command = [
      "sh",
      CAUSEWAY,
      "traffic",
      "--to",
      `${VIP}:8080`,
      "--protocol",
      "tcp",
      "--connections",
      "60",
      "--timeout",
      "2000",
      "--json",
    ];
    const text = await bed.run("c", "sh", "-c", `${command.join(" ")} || true`);
    const { targets, sent, answered } = trafficReportSchema.parse(JSON.parse(text));
    return answered === sent ? Object.keys(targets).sort() : [];
  }
  const settled = (check: () => Promise<unknown>, wanted: unknown): Promise<void> =>
    expect.poll(check, { timeout: 40_000, interval: 50 }).toEqual(wanted);

  beforeAll(async () => {
    if (!HAS_GATEWAY_API) return;
    folder = mkdtempSync(join(tmpdir(), "cw-k8s-"));
    bed = new Testbed({ prefix: "cw-k", targets: 3, pods: 2, vips: [VIP] });
    sh(`ip link add cw-k-api type veth peer name api netns ${bed.name("g")}
        ip addr add ${API}/24 dev cw-k-api; ip link set cw-k-api up
        ip -n ${bed.name("g")} addr add 169.254.77.2/24 dev api; ip -n ${bed.name("g")} link set api up`);
    cluster = await Cluster.start(API);
    for (const name of ["proxy", "frontend"]) writeFileSync(join(folder, name), cluster.kubeconfig(name));
    for (const file of globSync(EXAMPLE).sort()) {
      const text = readFileSync(file, "utf8").replace("  asn: 65000\n", "  type: Static\n  asn: 65000\n");
      await cluster.applyText(text);
    }
    for (const at of [1, 2]) await ready(pod(at));
    await cluster.apply(instance);
    controller = await startController(cluster);
    for (const at of [1, 2, 3]) start(`t${at}`, "echo", "--name", `echo-${at}`, "--tcp", "8080");
    for (const at of [1, 2]) start(`p${at}`, "echo", "--name", `plain-${at}`, "--tcp", "3000");
    for (const { command, args } of template().spec.initContainers) await bed.run("g", ...command, ...args);
    instances.push(process("proxy"), process("frontend"));
  });
  afterAll(async () => {
    if (!HAS_GATEWAY_API) return;
    for (const child of children) {
      if (child.exitCode !== null || child.signalCode !== null) continue;
      const ended = once(child, "exit");
      child.kill("SIGKILL");
      await ended;
    }
    await controller?.stop();
    await cluster?.close();
    bed?.close();
    rmSync(folder, { recursive: true, force: true });
  });

  test("serves traffic, and follows pods that come and go", async () => {
    await settled(async () => (await answering()).length, 2);
    await ready(pod(3));
    await settled(async () => (await answering()).length, 3);
    await cluster.delete(pod(1));
    await settled(async () => (await answering()).length, 2);
  });

  test("its processes have the rights of their containers, and no more", () => {
    // Bits of linux/capability.h: NET_BIND_SERVICE 10, NET_ADMIN 12, NET_RAW 13 (the proxy's only), SYS_NICE 23.
    const effective = ({ pid }: ChildProcess): string[] =>
      ["CapEff", "CapBnd"].map(
        (field) =>
          new RegExp(`${field}:\\s+0*([0-9a-f]+)`).exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1] ?? "",
      );
    expect(instances.map(effective)).toEqual([
      ["3000", "3000"],
      ["801400", "801400"],
    ]);
    for (const { pid } of instances) {
      const mounts = readFileSync(`/proc/${pid}/mountinfo`, "utf8").split("\n");
      expect(mounts.filter((line) => / \/proc\/sys ro[, ]/.test(line))).toHaveLength(1);
    }
  });

  test.skipIf(IS_REAL)("serves on while the API server is away, and catches up", async () => {
    await cluster.double.stop();
    try {
      await settled(async () => (await answering()).length, 2);
    } finally {
      await cluster.double.start();
    }
    await ready(pod(1));
    await settled(async () => (await answering()).length, 3);
  });

  test("the frontend says in statuses how it stands with its routers", async () => {
    const states = async (): Promise<string[]> => {
      const peer = { apiVersion: "causeway.dev/v1alpha1", kind: "BgpPeer", metadata: { name: "router-ipv4" } };
      const { status } = peerSchema.parse(await cluster.get(peer));
      return (status?.instances ?? []).map(({ name, state }) => `${name} ${state}`);
    };
    await settled(states, ["gateway-a Static"]);
    const conditions = async (): Promise<string[]> =>
      podSchema
        .parse(await cluster.get(instance))
        .status.conditions.map(({ type, status }) => `${type} ${status}`)
        .filter((text) => text.startsWith("causeway.dev/ipv4"));
    await settled(conditions, ["causeway.dev/ipv4-ready True"]);
  });

  test("an ordinary Service is reached on the primary network, by the built-in controller's slices", async () => {
    const plain: Manifest = { apiVersion: "v1", kind: "Service", metadata: { name: "plain" } };
    const slice: Manifest = {
      apiVersion: "discovery.k8s.io/v1",
      kind: "EndpointSlice",
      metadata: {
        name: "plain-x",
        labels: {
          "kubernetes.io/service-name": "plain",
          "endpointslice.kubernetes.io/managed-by": "endpointslice-controller.k8s.io",
        },
      },
    };
    const targets = (...numbers: number[]): Manifest => ({
      ...slice,
      addressType: "IPv4",
      ports: [{ name: "", port: 3000, protocol: "TCP" }],
      endpoints: numbers.map((at) => ({ addresses: [`10.244.0.${at}`], conditions: { ready: true } })),
    });
    const route: Manifest = {
      apiVersion: "gateway.networking.k8s.io/v1",
      kind: "TCPRoute",
      metadata: { name: "echo" },
    };
    const backends = (...names: string[]) => ({
      spec: {
        rules: [{ backendRefs: names.map((name) => ({ name, port: name === "plain" ? 80 : 8080, weight: 1 })) }],
      },
    });
    await cluster.apply({
      ...plain,
      spec: { selector: { app: "plain" }, ports: [{ port: 80, protocol: "TCP", targetPort: 3000 }] },
    });
    await cluster.apply(targets(1, 2));
    await cluster.patch(route, backends("plain"));
    await settled(answering, ["plain-1", "plain-2"]);
    await cluster.apply(targets(2));
    await settled(answering, ["plain-2"]);
    await cluster.patch(route, backends("plain", "echo"));
    await settled(async () => (await answering()).length, 4);
    await cluster.patch(route, backends("echo"));
    await settled(async () => (await answering()).length, 3);
    // Nobody wants to track any more.
    await settled(async () => bed.exec("g", "nft list table inet causeway").includes("masquerade"), false);
  });

  test.skipIf(IS_REAL)("each process asks only for what it needs", () => {
    const uses = cluster.double.access.uses();
    const of = (user: string, verbs: readonly string[]): string[] =>
      [...new Set(uses.flatMap((use) => (use.user === user && verbs.includes(use.verb) ? [use.resource] : [])))].sort();
    expect(of("proxy", ["create", "update", "patch", "delete"])).toEqual([]);
    expect(of("proxy", ["list", "watch"])).not.toContain("secrets");
    expect(of("frontend", ["create", "update", "patch", "delete"])).toEqual(["bgppeers/status", "pods/status"]);
    const secrets = uses.filter(({ user, resource }) => user === "frontend" && resource === "secrets");
    expect(new Set(secrets.map(({ namespace }) => namespace))).toEqual(new Set(["default"]));
  });
});
