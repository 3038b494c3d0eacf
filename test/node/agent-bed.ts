import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { vi } from "vitest";
import type { ObjectStore } from "#shared/store/object-store.ts";
import { FolderNamespaces } from "../../node/pod-namespaces.ts";
import { type NodeStatus, type RunningNodeAgent, runNodeAgent } from "../../node/run-node-agent.ts";
import { netnsOf } from "./network.ts";

/** An hour: whatever is repaired sooner was told by an event, or found by a glance. */
const NEVER_MS = 3_600_000;

/** A node agent in this process, with folders of its own. */
export class AgentBed {
  readonly #folder = mkdtempSync(join(tmpdir(), "cw-agent-"));
  readonly warnings: string[] = [];
  #agent: RunningNodeAgent | undefined;
  #stop = new AbortController();

  /** Tells the agent where a pod's network namespace is. */
  place(pod: string, namespace: string): void {
    writeFileSync(join(this.#folder, `default_${pod}`), netnsOf(namespace));
  }

  async start(store: ObjectStore): Promise<void> {
    const say = (_: unknown, text?: string): void => void this.warnings.push(String(text));
    const log = { debug: () => undefined, info: () => undefined, warn: say, error: say };
    this.#stop = new AbortController();
    this.#agent = await runNodeAgent({
      store,
      podNamespaces: (onChange) => new FolderNamespaces({ folder: this.#folder, log, onChange }),
      runDir: join(this.#folder, ".run"),
      log,
      clock: { nowMs: () => Date.now() },
      signal: this.#stop.signal,
      lookMs: NEVER_MS,
      glanceMs: 200,
    });
    await vi.waitFor(() => this.status());
  }

  /** @throws while it is not ready. */
  status(): NodeStatus {
    if (this.#agent?.ready() !== true) throw new Error("the node agent is not ready");
    return this.#agent.status();
  }

  async stop(): Promise<void> {
    this.#stop.abort();
    await this.#agent?.done;
    this.#agent = undefined;
  }

  async close(): Promise<void> {
    await this.stop();
    rmSync(this.#folder, { recursive: true });
  }
}
