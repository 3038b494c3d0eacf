import { type ChildProcess, execFile, spawn } from "node:child_process";
import { access, constants, readFile, rm, writeFile } from "node:fs/promises";
import { connect } from "node:net";
import { delimiter, join } from "node:path";
import { createInterface } from "node:readline";
import { promisify } from "node:util";
import type { Log } from "#shared/process/log.ts";
import { pause, within } from "#shared/process/pause.ts";

/** A program that the frontend needs is not installed; nothing to retry. */
export class ProgramMissingError extends Error {
  override readonly name = "ProgramMissingError";
}

/** gobgpd did not come up; the caller starts it again later. */
class GobgpdStartError extends Error {
  override readonly name = "GobgpdStartError";
}

/** sun_path of sockaddr_un holds 108 bytes with the terminator. */
const MAX_SOCKET_PATH = 107;
const START_LIMIT_MS = 5_000;
const STOP_LIMIT_MS = 2_000;

/** @throws ProgramMissingError with what to install. */
export async function findGobgpd(path: string): Promise<{ readonly gobgpd: string; readonly setpriv: string }> {
  const find = async (program: string, fix: string): Promise<string> => {
    for (const folder of path.split(delimiter)) {
      const candidate = join(folder || ".", program);
      if (await isExecutable(candidate)) return candidate;
    }
    throw new ProgramMissingError(`${program} is not on PATH (${path}); ${fix}`);
  };
  return {
    gobgpd: await find("gobgpd", "install GoBGP (Debian: apt-get install gobgpd)"),
    setpriv: await find("setpriv", "install util-linux (Debian: apt-get install util-linux)"),
  };
}

/** A gobgpd of our own: it ends when this process ends, however that happens. */
export class GobgpdProcess {
  readonly pid: number;
  /** As `gobgpd --version` says: `3.10.0`. */
  readonly version: string;
  /** Unix socket of its gRPC interface. */
  readonly socket: string;
  /** Resolves with the reason when the process has ended. */
  readonly exited: Promise<string>;
  readonly #child: ChildProcess;

  private constructor(child: ChildProcess, own: Pick<GobgpdProcess, "pid" | "version" | "socket" | "exited">) {
    this.#child = child;
    this.pid = own.pid;
    this.version = own.version;
    this.socket = own.socket;
    this.exited = own.exited;
  }

  /**
   * Starts gobgpd without a configuration file and waits until its gRPC interface listens. One that an earlier run left
   * behind is ended first: it may still announce what nobody watches over.
   * @throws ProgramMissingError, GobgpdStartError
   */
  static async start(options: { runDir: string; path: string; log: Log }): Promise<GobgpdProcess> {
    const { runDir, log } = options;
    const { gobgpd, setpriv } = await findGobgpd(options.path);
    const socket = join(runDir, "gobgpd.sock");
    if (Buffer.byteLength(socket) > MAX_SOCKET_PATH) {
      throw new GobgpdStartError(
        `${socket} is too long for a unix socket (${MAX_SOCKET_PATH} bytes); use a shorter runDir`,
      );
    }
    const pidFile = join(runDir, "gobgpd.pid");
    await endLeftOver(pidFile, socket, log);
    await rm(socket, { force: true });
    // The kernel sends the death signal when the *thread* that forked ends: Node forks in its main thread, which lives
    // as long as the process. A session of its own keeps a terminal's Ctrl-C away: we withdraw before it may end.
    const args = ["--pdeathsig", "KILL", gobgpd, "--pprof-disable", "--api-hosts", `unix://${socket}`];
    const child = spawn(setpriv, args, { stdio: ["ignore", "pipe", "pipe"], detached: true });
    const exited = new Promise<string>((resolve) => {
      child.once("error", (error) => resolve(error.message));
      child.once("exit", (code, signal) => resolve(signal === null ? `exit code ${code}` : `killed by ${signal}`));
    });
    for (const stream of [child.stdout, child.stderr]) relay(stream, log);
    const { pid } = child;
    if (pid === undefined) throw new GobgpdStartError(`cannot start ${setpriv}: ${await exited}`);
    try {
      await writeFile(pidFile, `${pid}\n`);
      // Asked while it starts: another 50 ms less until the sessions begin.
      const [version] = await Promise.all([versionOf(gobgpd), listening(socket, exited)]);
      return new GobgpdProcess(child, { pid, version, socket, exited });
    } catch (error) {
      child.kill("SIGKILL");
      await exited;
      throw error;
    }
  }

