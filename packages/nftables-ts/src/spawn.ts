import { execFile } from "node:child_process";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { NftOutcomeUnknownError, NftUnavailableError } from "./errors.ts";
import type { Reply, Request } from "./operations.ts";
import { type Engine, QueuedRunner } from "./runner.ts";

export type SpawnOptions = {
  /** The nft(8) program: a name to look up in PATH, or a path. */
  readonly command?: string;
  /** After this time a call's process is killed. */
  readonly timeoutMs?: number;
};

/** One `nft` process per call, for where the library does not load. Slower by the start of a process (milliseconds). */
export class NftablesSpawn extends QueuedRunner {
  constructor(options: SpawnOptions = {}) {
    super("spawn", new ProcessEngine(options));
  }
}

class ProcessEngine implements Engine {
  readonly #command: string;
  readonly #timeoutMs: number;

  constructor({ command = "nft", timeoutMs = 60_000 }: SpawnOptions) {
    this.#command = command;
    this.#timeoutMs = timeoutMs;
  }

  /** `nft -f -` refuses the socket that a child of Node has as standard input, so the commands go through a file. */
  async execute({ text, format, checkOnly, terse }: Request): Promise<Reply> {
    const folder = await mkdtemp(join(tmpdir(), "nftables-"));
    try {
      const file = join(folder, "commands");
      await writeFile(file, text, { mode: 0o600, flag: "wx" });
      const options = [
        // -a as the library does in JSON, -y not: numbers for protocols only, see LibnftablesContext.
        ...(format === "json" ? ["--json", "--numeric-protocol", "--handle"] : []),
        ...(checkOnly ? ["--check"] : []),
        ...(terse ? ["--terse"] : []),
      ];
      return await this.#nft([...options, "--file", file], file);
    } finally {
      await rm(folder, { recursive: true, force: true });
    }
  }

  async close(): Promise<void> {}

  #nft(args: readonly string[], file: string): Promise<Reply> {
    const options = {
      // The errno texts are matched in the C locale.
      env: { ...process.env, LC_ALL: "C" },
      maxBuffer: Number.POSITIVE_INFINITY,
      timeout: this.#timeoutMs,
      killSignal: "SIGKILL",
    } as const;
    return new Promise((resolve, reject) => {
      execFile(this.#command, args, options, (error, output, errors) => {
        if (error === null) resolve({ output });
        else if (typeof error.code === "number") resolve({ errors, file, sourceIsTrue: true });
        else if (error.signal === undefined || error.signal === null) {
          const message = `${this.#command} cannot be started: ${error.message}; install nftables`;
          reject(new NftUnavailableError(message, { cause: error }));
        } else {
          const late = error.killed === true ? ` after ${this.#timeoutMs} ms` : "";
          const message = `${this.#command} was ended by ${error.signal}${late}: whether the kernel has the change is unknown`;
          reject(new NftOutcomeUnknownError(message, { cause: error }));
        }
      });
    });
  }
}
