import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, afterEach, beforeAll, describe, expect, test, vi } from "vitest";
import { z } from "zod";
import { readSysctl } from "#shared/kernel/network-namespace.ts";
import { unixRequest } from "../../lab/unix-http.ts";
import { Cluster, HAS_GATEWAY_API, WITHOUT_GATEWAY_API } from "../cluster/support/cluster.ts";
import { runningStatus, targetPod } from "../cluster/support/controller.ts";
import { CriDouble } from "../node/cri-double.ts";
import { addPod, netnsOf, removeNetwork, run } from "../node/network.ts";
import { type Container, ImageRoot, readContainerfile } from "./image-root.ts";
import { DEPLOY, resolve } from "./manifests.ts";

/*
 * deploy/Containerfile, and processes that have nothing but what it copies, a read-only root and deploy/'s capabilities.
 */

const ROOT = fileURLToPath(new URL("../..", import.meta.url));
const OBJECTS = fileURLToPath(new URL("rbac/objects.yaml", import.meta.url));
const { copies, packages, text } = readContainerfile();

test("what it copies is there, and anybody may read it", () => {
  expect(copies.length).toBeGreaterThan(10);
  for (const { from } of copies) expect(statSync(join(ROOT, from)).mode & 0o444).toBe(0o444);
  expect(copies.map(({ from }) => from)).not.toContain("test");
});

