import { type ChildProcess, spawn } from "node:child_process";
import { readFileSync } from "node:fs";
import type { ProcessStatus } from "../lab-status.ts";
import type { BoundedLog } from "./bounded-log.ts";

const FIRST_DELAY_MS = 100;
const LONGEST_DELAY_MS = 5000;
/** A process that lived this long starts over with the shortest delay when it dies. */
const HEALTHY_AFTER_MS = 10_000;
const PROBE_WHILE_NOT_READY_MS = 50;
const PROBE_WHILE_READY_MS = 1000;

export interface KeptProcessOptions {
  /** Node it belongs to, and its own name there. */
  readonly node: string;
  readonly name: string;
  readonly command: readonly string[];
  readonly cwd: string;
  readonly env: NodeJS.ProcessEnv;
  readonly log: BoundedLog;
  /** Asks the process whether it is ready; without it, running is ready. */
  readonly probe?: () => Promise<boolean>;
  /** Called when it starts, dies, becomes ready or ceases to be. */
  readonly onChange: () => void;
}

/** Keeps one program running: starts it again when it dies, after 100 ms to 5 s, and watches its readiness. */
export class KeptProcess {
  readonly node: string;
  readonly name: string;
  readonly #options: KeptProcessOptions;
  #wanted = false;
  #child: ChildProcess | undefined;
  #exited: Promise<void> = Promise.resolve();
  #restartTimer: NodeJS.Timeout | undefined;
  #probeTimer: NodeJS.Timeout | undefined;
  #delayMs = FIRST_DELAY_MS;
  #restarts = 0;
  #ready = false;

  constructor(options: KeptProcessOptions) {
    this.node = options.node;
    this.name = options.name;
    this.#options = options;
  }

  /** Running, and ready if it can tell. */
  get ready(): boolean {
    return this.#child !== undefined && this.#ready;
  }

  get pid(): number | undefined {
    return this.#child?.pid;
  }

  start(): void {
    if (this.#wanted) return;
    this.#wanted = true;
    this.#delayMs = FIRST_DELAY_MS;
    this.#spawn();
  }

  /** Asks it to end, and kills it after `graceMs`; it stays down. Resolves when it is gone. */
  async stop(graceMs: number): Promise<void> {
    this.#hold();
    this.#child?.kill("SIGTERM");
    const timer = setTimeout(() => this.#child?.kill("SIGKILL"), graceMs);
    await this.#exited;
    clearTimeout(timer);
  }

  /** kill -9; it stays down. Resolves when it is gone. */
  async kill(): Promise<void> {
    this.#hold();
    this.#child?.kill("SIGKILL");
    await this.#exited;
  }

  #hold(): void {
    this.#wanted = false;
    clearTimeout(this.#restartTimer);
  }

  status(): ProcessStatus {
    const pid = this.pid;
    const rssBytes = pid === undefined ? undefined : residentBytes(pid);
    return {
      name: this.name,
      ...(pid === undefined ? {} : { pid }),
      state: pid !== undefined ? "running" : this.#wanted ? "waiting" : "stopped",
      ready: this.ready,
      restarts: this.#restarts,
      ...(rssBytes === undefined ? {} : { rssBytes }),
    };
  }

  #spawn(): void {
    const { command, cwd, env, log, onChange, probe } = this.#options;
    const [program, ...args] = command;
    if (program === undefined) throw new RangeError(`process ${this.name} of ${this.node} has no command`);
    const startedAt = performance.now();
    const child = spawn(program, args, { cwd, env, stdio: ["ignore", "pipe", "pipe"] });
    this.#child = child;
    this.#ready = probe === undefined;
    child.stdout.on("data", (chunk: Buffer) => log.write(chunk));
    child.stderr.on("data", (chunk: Buffer) => log.write(chunk));
    child.on("error", (error) => log.write(`[lab] cannot start ${program}: ${error.message}\n`));
    this.#exited = new Promise((resolve) => {
      const ended = (how: string) => {
        if (this.#child !== child) return;
        this.#child = undefined;
        this.#ready = false;
        clearTimeout(this.#probeTimer);
        log.write(`[lab] ${new Date().toISOString()} ${this.name} ended: ${how}\n`);
        if (performance.now() - startedAt > HEALTHY_AFTER_MS) this.#delayMs = FIRST_DELAY_MS;
        if (this.#wanted) this.#restartTimer = setTimeout(() => this.#restart(), this.#delayMs);
        this.#delayMs = Math.min(this.#delayMs * 2, LONGEST_DELAY_MS);
        resolve();
        onChange();
      };
      child.once("exit", (code, signal) => ended(signal ?? `exit code ${code}`));
      child.once("error", (error) => ended(error.message));
    });
    if (probe !== undefined) this.#scheduleProbe(child, probe);
    onChange();
  }

  #restart(): void {
    this.#restarts += 1;
    this.#spawn();
  }

  #scheduleProbe(child: ChildProcess, probe: () => Promise<boolean>): void {
    const delayMs = this.#ready ? PROBE_WHILE_READY_MS : PROBE_WHILE_NOT_READY_MS;
    this.#probeTimer = setTimeout(() => {
      // Nobody answering is the usual way of not being ready.
      const answer = probe().catch(() => false);
      void answer.then((ready) => {
        if (this.#child !== child) return;
        const changed = ready !== this.#ready;
        this.#ready = ready;
        if (changed) this.#options.onChange();
        this.#scheduleProbe(child, probe);
      });
    }, delayMs);
  }
}

function residentBytes(pid: number): number | undefined {
  try {
    const kib = /^VmRSS:\s+([0-9]+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, "latin1"))?.[1];
    return kib === undefined ? undefined : Number(kib) * 1024;
  } catch {
    // It has just ended.
    return undefined;
  }
}
