import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { accessSync, closeSync, constants, openSync, readFileSync } from "node:fs";
import { cp, mkdir, writeFile } from "node:fs/promises";
import { dirname, join, resolve } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { z } from "zod";
import { childProcesses } from "./child-processes.ts";
import { LabError } from "./lab-error.ts";
import {
  checkSocketPaths,
  claimFolder,
  isLabAlive,
  type LabFolder,
  type LabInfo,
  labFolder,
  processId,
  writeLabInfo,
} from "./lab-folder.ts";
import { loadTopology, type ResolvedTopology } from "./resolve-topology.ts";
import { readTopologyFile } from "./topology.ts";

const SUPERVISOR = fileURLToPath(new URL("./supervisor/main.ts", import.meta.url));

/** Makes /run private, then stays PID 1: a shell that waits reaps the orphans of all the lab's processes. */
const INIT = `
mount -n -t tmpfs -o mode=0755 tmpfs /run
mkdir -p /run/netns /run/bird
ip link set lo up
exec 3<&0
"$@" <&3 3<&- &
exec 3<&-
wait $!
`;

const NAMESPACES = ["--net", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc"];
const USER_NAMESPACE = ["--user", "--map-root-user"];

/** Search path with the folders of system programs, which a plain user's may lack. */
export function systemPath(env: NodeJS.ProcessEnv = process.env): string {
  return [...new Set([...(env.PATH ?? "/usr/bin:/bin").split(":"), "/usr/local/sbin", "/usr/sbin", "/sbin"])].join(":");
}

/** A lab that this process has started. */
export interface LaunchedLab {
  readonly folder: LabFolder;
  readonly info: LabInfo;
  readonly topology: ResolvedTopology;
  /** Lets the lab live on when this process ends; without it the lab stops then. */
  detach(): void;
  /** Resolves when the lab's last process is gone. */
  readonly closed: Promise<void>;
}

export interface LaunchOptions {
  readonly name: string;
  readonly topologyFile: string;
  /** The program that understands `proxy`, `frontend`, `controller`, `node` and `echo`. */
  readonly entry: string;
}

const messageSchema = z.discriminatedUnion("event", [
  z.object({ event: z.literal("built") }),
  z.object({ event: z.literal("failed"), message: z.string() }),
]);

/**
 * Builds a lab and starts its processes; resolves when the networks stand and the processes have been started, which
 * is before anything has converged.
 * @throws LabError, TopologyError; then nothing of the lab is left but its folder with the logs.
 */
export async function launchLab({ name, topologyFile, entry }: LaunchOptions): Promise<LaunchedLab> {
  const file = resolve(topologyFile);
  const text = await readTopologyFile(file);
  const topology = loadTopology(text, file);
  const folder = labFolder(name);
  checkSocketPaths(
    folder,
    topology.nodes.map((node) => node.name),
  );
  requirePrograms(topology);
  const userNamespace = chooseUserNamespace();
  const started: LabInfo = {
    name,
    topologyFile: file,
    nodes: topology.nodes.map((node) => node.name),
    startedAt: new Date().toISOString(),
    owner: processId(process.pid),
    userNamespace,
  };
  await claimFolder(folder, started);
  await fillFolder(folder, text, join(dirname(file), topology.spec.manifests));
  const child = startSupervisor(folder, entry, userNamespace);
  const closed = new Promise<void>((done) => child.once("close", () => done()));
  await built(child, folder);
  if (child.pid === undefined) throw new LabError("unshare has no pid");
  const owner = processId(child.pid);
  const info: LabInfo = { ...started, owner, init: processId(firstChild(child.pid)) };
  await writeLabInfo(folder, info);
  return {
    folder,
    info,
    topology,
    closed,
    detach() {
      child.stdin?.end("detach\n");
      child.stdout?.destroy();
      child.unref();
    },
  };
}

/** Waits until a lab is gone. @returns whether it is, within the time. */
export async function waitGone(info: LabInfo, timeoutMs: number): Promise<boolean> {
  const deadline = performance.now() + timeoutMs;
  while (isLabAlive(info)) {
    if (performance.now() > deadline) return false;
    await new Promise((done) => setTimeout(done, 20));
  }
  return true;
}

async function fillFolder(folder: LabFolder, topology: string, manifests: string): Promise<void> {
  for (const path of [folder.state, folder.logs, folder.pods]) await mkdir(path, { recursive: true });
  await writeFile(folder.topology, topology);
  try {
    await cp(manifests, folder.manifests, { recursive: true });
  } catch (cause) {
    throw new LabError(
      `cannot copy the manifests ${manifests}: ${cause instanceof Error ? cause.message : String(cause)}; make the folder, or set \`manifests\` in the topology`,
      { cause },
    );
  }
}

function startSupervisor(folder: LabFolder, entry: string, userNamespace: boolean): ChildProcess {
  const log = openSync(join(folder.logs, "supervisor.log"), "a");
  try {
    const inner = [
      "sh",
      "-eu",
      "-c",
      INIT,
      "causeway-lab",
      process.execPath,
      ...process.execArgv,
      SUPERVISOR,
      folder.root,
      entry,
    ];
    return spawn("unshare", [...(userNamespace ? USER_NAMESPACE : []), ...NAMESPACES, "--", ...inner], {
      // A session of its own: Ctrl-C in the terminal reaches the command, which then stops the lab in order.
      detached: true,
      stdio: ["pipe", "pipe", log],
      cwd: "/",
      env: { ...process.env, PATH: systemPath() },
    });
  } finally {
    closeSync(log);
  }
}

async function built(child: ChildProcess, folder: LabFolder): Promise<void> {
  if (child.stdout === null) throw new LabError("the supervisor has no output to listen to");
  const failed = new Promise<never>((_, reject) => {
    child.once("error", (cause) => reject(new LabError(`cannot start unshare: ${cause.message}`, { cause })));
  });
  failed.catch(() => undefined);
  const listen = async (output: NonNullable<typeof child.stdout>) => {
    const lines = createInterface({ input: output });
    for await (const line of lines) {
      const message = messageSchema.parse(JSON.parse(line));
      if (message.event === "failed") throw new LabError(message.message);
      return;
    }
    const log = readFileSync(join(folder.logs, "supervisor.log"), "utf8").trim().slice(-2000);
    throw new LabError(`the lab's supervisor ended while building: ${log === "" ? "it said nothing" : log}`);
  };
  await Promise.race([listen(child.stdout), failed]);
}

/** PID 1 of the namespaces that `unshare` has made. */
function firstChild(pid: number): number {
  const [first] = childProcesses(pid);
  if (first === undefined) throw new LabError("the lab's first process has ended; see the log of the supervisor");
  return first;
}

function requirePrograms(topology: ResolvedTopology): void {
  const roles = new Set(topology.nodes.map(({ spec }) => spec.role));
  const needed = [
    ["ip", "iproute2"],
    ["unshare", "util-linux"],
    ["nsenter", "util-linux"],
    ["setpriv", "util-linux"],
    ...(roles.has("router") ? [["bird", "bird2"]] : []),
  ] as const;
  const missing = needed.filter(([program]) => !onPath(program));
  if (missing.length === 0) return;
  const packages = [...new Set(missing.map(([, name]) => name))].join(" ");
  throw new LabError(
    `missing ${missing.map(([program]) => program).join(", ")}: install with \`sudo apt-get install ${packages}\``,
  );
}

function onPath(program: string): boolean {
  return systemPath()
    .split(":")
    .some((folder) => {
      try {
        accessSync(join(folder, program), constants.X_OK);
        return true;
      } catch {
        return false;
      }
    });
}

/** Whether to use a user namespace: when the machine lets us, else only root can build a lab. */
function chooseUserNamespace(): boolean {
  // Some systems allow the namespace and then deny every capability in it, so try what the lab will do.
  const trial = ["sh", "-eu", "-c", "mount -n -t tmpfs tmpfs /run && ip link set lo up"];
  const options = { env: { ...process.env, PATH: systemPath() }, encoding: "utf8" } as const;
  const user = spawnSync("unshare", [...USER_NAMESPACE, ...NAMESPACES, "--", ...trial], options);
  if (user.status === 0) return true;
  const root = process.getuid?.() === 0 ? spawnSync("unshare", [...NAMESPACES, "--", ...trial], options) : undefined;
  if (root?.status === 0) return false;
  const said = (root ?? user).stderr?.trim() || (root ?? user).error?.message || "no reason given";
  throw new LabError(
    `this machine lets neither a user nor root make the namespaces that a lab lives in (${said}). Run as root (sudo), or allow user ` +
      "namespaces: `sysctl -w kernel.apparmor_restrict_unprivileged_userns=0` on Ubuntu, `sysctl -w kernel.unprivileged_userns_clone=1` on " +
      "older Debian; in a container, start it with --privileged",
  );
}
