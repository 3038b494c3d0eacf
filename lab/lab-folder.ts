import { readFileSync, readlinkSync } from "node:fs";
import { mkdir, readFile, rename, rm, writeFile } from "node:fs/promises";
import { homedir } from "node:os";
import { join, resolve } from "node:path";
import { z } from "zod";
import { LabError } from "./lab-error.ts";
import { CLUSTER } from "./topology.ts";

/** Longest path that fits in `sockaddr_un`, without its terminating zero. */
const SOCKET_PATH_LIMIT = 107;
/** The longest socket name that any process puts into its run folder. */
const LONGEST_SOCKET = "controller.sock";

/** Where everything of one lab lies; nothing of it is anywhere else. */
export class LabFolder {
  readonly root: string;
  constructor(root: string) {
    this.root = root;
  }
  get info(): string {
    return join(this.root, "lab.json");
  }
  get topology(): string {
    return join(this.root, "topology.yaml");
  }
  /** Plain manifests: edit one and the lab follows. */
  get manifests(): string {
    return join(this.root, "manifests");
  }
  /** The ObjectStore's generated objects and status. */
  get state(): string {
    return join(this.root, "state");
  }
  get control(): string {
    return join(this.root, "control.sock");
  }
  /** One file per Pod, `namespace_name`, holding the path of its network namespace. */
  get pods(): string {
    return join(this.root, "run", "pods");
  }
  /** Holds the run folder of each node. */
  get runs(): string {
    return join(this.root, "run");
  }
  /** Sockets and pids of a node's processes. */
  run(node: string): string {
    return join(this.runs, node);
  }
  log(node: string, process: string): string {
    return join(this.root, "logs", `${node}-${process}.log`);
  }
  get logs(): string {
    return join(this.root, "logs");
  }
}

/** Folder of the lab of that name: `$CAUSEWAY_STATE` or `$XDG_STATE_HOME/causeway`, then `labs/NAME`. */
export function labFolder(name: string, env: NodeJS.ProcessEnv = process.env): LabFolder {
  if (!/^[a-z0-9]([-a-z0-9]{0,30}[a-z0-9])?$/.test(name)) {
    throw new LabError(
      `lab name ${JSON.stringify(name)} must be 1-32 of a-z, 0-9 and '-', starting and ending with a letter or digit`,
    );
  }
  const base = env.CAUSEWAY_STATE || join(env.XDG_STATE_HOME || join(homedir(), ".local", "state"), "causeway");
  const root = resolve(base, "labs", name);
  if (`${root}/`.startsWith("/run/")) {
    throw new LabError(
      `the state folder ${root} is under /run, which a lab replaces by its own; set CAUSEWAY_STATE to another folder`,
    );
  }
  return new LabFolder(root);
}

/** @throws LabError when a socket of one of the nodes would not fit into a socket address. */
export function checkSocketPaths(folder: LabFolder, nodes: readonly string[]): void {
  for (const node of [CLUSTER, ...nodes]) {
    const path = join(folder.run(node), LONGEST_SOCKET);
    const length = Buffer.byteLength(path);
    if (length > SOCKET_PATH_LIMIT) {
      throw new LabError(
        `the socket path ${path} has ${length} bytes, and Unix sockets allow ${SOCKET_PATH_LIMIT}: ` +
          "set CAUSEWAY_STATE to a shorter folder, or choose a shorter --name or node name",
      );
    }
  }
}

const processIdSchema = z.object({ pid: z.int().positive(), startTicks: z.string() });
/** A process, recognisable after its pid was given to another: pid and start time in clock ticks since boot. */
export type ProcessId = z.infer<typeof processIdSchema>;

const labInfoSchema = z.object({
  name: z.string(),
  topologyFile: z.string(),
  nodes: z.array(z.string()),
  startedAt: z.string(),
  /** Whoever must be alive for the lab to be: the launcher while it builds, then the outer `unshare`. */
  owner: processIdSchema,
  /** PID 1 of the lab's namespaces as the machine sees it; missing while the lab is being built. */
  init: processIdSchema.optional(),
  userNamespace: z.boolean(),
});
export type LabInfo = z.infer<typeof labInfoSchema>;

