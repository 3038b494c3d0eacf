import { type Programmed, readProgrammed } from "#shared/instance/programmed.ts";
import type { Log } from "#shared/process/log.ts";

/** The proxy's file as it was last good: what cannot be read any more stays in force, and is reported. */
export class ProgrammedSource {
  readonly #runDir: string;
  readonly #log: Log;
  #current: Programmed | undefined;
  #problem: string | undefined;

  constructor(runDir: string, log: Log) {
    this.#runDir = runDir;
    this.#log = log;
  }

  /** Undefined until the proxy has written once. */
  get current(): Programmed | undefined {
    return this.#current;
  }

  /** Why the file cannot be read now. */
  get problem(): string | undefined {
    return this.#problem;
  }

  /** Reads again; answers whether the content is another one. */
  async refresh(): Promise<boolean> {
    try {
      const found = await readProgrammed(this.#runDir);
      if (found === undefined) {
        this.#report(this.#current === undefined ? undefined : `${this.#runDir}/programmed.json is gone`);
        return false;
      }
      this.#report(undefined);
      const changed = JSON.stringify(found) !== JSON.stringify(this.#current);
      this.#current = found;
      return changed;
    } catch (error) {
      this.#report(error instanceof Error ? error.message : String(error));
      return false;
    }
  }

  #report(problem: string | undefined): void {
    if (problem !== undefined && problem !== this.#problem) {
      const inForce = this.#current === undefined ? "no VIP is announced" : "what it said last stays in force";
      this.#log.error({ problem }, `the proxy's file cannot be used; ${inForce}`);
    }
    this.#problem = problem;
  }
}