  /** Asks it to end its sessions and itself, and makes sure. */
  async stop(): Promise<void> {
    this.#child.kill("SIGTERM");
    if ((await within(STOP_LIMIT_MS, this.exited)) === undefined) await this.kill();
  }

  async kill(): Promise<void> {
    this.#child.kill("SIGKILL");
    await this.exited;
  }
}

async function listening(socket: string, exited: Promise<string>): Promise<void> {
  const limit = AbortSignal.timeout(START_LIMIT_MS);
  let ended: string | undefined;
  void exited.then((reason) => {
    ended = reason;
  });
  while (!(await accepts(socket))) {
    if (ended !== undefined) throw new GobgpdStartError(`gobgpd ended while starting: ${ended}`);
    if (limit.aborted) throw new GobgpdStartError(`gobgpd did not listen on ${socket} in ${START_LIMIT_MS} ms`);
    await pause(20, limit);
  }
}

async function versionOf(gobgpd: string): Promise<string> {
  try {
    const { stdout } = await promisify(execFile)(gobgpd, ["--version"], { timeout: START_LIMIT_MS });
    return /[0-9]+(\.[0-9]+)+/.exec(stdout)?.[0] ?? stdout.trim();
  } catch (cause) {
    throw new GobgpdStartError(`${gobgpd} --version fails: ${cause instanceof Error ? cause.message : String(cause)}`, {
      cause,
    });
  }
}

async function endLeftOver(pidFile: string, socket: string, log: Log): Promise<void> {
  const pid = Number(await textOf(pidFile));
  if (!Number.isInteger(pid) || pid <= 1) return;
  // The pid may have been given to another process since: its command line must name our own socket.
  const isOurs = async (): Promise<boolean> => (await textOf(`/proc/${pid}/cmdline`)).includes(socket);
  if (!(await isOurs())) return;
  log.warn({ pid }, "ending a gobgpd that an earlier run left behind");
  process.kill(pid, "SIGKILL");
  const limit = AbortSignal.timeout(STOP_LIMIT_MS);
  while (await isOurs()) {
    if (limit.aborted) throw new GobgpdStartError(`gobgpd ${pid} of an earlier run does not end`);
    await pause(10, limit);
  }
}

async function textOf(file: string): Promise<string> {
  try {
    return await readFile(file, "utf8");
  } catch (error) {
    if (error instanceof Error && "code" in error && (error.code === "ENOENT" || error.code === "ESRCH")) return "";
    throw error;
  }
}

async function isExecutable(file: string): Promise<boolean> {
  try {
    await access(file, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}

function accepts(socket: string): Promise<boolean> {
  return new Promise((resolve) => {
    const connection = connect(socket);
    connection.once("connect", () => {
      connection.destroy();
      resolve(true);
    });
    connection.once("error", () => resolve(false));
  });
}

/** gobgpd logs JSON lines; what it reports as a warning or worse is worth a warning here. */
function relay(stream: NodeJS.ReadableStream | null, log: Log): void {
  if (stream === null) return;
  createInterface({ input: stream }).on("line", (line) => {
    const serious = /"level":"(warning|error|fatal|panic)"/.test(line);
    log[serious ? "warn" : "debug"]({ gobgpd: line.slice(0, 1000) }, "gobgpd");
  });
}
