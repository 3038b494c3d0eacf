import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { hash } from "node:crypto";
import { once } from "node:events";
import { existsSync, mkdirSync, mkdtempSync, readFileSync, renameSync, rmSync } from "node:fs";
import { join } from "node:path";
import { createInterface } from "node:readline";

/** Where the sources of the vendors' programs are. */
export const VENDORS_FOLDER = join(import.meta.dirname, "vendors");

const CACHE = join(import.meta.dirname, "../../../node_modules/.cache/rtps-wire");
const PACKAGES = ["gcc", "g++", "cyclonedds-dev", "libfastrtps-dev", "libfastcdr-dev"];

export interface VendorPrograms {
  readonly cyclone: string;
  readonly fast: string;
}

/** Programs of vendors/: compiled when they are not yet, or others than before, which takes some ten seconds. */
export function vendorPrograms(): VendorPrograms {
  const versions = execFileSync("dpkg-query", ["--show", ...PACKAGES], { encoding: "utf8" });
  const sources = ["cyclone.c", "fast.cpp", "reading.idl"].map((name) =>
    readFileSync(join(VENDORS_FOLDER, name), "utf8"),
  );
  const made = join(CACHE, hash("sha256", [versions, ...sources].join("\n"), "hex").slice(0, 12));
  if (!existsSync(made)) {
    mkdirSync(CACHE, { recursive: true });
    const making = mkdtempSync(join(CACHE, "making-"));
    compileVendorPrograms(making);
    try {
      renameSync(making, made);
    } catch (error) {
      rmSync(making, { recursive: true });
      // Another test may have been quicker.
      if (!existsSync(made)) throw error;
    }
  }
  return { cyclone: join(made, "cyclone"), fast: join(made, "fast") };
}

/** Compiles vendors/cyclone.c and vendors/fast.cpp into `folder`. */
export function compileVendorPrograms(folder: string): VendorPrograms {
  const cyclone = join(folder, "cyclone");
  const fast = join(folder, "fast");
  execFileSync("idlc", [join(VENDORS_FOLDER, "reading.idl")], { cwd: folder, stdio: "ignore" });
  const cycloneSources = [join(VENDORS_FOLDER, "cyclone.c"), "reading.c"];
  execFileSync("gcc", ["-I.", "-o", cyclone, ...cycloneSources, "-lddsc"], { cwd: folder });
  execFileSync("g++", ["-o", fast, join(VENDORS_FOLDER, "fast.cpp"), "-lfastrtps", "-lfastcdr"]);
  return { cyclone, fast };
}

/** A vendor's program in a network namespace, or behind a command that enters one, and the lines that it has printed. */
export class VendorProgram implements AsyncDisposable {
  readonly #child: ChildProcess;
  readonly lines: string[] = [];
  #changed = Promise.withResolvers<void>();

  constructor(
    where: string | readonly string[],
    command: readonly string[],
    environment: Readonly<Record<string, string>> = {},
  ) {
    const enter = typeof where === "string" ? ["ip", "netns", "exec", where] : where;
    this.#child = spawn("env", [...enter, ...command], {
      stdio: ["ignore", "pipe", "inherit"],
      env: { ...process.env, ...environment, WATCH: "1" },
    });
    if (this.#child.stdout === null) throw new Error("the program has no output");
    createInterface({ input: this.#child.stdout }).on("line", (line) => {
      this.lines.push(line);
      this.#changed.resolve();
      this.#changed = Promise.withResolvers();
    });
  }

  /** Waits until it has printed the line, at `from` or later; returns the index behind it. */
  async printed(line: string, { from = 0, timeoutMs = 20_000 } = {}): Promise<number> {
    const deadline = AbortSignal.timeout(timeoutMs);
    const timedOut = once(deadline, "abort");
    for (;;) {
      const index = this.lines.indexOf(line, from);
      if (index >= 0) return index + 1;
      if (deadline.aborted) {
        throw new Error(`not within ${timeoutMs} ms: ${line}; it has printed:\n${this.lines.join("\n")}`);
      }
      await Promise.race([this.#changed.promise, timedOut]);
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return;
    this.#child.kill("SIGKILL");
    await once(this.#child, "exit");
  }
}
