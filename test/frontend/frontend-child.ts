import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import type { AnyObject } from "#shared/api/kinds.ts";
import { writeProgrammed } from "#shared/instance/programmed.ts";
import { baseObjects, vip } from "./gateway-objects.ts";

const PROGRAM = fileURLToPath(new URL("./frontend-process.ts", import.meta.url));

/** A frontend as a process of its own, that can be killed and started again over the same run folder. */
export class FrontendChild {
  readonly #runDir: string;
  #child: ChildProcess | undefined;
  #said = "";

  private constructor(runDir: string) {
    this.#runDir = runDir;
  }

  /** Not started yet; the proxy beside it has programmed these VIPs. */
  static async make(vips: readonly string[]): Promise<FrontendChild> {
    const runDir = await mkdtemp(join(tmpdir(), "cw-frontend-"));
    await writeProgrammed(runDir, { generation: 1, vips: vips.map((address) => vip(address)) });
    return new FrontendChild(runDir);
  }

  /** What it has logged since it was started. */
  get said(): string {
    return this.#said;
  }

  /** @param peers beside the objects that every instance needs. */
  async start(...peers: readonly AnyObject[]): Promise<void> {
    const file = join(this.#runDir, "objects.json");
    await writeFile(file, JSON.stringify([...baseObjects(), ...peers]));
    this.#said = "";
    // A small young generation, and sources compiled once: half of what Node takes otherwise.
    this.#child = spawn(process.execPath, ["--max-semi-space-size=1", PROGRAM, this.#runDir, file], {
      stdio: ["ignore", "inherit", "pipe"],
      env: { ...process.env, NODE_COMPILE_CACHE: join(this.#runDir, "compiled") },
    });
    this.#child.stderr?.on("data", (chunk) => {
      this.#said += String(chunk);
    });
  }

  /** Resolves when it is gone, or was not there. */
  async end(signal: NodeJS.Signals): Promise<void> {
    const child = this.#child;
    if (child === undefined || child.exitCode !== null || child.signalCode !== null) return;
    const exited = once(child, "exit");
    child.kill(signal);
    await exited;
  }

  async close(): Promise<void> {
    await this.end("SIGKILL");
    await rm(this.#runDir, { recursive: true, force: true });
  }
}