/** Start time of a live process; undefined when there is none (a zombie is none). */
function startTicksOf(pid: number): string | undefined {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, "latin1");
    // The command's name is in parentheses and may hold anything; fields count from after the last one.
    const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
    return fields[0] === "Z" || fields[0] === "X" ? undefined : fields[19];
  } catch {
    // No such file: no such process.
    return undefined;
  }
}

export function isAlive({ pid, startTicks }: ProcessId): boolean {
  return startTicksOf(pid) === startTicks;
}

/**
 * Whether a lab is there. Its first process leaves its namespaces before it ends; it cannot end as long as nobody reaps
 * a killed `lab exec` (containers without an init), but then nothing of the lab is left either.
 */
export function isLabAlive({ owner, init }: Pick<LabInfo, "owner" | "init">): boolean {
  if (!isAlive(owner)) return false;
  if (init === undefined) return true;
  try {
    return isAlive(init) && readlinkSync(`/proc/${init.pid}/ns/mnt`) !== "";
  } catch {
    // It ended, or is about to.
    return false;
  }
}

/** @throws LabError when there is no such process. */
export function processId(pid: number): ProcessId {
  const startTicks = startTicksOf(pid);
  if (startTicks === undefined) throw new LabError(`process ${pid} has ended`);
  return { pid, startTicks };
}

/** What a lab's folder says about it; undefined without a folder or with one that holds no readable `lab.json`. */
export async function readLabInfo(folder: LabFolder): Promise<LabInfo | undefined> {
  try {
    const parsed = labInfoSchema.safeParse(JSON.parse(await readFile(folder.info, "utf8")));
    return parsed.success ? parsed.data : undefined;
  } catch (error) {
    if (error instanceof SyntaxError || (error instanceof Error && "code" in error && error.code === "ENOENT"))
      return undefined;
    throw error;
  }
}

export async function writeLabInfo(folder: LabFolder, info: LabInfo): Promise<void> {
  const temporary = `${folder.info}.new`;
  await writeFile(temporary, `${JSON.stringify(info, null, 2)}\n`);
  await rename(temporary, folder.info);
}

/** A lab that runs, and whose namespaces can be entered. @throws LabError otherwise, saying how to start it. */
export async function findRunningLab(name: string): Promise<{ folder: LabFolder; info: LabInfo; init: ProcessId }> {
  const folder = labFolder(name);
  const info = await readLabInfo(folder);
  const option = name === "default" ? "" : ` --name ${name}`;
  if (info === undefined) throw new LabError(`no lab named ${name}; start it with \`causeway lab up${option}\``);
  if (!isLabAlive(info))
    throw new LabError(`the lab ${name} was killed; start it again with \`causeway lab up${option}\``);
  if (info.init === undefined) throw new LabError(`the lab ${name} is still being built; try again in a second`);
  return { folder, info, init: info.init };
}

/**
 * Takes the folder for a new lab: makes it, after removing what a killed lab left there.
 * @throws LabError when a lab of that name runs.
 */
export async function claimFolder(folder: LabFolder, info: LabInfo): Promise<void> {
  await mkdir(join(folder.root, ".."), { recursive: true });
  const old = await readLabInfo(folder);
  if (old !== undefined && isLabAlive(old)) {
    const option = info.name === "default" ? "" : ` --name ${info.name}`;
    throw new LabError(
      `the lab ${info.name} already runs; stop it with \`causeway lab down${option}\`, or give another --name`,
    );
  }
  await rm(folder.root, { recursive: true, force: true });
  try {
    await mkdir(folder.root);
  } catch (cause) {
    throw new LabError(`cannot make ${folder.root}: ${cause instanceof Error ? cause.message : String(cause)}`, {
      cause,
    });
  }
  await writeLabInfo(folder, info);
}
