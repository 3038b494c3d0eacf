import { type ChildProcess, spawn } from "node:child_process";
import { cpSync, mkdirSync, mkdtempSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { z } from "zod";
import { type LabStatus, labStatusSchema } from "../../lab/lab-status.ts";
import { type TrafficReport, trafficReportSchema } from "../../lab/traffic/report.ts";
import { unixRequest } from "../../lab/unix-http.ts";

export const CAUSEWAY = fileURLToPath(new URL("../../bin/causeway", import.meta.url));
const EXAMPLES = fileURLToPath(new URL("../../examples/lab", import.meta.url));
const ASK_FLOWS = fileURLToPath(new URL("./ask-flows.ts", import.meta.url));

interface Output {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** The part of a proxy's status that these tests look at. */
const proxyStatusSchema = z.object({
  mode: z.string().optional(),
  generation: z.int(),
  services: z.array(z.object({ name: z.string(), readyTargets: z.int(), packets: z.number() })),
  vips: z.array(z.object({ address: z.string(), ready: z.boolean() })),
  counters: z.record(z.string(), z.object({ packets: z.number() })),
  repairs: z.array(z.object({ what: z.string(), count: z.int() })),
  moves: z.object({ learningSlots: z.int() }),
});
type ProxyStatus = z.infer<typeof proxyStatusSchema>;

export interface SystemLabOptions {
  /** Folder of examples/lab that the lab starts from. */
  readonly example: string;
  /** Changes the topology's text. */
  readonly topology?: (text: string) => string;
  /** Further manifests, or changes of the example's, by file name. */
  readonly manifests?: Readonly<Record<string, (text: string) => string>>;
  /** Shell script that the lab's processes are started with, instead of `bin/causeway`. */
  readonly program?: string;
}

/** A flow that `ask` sends. */
export interface AskedFlow {
  readonly protocol: "tcp" | "udp";
  readonly source: string;
  readonly sourcePort: number;
  readonly destination: string;
  readonly destinationPort: number;
}

export interface TrafficOptions {
  readonly to: string;
  readonly protocol: "tcp" | "udp";
  readonly more?: readonly string[];
}

/** Traffic that goes on until it is stopped. */
export interface Background {
  /** Ends it in order. @returns what it counted. */
  stop(): Promise<TrafficReport>;
}

/** A whole lab, driven by the `causeway` command as a user would, with a state folder of its own. */
export class SystemLab {
  readonly #home: string;
  readonly #children = new Set<ChildProcess>();
  readonly name: string;

  private constructor(home: string, name: string) {
    this.#home = home;
    this.name = name;
  }

  /** Builds the lab and waits until it has converged. */
  static async start(
    name: string,
    { example, topology, manifests = {}, program }: SystemLabOptions,
  ): Promise<SystemLab> {
    const home = mkdtempSync(join(tmpdir(), "cw-sys-"));
    const source = join(home, "topology");
    cpSync(join(EXAMPLES, example), source, { recursive: true });
    const edit = (file: string, change: (text: string) => string): void =>
      writeFileSync(file, change(readOr(file, "")));
    if (topology !== undefined) edit(join(source, "topology.yaml"), topology);
    for (const [file, change] of Object.entries(manifests)) edit(join(source, "manifests", file), change);
    const lab = new SystemLab(home, name);
    for (const folder of [lab.home, lab.temporary]) mkdirSync(folder);
    const { code, stdout, stderr } = await collected(
      lab.spawn(["lab", "up", "--name", name, "-t", source, "--wait"], program),
    );
    if (code === 0) return lab;
    await lab.close();
    throw new Error(`lab up ended with ${code}: ${stderr}${stdout}`);
  }

  /** Folder of the lab. */
  get folder(): string {
    return join(this.#home, "labs", this.name);
  }

  /** `HOME` of every command: nothing of the lab belongs there. */
  get home(): string {
    return join(this.#home, "home");
  }

  /** `TMPDIR` of every command: nothing of the lab belongs there. */
  get temporary(): string {
    return join(this.#home, "tmp");
  }

  manifest(file: string): string {
    return join(this.folder, "manifests", file);
  }

  /** Replaces a manifest file as editors do, by rename. @returns when, in ms of `performance.now()`. */
  write(file: string, text: string): number {
    const path = this.manifest(file);
    const temporary = this.manifest(`.${file}.new`);
    writeFileSync(temporary, text);
    const at = performance.now();
    renameSync(temporary, path);
    return at;
  }

  edit(file: string, change: (text: string) => string): number {
    return this.write(file, change(readFileSync(this.manifest(file), "utf8")));
  }

  remove(file: string): void {
    rmSync(this.manifest(file));
  }

  log(node: string, process: string): string {
    return readOr(join(this.folder, "logs", `${node}-${process}.log`), "");
  }

  spawn(args: readonly string[], program = CAUSEWAY): ChildProcess {
    const child = spawn("sh", [program, ...args], {
      env: { ...process.env, CAUSEWAY_STATE: this.#home, HOME: this.home, TMPDIR: this.temporary },
      stdio: ["ignore", "pipe", "pipe"],
    });
    this.#children.add(child);
    child.once("close", () => this.#children.delete(child));
    return child;
  }

  /** Runs `causeway ARGS` to its end. */
  run(...args: string[]): Promise<Output> {
    return collected(this.spawn(args));
  }

  /** Runs `causeway lab ACTION --name NAME ARGS`, which must succeed. */
  async lab(action: string, ...args: string[]): Promise<string> {
    const { code, stdout, stderr } = await this.run("lab", action, "--name", this.name, ...args);
    if (code !== 0) throw new Error(`lab ${action} ${args.join(" ")} ended with ${code}: ${stderr}${stdout}`);
    return stdout;
  }

  /** Runs a command in a node, which must succeed. @returns its standard output. */
  exec(node: string, ...command: string[]): Promise<string> {
    return this.lab("exec", node, "--", ...command);
  }

  /** Runs shell code in a node. */
  sh(node: string, script: string): Promise<string> {
    return this.exec(node, "sh", "-ec", script);
  }

  /** Starts a command in a node and leaves it running. */
  start(node: string, ...command: string[]): ChildProcess {
    return this.spawn(["lab", "exec", "--name", this.name, node, "--", ...command]);
  }

  async status(): Promise<LabStatus> {
    const { stdout } = await this.run("lab", "status", "--name", this.name, "--json");
    return labStatusSchema.parse(JSON.parse(stdout));
  }

  /** Waits until the lab has converged and `check` holds of its status. */
  async converged(check: (status: LabStatus) => boolean = () => true, timeoutMs = 30_000): Promise<LabStatus> {
    return await until(
      () => this.status(),
      (status) => status.converged && check(status),
      timeoutMs,
      (status) => `not converged: ${status.waitingFor.join("; ") || "the condition does not hold"}`,
      100,
    );
  }

  /** All of `GET /status` of a proxy. @throws UnixHttpError while it does not answer. */
  async proxyStatus(node: string, limitMs = 1000): Promise<unknown> {
    const { body } = await unixRequest(join(this.folder, "run", node, "proxy.sock"), "GET", "/status", limitMs);
    return JSON.parse(body);
  }

  /** `GET /status` of a proxy; undefined while it does not answer. */
  async proxy(node: string): Promise<ProxyStatus | undefined> {
    try {
      return proxyStatusSchema.parse(await this.proxyStatus(node));
    } catch (error) {
      if (error instanceof Error && error.name === "UnixHttpError") return undefined;
      throw error;
    }
  }

  /** Waits until every one of the gateways' proxies says so. */
  async proxies(nodes: readonly string[], check: (status: ProxyStatus) => boolean, timeoutMs = 10_000): Promise<void> {
    await until(
      () => Promise.all(nodes.map((node) => this.proxy(node))),
      (statuses) => statuses.every((status) => status !== undefined && check(status)),
      timeoutMs,
      (statuses) => `the proxies are not as expected: ${JSON.stringify(statuses).slice(0, 3000)}`,
      10,
    );
  }

  /** Sends traffic from the client until it is done. */
  async traffic({ to, protocol, more = [] }: TrafficOptions, node = "client"): Promise<TrafficReport> {
    const { stdout, stderr } = await collected(this.start(node, ...trafficCommand({ to, protocol, more })));
    if (stdout.trim() === "") throw new Error(`traffic to ${to} ended without a report: ${stderr}`);
    return trafficReportSchema.parse(JSON.parse(stdout));
  }

  /** Starts traffic from the client that goes on until `stop`; resolves when it answers somebody. */
  background({ to, protocol, more = [] }: TrafficOptions): Background {
    const child = this.start("client", ...trafficCommand({ to, protocol, more: ["--duration", "600", ...more] }));
    const output = collected(child);
    return {
      stop: async () => {
        child.kill("SIGTERM");
        const { stdout, stderr } = await output;
        if (stdout.trim() === "") throw new Error(`traffic to ${to} ended without a report: ${stderr}`);
        return trafficReportSchema.parse(JSON.parse(stdout));
      },
    };
  }

  /** Sends each flow once, from its own source port. @returns who answered, in the same order. */
  async ask(flows: readonly AskedFlow[]): Promise<readonly string[]> {
    const file = join(this.#home, "flows.json");
    writeFileSync(file, JSON.stringify(flows));
    const text = await this.exec("client", process.execPath, ASK_FLOWS, file);
    return z.array(z.string()).parse(JSON.parse(text));
  }

  /** kill -9 of a process of a node. */
  async kill(node: string, pid: number): Promise<void> {
    await this.exec(node, "sh", "-c", `kill -9 ${pid}`);
  }

  /** Pid of a process of a node, inside the lab. */
  async pid(node: string, name: string): Promise<number> {
    const { nodes } = await this.status();
    const pid = nodes.find((one) => one.name === node)?.processes.find((one) => one.name === name)?.pid;
    if (pid === undefined) throw new Error(`${name} of ${node} does not run`);
    return pid;
  }

  /** Takes the lab down, whatever state it is in, and removes its folder. */
  async close(): Promise<void> {
    for (const child of this.#children) child.kill("SIGKILL");
    await this.run("lab", "down", "--name", this.name);
    rmSync(this.#home, { recursive: true, force: true });
  }
}

function trafficCommand({ to, protocol, more = [] }: TrafficOptions): string[] {
  return ["sh", CAUSEWAY, "traffic", "--to", to, "--protocol", protocol, "--json", ...more];
}

function readOr(file: string, otherwise: string): string {
  try {
    return readFileSync(file, "utf8");
  } catch (error) {
    if (error instanceof Error && "code" in error && error.code === "ENOENT") return otherwise;
    throw error;
  }
}

async function collected(child: ChildProcess): Promise<Output> {
  let stdout = "";
  let stderr = "";
  child.stdout?.setEncoding("utf8").on("data", (chunk: string) => {
    stdout += chunk;
  });
  child.stderr?.setEncoding("utf8").on("data", (chunk: string) => {
    stderr += chunk;
  });
  return await new Promise((resolve, reject) => {
    child.once("error", reject);
    child.once("close", (code) => resolve({ code, stdout, stderr }));
  });
}

/** Asks again and again until the answer is right. @throws Error with `fault(answer)` after `timeoutMs`. */
export async function until<T>(
  ask: () => T | Promise<T>,
  right: (answer: T) => boolean,
  timeoutMs: number,
  fault: (answer: T) => string,
  pauseMs = 25,
): Promise<T> {
  const deadline = performance.now() + timeoutMs;
  for (;;) {
    const answer = await ask();
    if (right(answer)) return answer;
    if (performance.now() > deadline) throw new Error(`after ${timeoutMs} ms ${fault(answer)}`);
    await delay(pauseMs);
  }
}

/** `ADDRESS:PORT` as the commands take it. */
export function at(address: string, port: number): string {
  return address.includes(":") ? `[${address}]:${port}` : `${address}:${port}`;
}
