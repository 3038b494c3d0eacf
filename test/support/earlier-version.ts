import { execFileSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

const ROOT = fileURLToPath(new URL("../..", import.meta.url));

export type ProcessName = "controller" | "node" | "proxy" | "frontend";
export type Version = "earlier" | "current";

/** The commit that `CAUSEWAY_EARLIER` names, else the one before this; undefined where git does not know it. */
export function earlierCommit(): string | undefined {
  try {
    const commit = process.env.CAUSEWAY_EARLIER ?? "HEAD~1";
    const command = ["rev-parse", "--quiet", "--verify", `${commit}^{commit}`];
    return execFileSync("git", command, { cwd: ROOT, encoding: "utf8" }).trim();
  } catch {
    return undefined;
  }
}

/**
 * The sources of an earlier commit beside today's, with today's npm packages, and a program that runs each process in
 * the version that was chosen for it last.
 */
export class EarlierVersion {
  readonly #folder = mkdtempSync(join(tmpdir(), "cw-earlier-"));
  readonly #chosen = new Map<ProcessName, Version>();
  readonly #started = join(this.#folder, "started");
  /** Shell script: understands what `bin/causeway` does. */
  readonly program = join(this.#folder, "causeway");

  constructor(commit: string) {
    const earlier = join(this.#folder, "source");
    mkdirSync(join(earlier, "node_modules"), { recursive: true });
    const archive = execFileSync("git", ["archive", commit], { cwd: ROOT, maxBuffer: 256 * 1024 * 1024 });
    execFileSync("tar", ["-x", "-C", earlier], { input: archive });
    const own = readdirSync(join(earlier, "packages"));
    for (const name of readdirSync(join(ROOT, "node_modules"))) {
      if (name.startsWith(".")) continue;
      const target = own.includes(name) ? `../packages/${name}` : join(ROOT, "node_modules", name);
      symlinkSync(target, join(earlier, "node_modules", name));
    }
    const entry = join(this.#folder, "entry.mjs");
    const choices = join(this.#folder, "choices.json");
    writeFileSync(
      entry,
      `import { appendFileSync, readFileSync } from "node:fs";
const choices = JSON.parse(readFileSync(${JSON.stringify(choices)}, "utf8"));
const root = choices[process.argv[2]] === "earlier" ? ${JSON.stringify(earlier)} : ${JSON.stringify(ROOT)};
appendFileSync(${JSON.stringify(this.#started)}, process.argv[2] + " " + root + "\\n");
await import(root + "/cli/main.ts");
`,
    );
    writeFileSync(this.program, `exec ${process.execPath} --max-semi-space-size=1 ${entry} "$@"\n`);
    this.choose("current", "controller", "node", "proxy", "frontend");
  }

  /** From their next start on. */
  choose(version: Version, ...names: readonly ProcessName[]): void {
    for (const name of names) this.#chosen.set(name, version);
    writeFileSync(join(this.#folder, "choices.json"), JSON.stringify(Object.fromEntries(this.#chosen)));
  }

  /** The versions in which a process was started, in order. */
  startedAs(name: ProcessName): readonly Version[] {
    const lines = readFileSync(this.#started, "utf8").split("\n");
    return lines.flatMap((line): Version[] => {
      if (!line.startsWith(`${name} `)) return [];
      return [line === `${name} ${ROOT}` ? "current" : "earlier"];
    });
  }

  close(): void {
    rmSync(this.#folder, { recursive: true });
  }
}
