import type { ChildProcess } from "node:child_process";
import { createInterface } from "node:readline";
import { setTimeout as delay } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { type SystemLab, until } from "./system-lab.ts";

interface Seen {
  readonly line: string;
  /** ms of `performance.now()`. */
  readonly at: number;
}

const NFT_CHANGES = fileURLToPath(new URL("./nft-changes.ts", import.meta.url));

/** One long-lived watcher in a node: when the kernel changed. A line's time is that of its arrival here: never too early. */
export class ChangeWatch {
  readonly #child: ChildProcess;
  readonly #seen: Seen[] = [];

  #ended: string | undefined;

  private constructor(child: ChildProcess) {
    this.#child = child;
    let said = "";
    child.stderr?.on("data", (chunk: Buffer) => {
      said += chunk.toString();
    });
    child.once("close", (code, signal) => {
      this.#ended = `the watcher ended with ${code ?? signal}: ${said}`;
    });
    if (child.stdout !== null)
      createInterface({ input: child.stdout }).on("line", (line) => {
        this.#seen.push({ line, at: performance.now() });
      });
  }

  /** Transactions of nftables in a node, a line `changed` each. */
  static async nftables(lab: SystemLab, node: string): Promise<ChangeWatch> {
    const watch = new ChangeWatch(lab.start(node, process.execPath, NFT_CHANGES));
    await watch.#awake(() => lab.sh(node, "nft add table inet cw-probe; nft delete table inet cw-probe"), "changed");
    return watch;
  }

  /** Routes of a node. */
  static async routes(lab: SystemLab, node: string): Promise<ChangeWatch> {
    const watch = new ChangeWatch(lab.start(node, "ip", "monitor", "route"));
    const probe = "blackhole 192.0.2.250/32 table 99";
    await watch.#awake(() => lab.sh(node, `ip route add ${probe}; ip route del ${probe}`), "192.0.2.250");
    return watch;
  }

  /** Makes a change of its own until the monitor, which takes a while to subscribe, shows it. */
  async #awake(change: () => Promise<string>, mark: string): Promise<void> {
    await until(
      change,
      () => this.#seen.some(({ line }) => line.includes(mark)),
      10_000,
      () => "the monitor shows nothing",
    );
    await this.quiet(100);
  }

  /** Waits until nothing has changed for `forMs`. */
  async quiet(forMs: number): Promise<void> {
    if (this.#ended !== undefined) throw new Error(this.#ended);
    await until(
      () => performance.now() - (this.#seen.at(-1)?.at ?? 0),
      (sinceMs) => sinceMs >= forMs,
      20_000,
      () => "the kernel goes on changing",
    );
    await delay(0);
  }

  /** When the last line that contains `text` came, if that was after `since`. */
  last(text: string, since: number): number | undefined {
    const at = this.#seen.findLast(({ line }) => line.includes(text))?.at;
    return at !== undefined && at >= since ? at : undefined;
  }

  /** When the first line that contains `text` came after `since`. */
  first(text: string, since: number): number | undefined {
    return this.#seen.find(({ line, at }) => at >= since && line.includes(text))?.at;
  }

  close(): void {
    this.#child.kill("SIGTERM");
  }
}