test("it copies every file that the command can load", () => {
  const seen = new Set<string>();
  const visit = (file: string): void => {
    if (seen.has(file)) return;
    seen.add(file);
    const source = readFileSync(join(ROOT, file), "utf8");
    for (const [, specifier = ""] of source.matchAll(/(?:\bfrom\s*|\bimport\s*\(?\s*|new URL\()"([^"]+\.ts)"/g)) {
      const path = specifier.startsWith("#shared/") ? specifier.slice(1) : join(dirname(file), specifier);
      if (specifier.startsWith(".") || specifier.startsWith("#")) visit(path);
    }
  };
  visit("cli/main.ts");
  expect(seen.size).toBeGreaterThan(150);
  const isCopied = (file: string): boolean => copies.some(({ from }) => file === from || file.startsWith(`${from}/`));
  expect([...seen].filter((file) => !isCopied(file))).toEqual([]);
});

test("no registry, one base, both processors; programs are of the packages that it installs", () => {
  expect([...text.matchAll(/^FROM (\S+)/gm)].map(([, image]) => image)).toEqual(["debian:12-slim", "debian:12-slim"]);
  const { packages: locked } = z
    .looseObject({ packages: z.record(z.string(), z.unknown()) })
    .parse(JSON.parse(readFileSync(join(ROOT, "package-lock.json"), "utf8")));
  for (const cpu of ["x64", "arm64"]) {
    expect(Object.keys(locked)).toContain(`node_modules/node-linux-${cpu}`);
    expect(Object.keys(locked)).toContain(`node_modules/@koromix/koffi-linux-${cpu}`);
  }
  expect(packages).toEqual(["gobgpd", "libatomic1", "libnftables1", "nftables"]);
  const owner = (path: string): string =>
    execFileSync("dpkg-query", ["-S", path], { encoding: "utf8" }).split(":")[0] ?? "";
  expect([owner("/usr/bin/gobgpd"), owner("/usr/sbin/nft")]).toEqual(["gobgpd", "nftables"]);
});

const containerSchema = z.looseObject({
  spec: z.looseObject({
    template: z.looseObject({
      spec: z.looseObject({
        containers: z.array(
          z.looseObject({
            securityContext: z.looseObject({ capabilities: z.object({ add: z.array(z.string()).default([]) }) }),
          }),
        ),
      }),
    }),
  }),
});
/** The capabilities that deploy/ adds to a workload's container. */
function capabilitiesOf(kind: string): readonly string[] {
  const found = resolve(DEPLOY).resources.find((manifest) => manifest.kind === kind);
  const [container] = containerSchema.parse(found).spec.template.spec.containers;
  return container?.securityContext.capabilities.add ?? [];
}

/** Node tells what it finds in the compile cache. */
const TRACED = { NODE_DEBUG_NATIVE: "COMPILE_CACHE" };

const podsSchema = z.looseObject({
  pods: z.array(z.looseObject({ pod: z.string(), problem: z.string().optional() })),
});

describe.skipIf(!HAS_GATEWAY_API)(`processes of the image${WITHOUT_GATEWAY_API}`, () => {
  let folder: string;
  let image: ImageRoot;
  let cluster: Cluster;
  const runtime = new CriDouble("crio.sock");
  const children: ChildProcess[] = [];

  /** Standard error of the processes, since a test looked last. */
  let errors = "";
  /** Every TypeScript file was found in the compile cache: none was compiled or stripped of its types when it ran. */
  function expectCompiled(): void {
    const reads = errors.split("\n").filter((line) => /^\[compile cache\] reading cache .*\.ts\.\.\./.test(line));
    errors = "";
    expect(reads.filter((line) => !line.includes("... success"))).toEqual([]);
    expect(reads.filter((line) => line.includes("StrippedTypeScript")).length).toBeGreaterThan(50);
  }

  /** @returns where it answers. */
  function start(container: Container): string {
    const runDir = join(folder, container.process, "run");
    mkdirSync(runDir, { recursive: true });
    const config = join(runDir, "kubeconfig");
    writeFileSync(config, cluster.kubeconfig(container.process));
    const args = ["--kubeconfig", "/run/causeway/kubeconfig", "--log-level", "error", ...container.args];
    const [program = "", ...rest] = image.command({ ...container, args }, runDir);
    const child = spawn(program, rest, { stdio: ["ignore", "inherit", "pipe"] });
    child.stderr.setEncoding("utf8").on("data", (chunk: string) => {
      errors += chunk;
    });
    children.push(child);
    return join(runDir, `${container.process}.sock`);
  }
  const isReady = (socket: string): Promise<unknown> =>
    vi.waitFor(async () => expect((await unixRequest(socket, "GET", "/readyz", 1_000)).status).toBe(200), {
      timeout: 20_000,
      interval: 50,
    });
  const node = (capabilities: readonly string[], env: Readonly<Record<string, string>>): Container => ({
    process: "node",
    args: ["--node-name", "worker"],
    capabilities,
    env,
    mounts: {
      "/host/proc/sys/net": "/proc/sys/net",
      "/run/netns": "/run/netns",
      "/run/crio": dirname(runtime.socket),
    },
  });
  async function problemOf(socket: string, pod: string): Promise<string | undefined> {
    const { body } = await unixRequest(socket, "GET", "/status", 1_000);
    return podsSchema.parse(JSON.parse(body)).pods.find((one) => one.pod === pod)?.problem;
  }

  beforeAll(async () => {
    folder = mkdtempSync(join(tmpdir(), "cw-run-"));
    image = new ImageRoot();
    await runtime.start();
    execFileSync("ip", ["netns", "add", "cw-na-lan"]);
    run("lan", "link", "add", "br0", "type", "bridge");
    addPod("one", 1);
    runtime.sandboxes = [{ id: "s1", pod: "default/echo-1", path: netnsOf("one") }];
    cluster = await Cluster.start();
    await cluster.applyText(readFileSync(join(DEPLOY, "base/gatewayclass.yaml"), "utf8"));
    await cluster.applyText(readFileSync(OBJECTS, "utf8"));
    const pod = targetPod("echo-1", "10.1.0.1");
    await cluster.apply(pod);
    await cluster.patch(pod, runningStatus(), "status");
  });
  afterEach(async () => {
    for (const child of children.splice(1)) {
      const ended = once(child, "exit");
      child.kill("SIGTERM");
      await ended;
    }
  });
  afterAll(async () => {
    for (const child of children) {
      const ended = once(child, "exit");
      child.kill("SIGTERM");
      await ended;
    }
    await cluster?.close();
    await runtime.close();
    image?.close();
    removeNetwork();
    rmSync(folder, { recursive: true, force: true });
  });

  test("the controller needs no capability, and code that was compiled when the image was made", async () => {
    expect(capabilitiesOf("Deployment")).toEqual([]);
    await isReady(start({ process: "controller", args: [], capabilities: [], env: TRACED }));
    expectCompiled();
    const [child] = children;
    const status = readFileSync(`/proc/${child?.pid}/status`, "utf8");
    expect(/^CapBnd:\s+0+$/m.test(status)).toBe(true);
    expect(/^CapEff:\s+0+$/m.test(status)).toBe(true);
    expect(existsSync(image.path("/opt/causeway/node_modules/.cache/compile"))).toBe(true);
    expect(existsSync(image.path("/opt/causeway/node_modules/vitest"))).toBe(false);
  });

  test("the node agent has three capabilities, the runtime's folder and a /proc/sys/net that can be written", async () => {
    const socket = start(node(capabilitiesOf("DaemonSet"), { CAUSEWAY_PROC_SYS: "/host/proc/sys", ...TRACED }));
    await isReady(socket);
    expectCompiled();
    await vi.waitFor(async () => expect(await problemOf(socket, "default/echo-1")).toBeUndefined(), {
      timeout: 10_000,
    });
    await vi.waitFor(() => expect(run("one", "addr", "show", "dev", "lo")).toContain("198.51.100."), {
      timeout: 10_000,
    });
    expect(readSysctl(netnsOf("one"), "net/ipv4/conf/svc0/arp_ignore")).not.toBe("0");
  });

  const INSTANCE = ["--gateway", "default/edge", "--pod", "default/gateway-a", "--drain-ms", "0"];
  test.each<[string, readonly string[], readonly string[]]>([
    ["proxy", ["NET_ADMIN", "NET_RAW"], INSTANCE],
    ["frontend", ["NET_ADMIN", "NET_BIND_SERVICE", "SYS_NICE"], INSTANCE],
    ["discovery", [], ["--pod", "default/relay"]],
    ["topics", [], ["--pod", "default/topics"]],
  ])("%s starts with %j, and compiles nothing", async (process, capabilities, args) => {
    const socket = start({ process, args, capabilities, env: TRACED });
    const alive = async (): Promise<void> => {
      expect((await unixRequest(socket, "GET", "/livez", 1_000)).status).toBe(200);
    };
    await vi.waitFor(alive, { timeout: 20_000, interval: 50 });
    expectCompiled();
  });

  test.each<[string, readonly string[], Readonly<Record<string, string>>]>([
    ["Read-only|EROFS|write access", ["SYS_ADMIN", "NET_ADMIN", "NET_RAW"], {}],
    ["CAP_SYS_ADMIN", ["NET_ADMIN", "NET_RAW"], { CAUSEWAY_PROC_SYS: "/host/proc/sys" }],
  ])("without one of these it says what is missing: %s", async (missing, capabilities, env) => {
    execFileSync("ip", ["netns", "exec", "cw-na-one", "sysctl", "-qw", "net.ipv4.conf.svc0.arp_ignore=0"]);
    const socket = start(node(capabilities, env));
    await vi.waitFor(async () => expect(await problemOf(socket, "default/echo-1")).toMatch(new RegExp(missing)), {
      timeout: 20_000,
    });
  });
});
